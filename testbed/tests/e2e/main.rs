//! End-to-end tests: real Envoy, the real filter, the real classifier (a stub for its failures), fake backends.
//! `cargo test -p fingerpost-testbed --test e2e -- routing` runs one suite.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    missing_docs
)]

mod affinity;
mod bodies;
mod common;
mod credentials;
mod errors;
mod failover;
mod failures;
mod guards;
mod guards_answers;
mod guards_policy;
mod headers;
mod hostile;
mod metadata;
mod responses_affinity;
mod responses_common;
mod responses_conversations;
mod responses_failures;
mod responses_llama;
mod responses_memory;
mod responses_native;
mod responses_owners;
mod responses_refused;
mod responses_stored;
mod responses_stream;
mod routing;
mod sdk;
mod streaming;
mod upstreams;

use std::process::ExitCode;

fn main() -> ExitCode {
    fingerpost_testbed::suite::run(vec![
        routing::suite(),
        bodies::suite(),
        errors::suite(),
        headers::suite(),
        metadata::suite(),
        metadata::off(),
        streaming::suite(),
        upstreams::suite(),
        credentials::suite(),
        affinity::suite(),
        failover::suite(),
        failures::suite(),
        failures::closed(),
        failures::down(),
        hostile::suite(),
        guards::suite(),
        guards_policy::redact(),
        guards_policy::route(),
        guards_policy::scope(),
        guards_policy::closed(),
        guards_policy::open(),
        guards_answers::redact(),
        guards_answers::block(),
        responses_common::suite(),
        responses_stored::seed(),
        responses_stored::capped(),
        responses_failures::restarts(),
        responses_failures::killed(),
        responses_failures::closed(),
        responses_failures::open(),
        responses_failures::silent(),
        responses_failures::redis(),
        responses_failures::token(),
        responses_native::suite(),
        responses_affinity::suite(),
        responses_owners::suite(),
        responses_llama::suite(),
        sdk::suite(),
    ])
}

/// Adds cases, each named after its function.
macro_rules! cases {
    ($suite:expr, [$($case:ident),* $(,)?]) => {
        $suite$(.case(stringify!($case), $case))*
    };
}
pub(crate) use cases;

/// A suite of cases.
macro_rules! suite {
    ($name:literal, $boot:expr, [$($case:ident),* $(,)?]) => {
        $crate::cases!(fingerpost_testbed::suite::Suite::new($name, $boot), [$($case),*])
    };
}
pub(crate) use suite;
