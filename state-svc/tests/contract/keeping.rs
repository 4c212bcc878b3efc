//! Expiry, eviction and caps.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt as _,
    sync::{Arc, atomic::AtomicU64},
};

use fingerpost_state::{
    domain::{Conversations, Error, Limits, Save, StoreError},
    engine::embedded::Embedded,
};

use crate::bed::{Bed, Engine, LIMITS, OWNER, SetClock, TTL, id, not_found, object_id, response, save_in, turn};

pub async fn conversations_expire_whole(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    bed.save(&id(1, 1), None).await.unwrap();
    bed.pass(TTL / 2);
    bed.save(&id(1, 2), Some(&id(1, 1))).await.unwrap();
    bed.pass(TTL - 1);
    assert_eq!(bed.chain(&id(1, 2)).await.unwrap(), [turn(&id(1, 1)), turn(&id(1, 2))]);
    bed.pass(1);
    for node in [1, 2] {
        assert!(not_found(&bed.get(&id(1, node)).await));
    }
    assert!(not_found(&bed.save(&id(1, 3), Some(&id(1, 2))).await));
}

pub async fn continuing_renews(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    bed.save(&id(1, 1), None).await.unwrap();
    for node in 2..6 {
        bed.pass(TTL - 1);
        bed.save(&id(1, node), Some(&id(1, node - 1))).await.unwrap();
    }
    assert_eq!(bed.chain(&id(1, 5)).await.unwrap().len(), 5);
    // To read or to delete is not to continue.
    bed.pass(TTL - 1);
    bed.delete(&id(1, 2)).await;
    assert_eq!(bed.chain(&id(1, 5)).await.unwrap().len(), 5);
    bed.pass(1);
    assert!(not_found(&bed.chain(&id(1, 5)).await));
}

pub async fn what_expired_does_not_shine_through(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    bed.save(&id(1, 1), None).await.unwrap();
    bed.pass(TTL);
    bed.save(&id(1, 2), None).await.unwrap();
    assert!(not_found(&bed.get(&id(1, 1)).await));
    assert_eq!(bed.chain(&id(1, 2)).await.unwrap(), [turn(&id(1, 2))]);
    assert_eq!(bed.conversations.totals().await.unwrap().responses, 1);
}

pub async fn the_least_recently_continued_go_first(engine: Engine) {
    let bed = Bed::new(engine, Limits { max_responses: 6, ..LIMITS }).await;
    for conversation in [1, 2, 3] {
        bed.save(&id(conversation, 1), None).await.unwrap();
        bed.pass(1);
        bed.save(&id(conversation, 2), Some(&id(conversation, 1))).await.unwrap();
        bed.pass(1);
    }
    // The first is continued: one too many, and the second is the oldest now. It goes whole.
    bed.save(&id(1, 3), Some(&id(1, 2))).await.unwrap();
    for node in [1, 2] {
        assert!(not_found(&bed.get(&id(2, node)).await));
    }
    assert_eq!(bed.chain(&id(1, 3)).await.unwrap().len(), 3);
    assert_eq!(bed.chain(&id(3, 2)).await.unwrap().len(), 2);
    assert_eq!(bed.conversations.totals().await.unwrap().responses, 5);
    // Objects without responses are no way around it.
    for conversation in 10..20 {
        bed.pass(1);
        bed.conversations.create(OWNER, &object_id(conversation), BTreeMap::new(), &[]).await.unwrap();
    }
    assert_eq!(bed.conversations.totals().await.unwrap().conversations, 6);
}

pub async fn the_cap_holds_under_load(engine: Engine) {
    let bed = Arc::new(Bed::new(engine, Limits { max_responses: 50, ..LIMITS }).await);
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..8_u64 {
        let bed = bed.clone();
        tasks.spawn(async move {
            for turn in 0..40 {
                let conversation = worker * 1_000 + turn / 2;
                let parent = (turn % 2 == 1).then(|| id(conversation, turn - 1));
                bed.pass(1);
                match bed.save(&id(conversation, turn), parent.as_ref()).await {
                    Ok(()) => {}
                    // Others may have pushed it out between its two turns.
                    Err(Error::ResponseNotFound(_)) if parent.is_some() => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let totals = bed.conversations.totals().await.unwrap();
    assert!(totals.responses <= 50 && totals.responses > 40, "{totals:?}");
    let mut found = 0;
    for (worker, turn) in (0..8).flat_map(|worker| (0..40).map(move |turn| (worker, turn))) {
        found += u64::from(bed.get(&id(worker * 1_000 + turn / 2, turn)).await.is_ok());
    }
    assert_eq!(found, totals.responses, "the sum is what is there");
}

pub async fn turns_and_bytes_are_capped(engine: Engine) {
    let bed = Bed::new(engine, Limits { max_turns: 2, max_conversation_bytes: 2_000, ..LIMITS }).await;
    bed.save(&id(1, 1), None).await.unwrap();
    bed.save(&id(1, 2), Some(&id(1, 1))).await.unwrap();
    let error = bed.save(&id(1, 3), Some(&id(1, 2))).await.unwrap_err().to_string();
    assert!(error.contains("response_api.max_turns") && error.contains('2'), "{error}");
    bed.delete(&id(1, 2)).await;
    bed.save(&id(1, 3), Some(&id(1, 1))).await.unwrap();
    let (big, body) = (id(2, 1), response(&id(2, 1)));
    let input = vec![format!("{{\"id\":\"x\",\"text\":\"{}\"}}", "x".repeat(2_000)).into_bytes()];
    let save = Save { id: &big, parent: None, conversation: None, response: &body, input: &input, redactions: &[] };
    let error = bed.conversations.save(OWNER, save).await.unwrap_err().to_string();
    assert!(error.contains("response_api.max_conversation_bytes") && error.contains("2000"), "{error}");
    assert!(not_found(&bed.get(&big).await));
}

pub async fn a_sweep_lets_expired_ones_go(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    for conversation in 0..150 {
        bed.save(&id(conversation, 1), None).await.unwrap();
    }
    bed.pass(TTL - 1);
    bed.save(&id(0, 2), Some(&id(0, 1))).await.unwrap();
    assert_eq!(bed.conversations.sweep().await.unwrap(), 0);
    bed.pass(1);
    assert_eq!(bed.conversations.sweep().await.unwrap(), 149);
    let totals = bed.conversations.totals().await.unwrap();
    assert_eq!((totals.conversations, totals.responses), (1, 2));
}

pub async fn reopening_finds_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.redb");
    let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
    {
        let first = Conversations::new(Arc::new(Embedded::open(&path).unwrap()), clock.clone(), LIMITS);
        save_in(&first, &id(1, 1), None, None).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = Embedded::open(&path).err().unwrap().to_string();
        assert!(second.contains("already open"), "{second}");
    }
    // The writer's thread lets the file go when it sees that nobody can queue any more.
    let again = loop {
        match Embedded::open(&path) {
            Ok(store) => break store,
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let again = Conversations::new(Arc::new(again), clock, LIMITS);
    assert_eq!(again.response(OWNER, &id(1, 1)).await.unwrap(), response(&id(1, 1)));
}

pub async fn a_lost_server_is_told_and_found_again() {
    let server = crate::redis_server::Server::start().unwrap();
    let bed = Bed::new(Engine::Redis(server.url()), LIMITS).await;
    bed.save(&id(1, 1), None).await.unwrap();
    let port = server.port();
    drop(server);
    let begun = std::time::Instant::now();
    for result in [bed.save(&id(1, 2), Some(&id(1, 1))).await, bed.get(&id(1, 1)).await.map(drop)] {
        assert!(matches!(result, Err(Error::Store(StoreError::Unavailable { .. }))), "{result:?}");
    }
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());
    let _server = crate::redis_server::Server::start_on(port).unwrap();
    // The connection is made anew in the background; each call waits for it or is told that it is gone.
    while let Err(error) = bed.save(&id(2, 1), None).await {
        assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{error}");
    }
    assert_eq!(bed.chain(&id(2, 1)).await.unwrap(), [turn(&id(2, 1))]);
}
