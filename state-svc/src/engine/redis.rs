//! Conversations in Redis or Valkey, single or cluster: shared by any number of state services.
//!
//! One conversation is one hash in one slot: a load is one HMGET or HGETALL, a change one script. Redis expires the hash by itself. A
//! sorted set, small and in a slot of its own, knows the order in which conversations were continued. It is brought up to date after
//! the conversation; what a crash between the two leaves unlisted still expires.
//!
//! A save is as durable as Redis is set to be: with `appendfsync always` an acknowledged one outlives a crash of Redis, with
//! `everysec` up to a second of them does not, and a fail-over loses what the replica had not got yet.

use std::{collections::BTreeMap, fmt, time::Duration};

use async_trait::async_trait;
use redis::{
    Cmd, FromRedisValue, RedisError, Script,
    aio::{ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};

use crate::domain::port::{
    Commit, ConversationStore, Fields, Key, Outcome, Retention, Snapshot, StoreError, TRIM_BATCH, Totals, Write,
};

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(2);

/// How Redis is reached.
#[derive(Debug, Clone)]
pub struct Address {
    /// One server, or some of a cluster's.
    pub urls: Vec<String>,
    /// Whether it is a cluster.
    pub cluster: bool,
    /// What our keys begin with.
    pub prefix: String,
}

/// A store in Redis.
#[derive(Clone)]
pub struct Redis {
    connection: Connection,
    prefix: String,
    scripts: std::sync::Arc<Scripts>,
}

struct Scripts {
    commit: Script,
    index: Script,
    drop: Script,
}

#[derive(Clone)]
enum Connection {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

fn failed(error: RedisError) -> StoreError {
    StoreError::Unavailable { engine: "redis", message: error.to_string() }
}

/// A document's change in the index, and what else goes.
struct Listing {
    member: String,
    touched: u64,
    weight: u64,
}

impl Redis {
    /// Connects.
    ///
    /// # Errors
    /// Where no server answers.
    pub async fn connect(address: Address) -> Result<Self, StoreError> {
        let connection = if address.cluster {
            let client = ClusterClientBuilder::new(address.urls)
                .connection_timeout(TIMEOUT)
                .response_timeout(TIMEOUT)
                .build()
                .map_err(failed)?;
            Connection::Cluster(client.get_async_connection().await.map_err(failed)?)
        } else {
            let no_url = || StoreError::Unavailable { engine: "redis", message: "no URL is configured".to_owned() };
            let url = address.urls.into_iter().next().ok_or_else(no_url)?;
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(TIMEOUT))
                .set_response_timeout(Some(TIMEOUT))
                .set_number_of_retries(3);
            let client = redis::Client::open(url).map_err(failed)?;
            Connection::Single(ConnectionManager::new_with_config(client, config).await.map_err(failed)?)
        };
        let scripts = Scripts {
            commit: Script::new(include_str!("commit.lua")),
            index: Script::new(include_str!("index.lua")),
            drop: Script::new(include_str!("drop.lua")),
        };
        Ok(Self { connection, prefix: address.prefix, scripts: scripts.into() })
    }

    /// The hash of a conversation. The braces make its number alone choose the slot.
    fn hash(&self, member: &str) -> String {
        format!("{}:{{{member}}}", self.prefix)
    }

    fn index(&self, what: &str) -> String {
        format!("{}:{{index}}:{what}", self.prefix)
    }

    async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> Result<T, StoreError> {
        match self.connection.clone() {
            Connection::Single(mut connection) => command.query_async(&mut connection).await,
            Connection::Cluster(mut connection) => command.query_async(&mut connection).await,
        }
        .map_err(failed)
    }

    async fn run<T: FromRedisValue>(&self, script: &redis::ScriptInvocation<'_>) -> Result<T, StoreError> {
        match self.connection.clone() {
            Connection::Single(mut connection) => script.invoke_async(&mut connection).await,
            Connection::Cluster(mut connection) => script.invoke_async(&mut connection).await,
        }
        .map_err(failed)
    }

    async fn write(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let member = commit.key.hex();
        let mut script = self.scripts.commit.key(self.hash(&member));
        script.arg(commit.expected.map(|version| version.to_string()).unwrap_or_default());
        let listing = match commit.write {
            Write::Drop => {
                script.arg("drop");
                Listing { member, touched: 0, weight: 0 }
            }
            Write::Update(update) => {
                script.arg(if update.replace { "replace" } else { "keep" });
                script.arg(update.version).arg(update.touched).arg(commit.retention.ttl).arg(update.put.len());
                for (name, value) in update.put {
                    script.arg(name).arg(value);
                }
                script.arg(update.remove);
                Listing { member, touched: update.touched, weight: update.weight }
            }
        };
        if self.run::<u8>(&script).await? == 0 {
            return Ok(Outcome::Conflict);
        }
        if let Err(error) = self.list(&listing, commit.retention).await {
            // The conversation is stored; until it is next continued it only counts less than it should.
            tracing::warn!(%error, "the index of conversations could not be brought up to date");
        }
        Ok(Outcome::Committed)
    }

    /// Brings the index up to date and removes what must go; how many went.
    async fn list(&self, listing: &Listing, retention: Retention) -> Result<u64, StoreError> {
        let mut script = self.scripts.index.key(self.index("order"));
        script.key(self.index("weights")).key(self.index("sum"));
        script.arg(&listing.member).arg(listing.touched).arg(listing.weight);
        script.arg(retention.expired_at).arg(retention.max_weight).arg(TRIM_BATCH);
        let gone: Vec<(String, String)> = self.run(&script).await?;
        for (member, touched) in &gone {
            let mut script = self.scripts.drop.key(self.hash(member));
            script.arg(touched);
            self.run::<u8>(&script).await?;
        }
        Ok(gone.len() as u64)
    }
}

/// The engine's own fields.
const VERSION: &str = ".v";
const TOUCHED: &str = ".t";

fn number(key: Key, name: &str, value: Option<Vec<u8>>) -> Result<u64, StoreError> {
    let text = value.and_then(|value| String::from_utf8(value).ok());
    text.and_then(|text| text.parse().ok())
        .ok_or_else(|| StoreError::Damaged { key: key.hex(), message: format!("field {name} is missing or no number") })
}

#[async_trait]
impl ConversationStore for Redis {
    async fn read(&self, key: Key, fields: &Fields) -> Result<Option<Snapshot>, StoreError> {
        let hash = self.hash(&key.hex());
        let mut found: BTreeMap<String, Vec<u8>> = match fields {
            Fields::All => self.ask(redis::cmd("HGETALL").arg(hash)).await?,
            Fields::These(names) => {
                let command = redis::cmd("HMGET").arg(hash).arg(VERSION).arg(TOUCHED).arg(names).to_owned();
                let values: Vec<Option<Vec<u8>>> = self.ask(&command).await?;
                let names = [VERSION, TOUCHED].into_iter().chain(names.iter().map(String::as_str));
                names.zip(values).filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
            }
        };
        if found.is_empty() {
            return Ok(None);
        }
        let version = number(key, VERSION, found.remove(VERSION))?;
        let touched = number(key, TOUCHED, found.remove(TOUCHED))?;
        Ok(Some(Snapshot { version, touched, fields: found }))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        // Of its own, so that a caller that goes away does not leave the conversation unlisted.
        let this = self.clone();
        match tokio::spawn(async move { this.write(commit).await }).await {
            Ok(outcome) => outcome,
            Err(error) => Err(StoreError::Unavailable { engine: "redis", message: error.to_string() }),
        }
    }

    async fn trim(&self, retention: Retention) -> Result<u64, StoreError> {
        self.list(&Listing { member: String::new(), touched: 0, weight: 0 }, retention).await
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let conversations = self.ask(redis::cmd("ZCARD").arg(self.index("order"))).await?;
        let responses: Option<u64> = self.ask(redis::cmd("GET").arg(self.index("sum"))).await?;
        Ok(Totals { conversations, responses: responses.unwrap_or(0) })
    }
}
