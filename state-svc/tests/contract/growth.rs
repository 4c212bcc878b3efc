//! What a long conversation costs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use fingerpost_state::domain::{
    Continued, Conversations, StoreError,
    port::{Commit, ConversationStore, Fields, Key, Outcome, Retention, Snapshot, Totals},
};

use crate::bed::{Bed, Engine, LIMITS, OWNER, id};

async fn turns(bed: &Bed, from: u64, to: u64) {
    for node in from..to {
        let parent = (node > 0).then(|| id(1, node - 1));
        bed.save(&id(1, node), parent.as_ref()).await.unwrap();
    }
}

async fn bytes(bed: &Bed) -> usize {
    let snapshot = bed.store.read(Key::new(OWNER, 1), &Fields::All).await.unwrap().unwrap();
    snapshot.fields.iter().map(|(name, value)| name.len() + value.len()).sum()
}

pub async fn storage_grows_linearly(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    turns(&bed, 0, 100).await;
    let hundred = bytes(&bed).await;
    turns(&bed, 100, 200).await;
    let two_hundred = bytes(&bed).await;
    let ratio = two_hundred as f64 / hundred as f64;
    assert!((1.9..2.1).contains(&ratio), "{hundred} bytes, then {two_hundred}");
}

/// Counts what goes to the store.
struct Counting(Arc<dyn ConversationStore>, AtomicU64);

#[async_trait]
impl ConversationStore for Counting {
    async fn read(&self, key: Key, fields: &Fields) -> Result<Option<Snapshot>, StoreError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.read(key, fields).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.commit(commit).await
    }

    async fn trim(&self, retention: Retention) -> Result<u64, StoreError> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.trim(retention).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.0.totals().await
    }
}

pub async fn a_long_conversation_loads_in_one_round_trip(engine: Engine) {
    let bed = Bed::new(engine, LIMITS).await;
    turns(&bed, 0, 200).await;
    let counting = Arc::new(Counting(bed.store.clone(), AtomicU64::new(0)));
    let conversations = Conversations::new(counting.clone(), bed.clock.clone(), LIMITS);
    let (loaded, _) = conversations.continued(OWNER, Some(Continued::Response(&id(1, 199))), &[]).await.unwrap();
    assert_eq!((loaded.len(), counting.1.load(Ordering::SeqCst)), (200, 1));
}

/// Calls of HGETALL over all servers, as they count them.
async fn calls(urls: &[String]) -> u64 {
    let mut sum = 0;
    for url in urls {
        let client = redis::Client::open(url.as_str()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut connection).await.unwrap();
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_hgetall:calls="));
        sum += line.map_or(0, |line| line.split(',').next().unwrap().parse::<u64>().unwrap());
    }
    sum
}

/// On servers of its own: others would be counted too.
pub async fn the_server_counts_one_command_a_load(cluster: bool) {
    use crate::redis_server::{Cluster, Server};
    let (server, servers) =
        if cluster { (None, Some(Cluster::start().unwrap())) } else { (Some(Server::start().unwrap()), None) };
    let urls = servers.as_ref().map(Cluster::urls).unwrap_or_else(|| vec![server.as_ref().unwrap().url()]);
    let engine = if cluster { Engine::Cluster(urls.clone()) } else { Engine::Redis(urls[0].clone()) };
    let bed = Bed::new(engine, LIMITS).await;
    turns(&bed, 0, 200).await;
    let before = calls(&urls).await;
    assert_eq!(bed.chain(&id(1, 199)).await.unwrap().len(), 200);
    assert_eq!(calls(&urls).await - before, 1);
}
