//! Conversations in a file of our own, by redb: durable before a save is answered.
//!
//! One thread writes. It takes all commits that wait, up to a bound, into one transaction, so that many saves share one fsync. Reads
//! run beside it on the blocking pool, each on its own snapshot.

use std::{fmt, fs::OpenOptions, os::unix::fs::OpenOptionsExt as _, path::Path, sync::Arc};

use async_trait::async_trait;
use redb::{
    Database, Durability, ReadableDatabase as _, ReadableTable, ReadableTableMetadata as _, Table, TableDefinition,
    TableError, WriteTransaction, backends::FileBackend,
};
use tokio::sync::{mpsc, oneshot};

use crate::domain::port::{
    Commit, ConversationStore, Fields, Key, Outcome, Retention, Snapshot, StoreError, TRIM_BATCH, Totals, Write,
};

/// Key and field name, to value.
const FIELDS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("fields");
/// Key, to version, time touched and weight.
const DOCUMENTS: TableDefinition<'_, &[u8], (u64, u64, u64)> = TableDefinition::new("documents");
/// Time touched and key: the least recently touched first.
const ORDER: TableDefinition<'_, (u64, &[u8]), ()> = TableDefinition::new("order");
/// The sum of all weights.
const WEIGHT: TableDefinition<'_, &str, u64> = TableDefinition::new("totals");
const TOTAL: &str = "weight";

/// Commits that may wait for the writer; beyond it callers wait to queue.
const QUEUE: usize = 1_024;
/// Commits in one transaction, at most.
const GROUP: usize = 256;

/// A store in a file.
pub struct Embedded {
    database: Arc<Database>,
    queue: mpsc::Sender<Job>,
}

impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").finish_non_exhaustive()
    }
}

enum Job {
    Commit(Commit, oneshot::Sender<Result<Outcome, StoreError>>),
    Trim(Retention, oneshot::Sender<Result<u64, StoreError>>),
}

/// Whoever waits for a job, with what it will be told once the transaction is durable.
enum Answer {
    Commit(oneshot::Sender<Result<Outcome, StoreError>>, Outcome),
    Trim(oneshot::Sender<Result<u64, StoreError>>, u64),
}

fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Unavailable { engine: "embedded", message: error.into().to_string() }
}

fn gone() -> StoreError {
    StoreError::Unavailable { engine: "embedded", message: "its writer has ended".to_owned() }
}

impl Embedded {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    /// Where it cannot be opened; another process that has it open is one reason.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let named = |message: String| StoreError::Unavailable {
            engine: "embedded",
            message: format!("{}: {message}", path.display()),
        };
        // What people said to their models is for nobody else on this machine.
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let file = file.map_err(|error| named(error.to_string()))?;
        let file = FileBackend::new(file).map_err(|error| named(error.to_string()))?;
        let database = Database::builder().create_with_backend(file).map_err(|error| named(error.to_string()))?;
        let database = Arc::new(database);
        let transaction = database.begin_write().map_err(failed)?;
        // Made here, so that a reader never finds a table missing.
        Tables::open(&transaction).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Arc::clone(&database);
        std::thread::Builder::new()
            .name("state-writer".to_owned())
            .spawn(move || write(&writer, jobs))
            .map_err(|e| StoreError::Unavailable { engine: "embedded", message: e.to_string() })?;
        Ok(Self { database, queue })
    }

    async fn reading<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        match tokio::task::spawn_blocking(move || read(&database)).await {
            Ok(result) => result.map_err(failed),
            Err(error) => Err(StoreError::Unavailable { engine: "embedded", message: error.to_string() }),
        }
    }
}

/// The writer: ends when nobody can queue any more.
fn write(database: &Database, mut jobs: mpsc::Receiver<Job>) {
    let mut group = Vec::with_capacity(GROUP);
    while let Some(job) = jobs.blocking_recv() {
        group.push(job);
        while group.len() < GROUP
            && let Ok(job) = jobs.try_recv()
        {
            group.push(job);
        }
        let mut answers = Vec::with_capacity(group.len());
        let result = transact(database, group.drain(..), &mut answers).map_err(failed);
        if let Err(error) = &result {
            tracing::error!(%error, commits = answers.len(), "a transaction failed");
        }
        for answer in answers {
            // Whoever asked may have gone.
            match answer {
                Answer::Commit(to, outcome) => drop(to.send(result.clone().map(|()| outcome))),
                Answer::Trim(to, count) => drop(to.send(result.clone().map(|()| count))),
            }
        }
    }
}

/// All jobs in one durable transaction. Every job has its answer pushed, whether or not the transaction then fails.
fn transact(
    database: &Database,
    jobs: impl Iterator<Item = Job>,
    answers: &mut Vec<Answer>,
) -> Result<(), redb::Error> {
    let transaction = begin(database);
    let mut result = Ok(());
    let mut tables = match &transaction {
        Ok(transaction) => Tables::open(transaction).map_err(|error| result = Err(error.into())).ok(),
        Err(_) => None,
    };
    for job in jobs {
        match job {
            Job::Commit(commit, to) => {
                let outcome = run(&mut tables, &mut result, |tables| tables.apply(&commit));
                answers.push(Answer::Commit(to, outcome.unwrap_or(Outcome::Conflict)));
            }
            Job::Trim(retention, to) => {
                let count = run(&mut tables, &mut result, |tables| tables.trim(retention, None));
                answers.push(Answer::Trim(to, count.unwrap_or(0)));
            }
        }
    }
    drop(tables);
    result?;
    transaction?.commit()?;
    Ok(())
}

/// Runs a step unless an earlier one failed: the whole transaction is void then.
fn run<'t, T>(
    tables: &mut Option<Tables<'t>>,
    result: &mut Result<(), redb::Error>,
    step: impl FnOnce(&mut Tables<'t>) -> Result<T, redb::Error>,
) -> Option<T> {
    let tables = tables.as_mut().filter(|_| result.is_ok())?;
    step(tables).map_err(|error| *result = Err(error)).ok()
}

fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    Ok(transaction)
}

/// The tables, open for writing.
struct Tables<'t> {
    fields: Table<'t, &'static [u8], &'static [u8]>,
    documents: Table<'t, &'static [u8], (u64, u64, u64)>,
    order: Table<'t, (u64, &'static [u8]), ()>,
    weight: Table<'t, &'static str, u64>,
}

/// The bounds of a document's fields: names are ASCII, so that 0xff is after all of them.
fn span(key: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let mut end = key.to_vec();
    end.push(0xff);
    (key.to_vec(), end)
}

fn field(key: &[u8], name: &str) -> Vec<u8> {
    [key, name.as_bytes()].concat()
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, TableError> {
        Ok(Self {
            fields: transaction.open_table(FIELDS)?,
            documents: transaction.open_table(DOCUMENTS)?,
            order: transaction.open_table(ORDER)?,
            weight: transaction.open_table(WEIGHT)?,
        })
    }

    fn total(&self) -> Result<u64, redb::Error> {
        Ok(self.weight.get(TOTAL)?.map_or(0, |total| total.value()))
    }

    fn weigh(&mut self, less: u64, more: u64) -> Result<(), redb::Error> {
        let total = self.total()?.saturating_sub(less).saturating_add(more);
        self.weight.insert(TOTAL, total)?;
        Ok(())
    }

    fn clear_fields(&mut self, key: &[u8]) -> Result<(), redb::Error> {
        let (from, to) = span(key);
        self.fields.retain_in(from.as_slice()..to.as_slice(), |_, _| false)?;
        Ok(())
    }

    fn unlist(&mut self, key: &[u8]) -> Result<(), redb::Error> {
        let old = self.documents.remove(key)?.map(|old| old.value());
        if let Some((_, touched, weight)) = old {
            self.order.remove((touched, key))?;
            self.weigh(weight, 0)?;
        }
        Ok(())
    }

    fn apply(&mut self, commit: &Commit) -> Result<Outcome, redb::Error> {
        let key = commit.key.bytes();
        let key = key.as_slice();
        let version = self.documents.get(key)?.map(|document| document.value().0);
        if version != commit.expected {
            return Ok(Outcome::Conflict);
        }
        self.unlist(key)?;
        match &commit.write {
            Write::Drop => self.clear_fields(key)?,
            Write::Update(update) => {
                if update.replace {
                    self.clear_fields(key)?;
                }
                for name in &update.remove {
                    self.fields.remove(field(key, name).as_slice())?;
                }
                for (name, value) in &update.put {
                    self.fields.insert(field(key, name).as_slice(), value.as_slice())?;
                }
                self.documents.insert(key, (update.version, update.touched, update.weight))?;
                self.order.insert((update.touched, key), ())?;
                self.weigh(0, update.weight)?;
            }
        }
        self.trim(commit.retention, Some(commit.key))?;
        Ok(Outcome::Committed)
    }

    /// The least recently touched document but `kept`.
    fn oldest(&self, kept: &[u8]) -> Result<Option<(u64, Vec<u8>)>, redb::Error> {
        for entry in self.order.iter()? {
            let entry = entry?.0;
            let (touched, key) = entry.value();
            if key != kept {
                return Ok(Some((touched, key.to_vec())));
            }
        }
        Ok(None)
    }

    /// Lets go of what must; never of `kept`, which was written just now.
    fn trim(&mut self, retention: Retention, kept: Option<Key>) -> Result<u64, redb::Error> {
        let kept = kept.map(|key| key.bytes());
        let mut gone = 0;
        while gone < TRIM_BATCH as u64 {
            let Some((touched, key)) = self.oldest(kept.as_ref().map_or(&[], |kept| kept.as_slice()))? else { break };
            let must = touched <= retention.expired_at || self.total()? > retention.max_weight;
            if !must {
                break;
            }
            self.clear_fields(&key)?;
            self.unlist(&key)?;
            gone += 1;
        }
        Ok(gone)
    }
}

fn snapshot(database: &Database, key: Key, names: &Fields) -> Result<Option<Snapshot>, redb::Error> {
    let transaction = database.begin_read()?;
    let (documents, fields) = (transaction.open_table(DOCUMENTS)?, transaction.open_table(FIELDS)?);
    let key = key.bytes();
    let Some((version, touched, _)) = documents.get(key.as_slice())?.map(|document| document.value()) else {
        return Ok(None);
    };
    let mut snapshot = Snapshot { version, touched, fields: Default::default() };
    match names {
        Fields::All => {
            let (from, to) = span(&key);
            for entry in fields.range(from.as_slice()..to.as_slice())? {
                let (name, value) = entry?;
                let name = name.value().get(key.len()..).unwrap_or_default();
                snapshot.fields.insert(String::from_utf8_lossy(name).into_owned(), value.value().to_vec());
            }
        }
        Fields::These(names) => {
            for name in names {
                if let Some(value) = fields.get(field(&key, name).as_slice())? {
                    snapshot.fields.insert(name.clone(), value.value().to_vec());
                }
            }
        }
    }
    Ok(Some(snapshot))
}

#[async_trait]
impl ConversationStore for Embedded {
    async fn read(&self, key: Key, fields: &Fields) -> Result<Option<Snapshot>, StoreError> {
        let fields = fields.clone();
        self.reading(move |database| snapshot(database, key, &fields)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let (to, answer) = oneshot::channel();
        self.queue.send(Job::Commit(commit, to)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn trim(&self, retention: Retention) -> Result<u64, StoreError> {
        let (to, answer) = oneshot::channel();
        self.queue.send(Job::Trim(retention, to)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    async fn totals(&self) -> Result<Totals, StoreError> {
        self.reading(|database| {
            let transaction = database.begin_read()?;
            let weight = transaction.open_table(WEIGHT)?.get(TOTAL)?.map_or(0, |total| total.value());
            Ok(Totals { conversations: transaction.open_table(DOCUMENTS)?.len()?, responses: weight })
        })
        .await
    }
}
