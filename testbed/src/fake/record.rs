//! What a fake backend received, kept in a bounded ring that tests read and wait on.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{sync::watch, time};

/// Most requests kept; the oldest go first.
const MAX_REQUESTS: usize = 8_192;
/// Most body bytes kept, over all requests.
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// One request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Counts requests of this backend from 0.
    pub sequence: u64,
    /// Counts connections of this backend from 0.
    pub connection: u64,
    /// HTTP method.
    pub method: String,
    /// Path and query.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// Headers in order, names in lower case.
    pub headers: Vec<(String, Bytes)>,
    /// The exact body.
    pub body: Bytes,
    /// Whether the body ended as it should.
    pub complete: bool,
    /// Trailers in order.
    pub trailers: Vec<(String, Bytes)>,
    /// The server name that the TLS client asked for.
    pub sni: Option<String>,
}

impl Recorded {
    /// The first header of that name, if it is UTF-8.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        std::str::from_utf8(value).ok()
    }

    /// The body as JSON; `Null` where it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn to_json(&self) -> Value {
        let pairs = |list: &[(String, Bytes)]| -> Vec<Value> {
            list.iter().map(|(name, value)| json!([name, String::from_utf8_lossy(value)])).collect()
        };
        json!({
            "sequence": self.sequence, "connection": self.connection, "method": self.method, "target": self.target,
            "version": self.version, "headers": pairs(&self.headers), "trailers": pairs(&self.trailers),
            "body": String::from_utf8_lossy(&self.body), "bytes": self.body.len(), "complete": self.complete, "sni": self.sni,
        })
    }
}

/// The ring.
#[derive(Debug)]
pub(super) struct Ring {
    kept: Mutex<Kept>,
    count: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    requests: VecDeque<Arc<Recorded>>,
    bytes: usize,
    next: u64,
}

impl Ring {
    pub(super) fn new() -> Self {
        Self { kept: Mutex::default(), count: watch::Sender::new(0) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, mut request: Recorded) {
        let mut kept = self.lock();
        request.sequence = kept.next;
        kept.next += 1;
        kept.bytes += request.body.len();
        kept.requests.push_back(Arc::new(request));
        while kept.requests.len() > MAX_REQUESTS || (kept.bytes > MAX_BYTES && kept.requests.len() > 1) {
            let Some(oldest) = kept.requests.pop_front() else { break };
            kept.bytes -= oldest.body.len();
        }
        let next = kept.next;
        drop(kept);
        self.count.send_replace(next);
    }

    pub(super) fn clear(&self) {
        let mut kept = self.lock();
        kept.requests.clear();
        kept.bytes = 0;
    }

    pub(super) fn all(&self) -> Vec<Arc<Recorded>> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(super) fn find(&self, wanted: impl Fn(&Recorded) -> bool) -> Option<Arc<Recorded>> {
        self.lock().requests.iter().rev().find(|request| wanted(request)).cloned()
    }

    /// Waits until such a request has arrived; `None` when it has not in time.
    pub(super) async fn wait(&self, limit: Duration, wanted: impl Fn(&Recorded) -> bool) -> Option<Arc<Recorded>> {
        let mut count = self.count.subscribe();
        let search = async {
            loop {
                if let Some(found) = self.find(&wanted) {
                    return Some(found);
                }
                count.changed().await.ok()?;
            }
        };
        time::timeout(limit, search).await.ok().flatten()
    }

    pub(super) fn to_json(&self) -> Value {
        self.all().iter().map(|request| request.to_json()).collect()
    }
}
