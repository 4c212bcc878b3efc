//! Conversations in this process's memory: gone with it. The shortest reading of what an engine owes.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;

use crate::domain::port::{
    Commit, ConversationStore, Fields, Key, Outcome, Retention, Snapshot, StoreError, TRIM_BATCH, Totals, Write,
};

/// A store that forgets when the process ends.
#[derive(Debug, Default)]
pub struct Memory(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    documents: HashMap<Key, Document>,
    /// Least recently touched first.
    order: BTreeSet<(u64, Key)>,
    weight: u64,
}

#[derive(Debug, Default)]
struct Document {
    version: u64,
    touched: u64,
    weight: u64,
    fields: BTreeMap<String, Vec<u8>>,
}

impl State {
    fn forget(&mut self, key: Key) {
        if let Some(document) = self.documents.remove(&key) {
            self.order.remove(&(document.touched, key));
            self.weight -= document.weight;
        }
    }

    /// Lets go of what must; never of `kept`, which was written just now.
    fn trim(&mut self, retention: Retention, kept: Option<Key>) -> u64 {
        let mut gone = 0;
        while let Some((touched, key)) = self.order.iter().copied().find(|(_, key)| kept != Some(*key)) {
            let must = touched <= retention.expired_at || self.weight > retention.max_weight;
            if !must || gone == TRIM_BATCH as u64 {
                break;
            }
            self.forget(key);
            gone += 1;
        }
        gone
    }

    fn apply(&mut self, commit: Commit) -> Outcome {
        if self.documents.get(&commit.key).map(|d| d.version) != commit.expected {
            return Outcome::Conflict;
        }
        let mut fields = match (&commit.write, self.documents.get_mut(&commit.key)) {
            (Write::Update(update), Some(old)) if !update.replace => std::mem::take(&mut old.fields),
            _ => BTreeMap::new(),
        };
        self.forget(commit.key);
        if let Write::Update(update) = commit.write {
            for name in update.remove {
                fields.remove(&name);
            }
            fields.extend(update.put);
            self.order.insert((update.touched, commit.key));
            self.weight += update.weight;
            let (version, touched, weight) = (update.version, update.touched, update.weight);
            self.documents.insert(commit.key, Document { version, touched, weight, fields });
        }
        self.trim(commit.retention, Some(commit.key));
        Outcome::Committed
    }
}

impl Memory {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl ConversationStore for Memory {
    async fn read(&self, key: Key, fields: &Fields) -> Result<Option<Snapshot>, StoreError> {
        let state = self.state();
        let Some(document) = state.documents.get(&key) else { return Ok(None) };
        let fields = match fields {
            Fields::All => document.fields.clone(),
            Fields::These(names) => {
                names.iter().filter_map(|name| Some((name.clone(), document.fields.get(name)?.clone()))).collect()
            }
        };
        Ok(Some(Snapshot { version: document.version, touched: document.touched, fields }))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        Ok(self.state().apply(commit))
    }

    async fn trim(&self, retention: Retention) -> Result<u64, StoreError> {
        Ok(self.state().trim(retention, None))
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        let state = self.state();
        Ok(Totals { conversations: state.documents.len() as u64, responses: state.weight })
    }
}
