//! The port itself, where the domain above it would hide a fault.

use std::collections::BTreeMap;

use fingerpost_state::{
    domain::port::{Commit, ConversationStore as _, Fields, Key, Outcome, Retention, Totals, Update, Write},
    engine::redis::{Address, Redis},
};

use crate::bed::{Engine, OWNER, TTL};

const RETENTION: Retention = Retention { expired_at: 0, ttl: TTL, max_weight: 10 };

fn update(version: u64, touched: u64, put: &[(&str, &str)]) -> Update {
    let put = put.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
    Update { version, touched, weight: 1, replace: false, put, remove: Vec::new() }
}

fn commit(conversation: u64, expected: Option<u64>, write: Write) -> Commit {
    Commit { key: Key::new(OWNER, conversation), expected, write, retention: RETENTION }
}

pub async fn a_stale_commit_changes_nothing(engine: Engine) {
    let (store, _folder) = engine.store().await;
    let key = Key::new(OWNER, 1);
    let all = |fields: &[(&str, &str)]| -> BTreeMap<String, Vec<u8>> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let missing = commit(1, Some(1), Write::Update(update(2, 5, &[("a", "x")])));
    assert_eq!(store.commit(missing).await.unwrap(), Outcome::Conflict);
    assert_eq!(store.read(key, &Fields::All).await.unwrap(), None);
    let first = commit(1, None, Write::Update(update(1, 5, &[("a", "1"), ("b", "2")])));
    assert_eq!(store.commit(first.clone()).await.unwrap(), Outcome::Committed);
    for stale in
        [first, commit(1, Some(9), Write::Drop), commit(1, Some(9), Write::Update(update(3, 6, &[("a", "9")])))]
    {
        assert_eq!(store.commit(stale).await.unwrap(), Outcome::Conflict);
    }
    let snapshot = store.read(key, &Fields::All).await.unwrap().unwrap();
    assert_eq!((snapshot.version, snapshot.touched, snapshot.fields), (1, 5, all(&[("a", "1"), ("b", "2")])));
    let next = Update { remove: vec!["a".to_owned()], ..update(2, 7, &[("c", "3")]) };
    assert_eq!(store.commit(commit(1, Some(1), Write::Update(next))).await.unwrap(), Outcome::Committed);
    let some = Fields::These(vec!["a".to_owned(), "c".to_owned()]);
    let snapshot = store.read(key, &some).await.unwrap().unwrap();
    assert_eq!((snapshot.version, snapshot.touched, snapshot.fields), (2, 7, all(&[("c", "3")])));
    assert_eq!(store.totals().await.unwrap(), Totals { conversations: 1, responses: 1 });
    assert_eq!(store.commit(commit(1, Some(2), Write::Drop)).await.unwrap(), Outcome::Committed);
    assert_eq!(store.totals().await.unwrap(), Totals::default());
}

/// A conversation is chosen to go by the index; before it goes, another service continues it.
pub async fn what_is_continued_meanwhile_stays(url: String) {
    let prefix = format!("test-{:016x}", rand::random::<u64>());
    let store =
        Redis::connect(Address { urls: vec![url.clone()], cluster: false, prefix: prefix.clone() }).await.unwrap();
    for conversation in [1, 2] {
        let write = Write::Update(update(1, 5, &[("a", "1")]));
        assert_eq!(store.commit(commit(conversation, None, write)).await.unwrap(), Outcome::Committed);
    }
    // As the first of the other service's two steps leaves it.
    let hash = format!("{prefix}:{{{}}}", Key::new(OWNER, 1).hex());
    let mut connection = redis::Client::open(url).unwrap().get_multiplexed_async_connection().await.unwrap();
    let added: u64 = redis::cmd("HSET").arg(&hash).arg(".t").arg(9).query_async(&mut connection).await.unwrap();
    assert_eq!(added, 0, "the field is there already");
    store.trim(Retention { expired_at: 5, ..RETENTION }).await.unwrap();
    assert!(store.read(Key::new(OWNER, 1), &Fields::All).await.unwrap().is_some());
    assert_eq!(store.read(Key::new(OWNER, 2), &Fields::All).await.unwrap(), None);
    let left: i64 = redis::cmd("PTTL").arg(&hash).query_async(&mut connection).await.unwrap();
    assert!((1..=TTL as i64).contains(&left), "Redis expires it by itself: {left}");
}
