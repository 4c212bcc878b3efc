//! One contract, every engine: memory, a redb file, a Redis server and a Redis cluster of three masters.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod bed;
mod deleting;
mod growth;
mod keeping;
mod objects;
mod port;
mod redis_server;
mod saving;

use std::{pin::Pin, process::ExitCode};

use bed::Engine;
use libtest_mimic::{Arguments, Failed, Trial};
use redis_server::{Cluster, Server};

/// A test of the contract.
type Case = fn(Engine) -> Pin<Box<dyn Future<Output = ()> + Send>>;

macro_rules! cases {
    ($($module:ident: $($case:ident),* $(,)?;)*) => {
        [$($((concat!(stringify!($module), "::", stringify!($case)), (|engine| Box::pin($module::$case(engine))) as Case)),*),*]
    };
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let (server, cluster) = if arguments.list { (Err(String::new()), Err(String::new())) } else { start() };
    let mut engines = vec![("memory", Ok(Engine::Memory)), ("embedded", Ok(Engine::Embedded))];
    engines.push(("redis", server.as_ref().map(|s| Engine::Redis(s.url())).map_err(Clone::clone)));
    engines.push(("cluster", cluster.as_ref().map(|c| Engine::Cluster(c.urls())).map_err(Clone::clone)));
    let cases = cases! {
        port: a_stale_commit_changes_nothing;
        saving: chains_load_oldest_first, branches_load_their_own_ancestors, another_owner_finds_nothing,
            an_altered_id_finds_nothing, saving_twice_changes_nothing, a_missing_parent_is_told,
            contradictions_are_refused, concurrent_follow_ups_all_survive, items_are_found_by_id,
            redactions_come_back_with_their_turns, what_an_older_key_made_goes_on;
        deleting: a_deleted_response_is_hidden_at_once, children_keep_their_deleted_parents,
            what_nobody_needs_is_gone, the_last_response_takes_the_conversation;
        keeping: conversations_expire_whole, continuing_renews, what_expired_does_not_shine_through,
            the_least_recently_continued_go_first, the_cap_holds_under_load, turns_and_bytes_are_capped,
            a_sweep_lets_expired_ones_go;
        objects: an_object_is_made_changed_and_deleted, items_are_listed_appended_and_deleted,
            a_response_appends_to_its_object, concurrent_appends_all_survive,
            following_a_response_of_an_object_brings_its_items, an_object_outlives_its_responses,
            an_objects_placeholders_outlive_its_responses;
        growth: storage_grows_linearly, a_long_conversation_loads_in_one_round_trip;
    };
    let mut trials = Vec::new();
    for (name, engine) in engines {
        for (case, run) in cases {
            let engine = engine.clone();
            trials.push(Trial::test(format!("{name}::{case}"), move || run_case(engine, run)));
        }
    }
    trials.push(Trial::test("embedded::reopening_finds_everything", || {
        run_case(Ok(Engine::Embedded), |_| Box::pin(keeping::reopening_finds_everything()))
    }));
    let url = server.as_ref().map(Server::url).map_err(Clone::clone);
    trials.push(Trial::test("redis::what_is_continued_meanwhile_stays", move || {
        block_on(port::what_is_continued_meanwhile_stays(url.map_err(Failed::from)?));
        Ok(())
    }));
    trials.push(Trial::test("redis::a_lost_server_is_told_and_found_again", || {
        block_on(keeping::a_lost_server_is_told_and_found_again());
        Ok(())
    }));
    for (name, cluster) in [("redis", false), ("cluster", true)] {
        trials.push(Trial::test(format!("{name}::the_server_counts_one_command_a_load"), move || {
            block_on(growth::the_server_counts_one_command_a_load(cluster));
            Ok(())
        }));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // The servers end here, before the process does.
    drop((server, cluster));
    conclusion.exit_code()
}

fn start() -> (Result<Server, String>, Result<Cluster, String>) {
    (Server::start(), Cluster::start())
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(future);
}

fn run_case(engine: Result<Engine, String>, case: Case) -> Result<(), Failed> {
    let engine = engine.map_err(Failed::from)?;
    block_on(case(engine));
    Ok(())
}
