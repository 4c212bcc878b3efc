//! Reads a document, lets a plan decide, writes it if nobody was faster, else begins again.

use std::{
    collections::hash_map::DefaultHasher,
    hash::{Hash as _, Hasher as _},
    time::Duration,
};

use tokio::sync::{Mutex, MutexGuard};

use super::{
    Error,
    conversations::Conversations,
    document::{Document, HEADER, Header, encode},
    port::{Commit, Fields, Key, Outcome, StoreError, Update, Write},
};

/// Tries against other processes; within this one, changes of one conversation wait for each other.
const ATTEMPTS: u32 = 100;

/// What a plan wants done.
pub(super) enum Plan {
    /// All is as it should be.
    Nothing,
    /// The document goes.
    Drop,
    /// The document changes.
    Change(Change),
}

/// A document's new state.
#[derive(Default)]
pub(super) struct Change {
    pub header: Header,
    /// Whether this continues the conversation, and so renews its time.
    pub touch: bool,
    pub put: Vec<(String, Vec<u8>)>,
    pub remove: Vec<String>,
}

/// Locks by conversation, as many as there are stripes.
pub(super) struct Stripes(Vec<Mutex<()>>);

impl Stripes {
    pub(super) fn new() -> Self {
        Self(std::iter::repeat_with(|| Mutex::new(())).take(256).collect())
    }

    async fn lock(&self, key: Key) -> Option<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let stripe = usize::try_from(hasher.finish() % 256).unwrap_or_default();
        match self.0.get(stripe) {
            Some(mutex) => Some(mutex.lock().await),
            None => None,
        }
    }
}

fn update(change: Change, touched: u64, replace: bool) -> Update {
    let mut put = change.put;
    put.push((HEADER.to_owned(), encode(&change.header)));
    // A random version cannot be met again after the document was dropped and made anew.
    let version = rand::random::<u64>() >> 1;
    Update { version, touched, weight: change.header.turns.max(1), replace, put, remove: change.remove }
}

impl Conversations {
    /// A document that has not expired.
    pub(super) async fn load(&self, key: Key, fields: &Fields) -> Result<Option<Document>, Error> {
        let Some(snapshot) = self.store.read(key, fields).await? else { return Ok(None) };
        if snapshot.touched <= self.retention().expired_at {
            return Ok(None);
        }
        Ok(Some(Document::open(key, snapshot)?))
    }

    /// Does what `plan` decides on the document as it stands.
    pub(super) async fn change<T: Send>(
        &self,
        key: Key,
        fields: Fields,
        plan: impl Fn(Option<Document>) -> Result<(T, Plan), Error> + Send,
    ) -> Result<T, Error> {
        let _guard = self.stripes.lock(key).await;
        for attempt in 0..ATTEMPTS {
            let snapshot = self.store.read(key, &fields).await?;
            let (now, retention) = (self.clock.now(), self.retention());
            let expected = snapshot.as_ref().map(|s| s.version);
            let live = snapshot.filter(|s| s.touched > retention.expired_at);
            let touched = live.as_ref().map(|s| s.touched);
            // What has expired but still lies there must not shine through.
            let replace = touched.is_none();
            let document = live.map(|s| Document::open(key, s)).transpose()?;
            let (value, plan) = plan(document)?;
            let write = match plan {
                Plan::Nothing => return Ok(value),
                Plan::Drop => Write::Drop,
                Plan::Change(change) => {
                    let touched = if change.touch { now.max(touched.unwrap_or(0)) } else { touched.unwrap_or(now) };
                    Write::Update(update(change, touched, replace))
                }
            };
            if self.store.commit(Commit { key, expected, write, retention }).await? == Outcome::Committed {
                return Ok(value);
            }
            // Another process was faster. Whoever waits a random while meets fewer of the others again.
            let most = 1_u64 << attempt.min(5);
            tokio::time::sleep(Duration::from_millis(rand::random_range(0..=most))).await;
        }
        Err(StoreError::Contended(key.hex()).into())
    }
}
