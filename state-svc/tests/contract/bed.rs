//! What a case stands on: a store of its own on an engine, a clock that is set, and short ways to say things.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use fingerpost_state::{
    domain::{
        Continued, Conversations, Error, Item, Limits, Redaction, Save, Turn,
        clock::Clock,
        ids::{ConversationId, ResponseId},
        port::ConversationStore,
    },
    engine::{
        embedded::Embedded,
        memory::Memory,
        redis::{Address, Redis},
    },
};
use tempfile::TempDir;

/// An engine and where it is.
#[derive(Clone)]
pub enum Engine {
    Memory,
    Embedded,
    Redis(String),
    Cluster(Vec<String>),
}

impl Engine {
    /// A fresh store. The folder lives as long as it is held.
    pub async fn store(&self) -> (Arc<dyn ConversationStore>, Option<TempDir>) {
        let prefix = format!("test-{:016x}", rand::random::<u64>());
        let address = |urls: &[String], cluster| Address { urls: urls.to_vec(), cluster, prefix };
        match self {
            Self::Memory => (Arc::new(Memory::default()), None),
            Self::Embedded => {
                let folder = tempfile::tempdir().unwrap();
                (Arc::new(Embedded::open(&folder.path().join("state.redb")).unwrap()), Some(folder))
            }
            Self::Redis(url) => {
                (Arc::new(Redis::connect(address(std::slice::from_ref(url), false)).await.unwrap()), None)
            }
            Self::Cluster(urls) => (Arc::new(Redis::connect(address(urls, true)).await.unwrap()), None),
        }
    }
}

/// A clock that stands until it is moved.
#[derive(Debug)]
pub struct SetClock(pub AtomicU64);

impl Clock for SetClock {
    fn now(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub const TTL: u64 = 3_600_000;

pub const LIMITS: Limits =
    Limits { ttl: TTL, max_responses: 10_000, max_turns: 1_000, max_conversation_bytes: 1 << 20 };

pub struct Bed {
    pub conversations: Arc<Conversations>,
    pub store: Arc<dyn ConversationStore>,
    pub clock: Arc<SetClock>,
    limits: Limits,
    _folder: Option<TempDir>,
}

pub const OWNER: &str = "tenant-a";

impl Bed {
    pub async fn new(engine: Engine, limits: Limits) -> Self {
        let (store, folder) = engine.store().await;
        let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
        let conversations = Arc::new(Conversations::new(store.clone(), clock.clone(), limits));
        Self { conversations, store, clock, limits, _folder: folder }
    }

    /// Another service on the same store: it shares no locks with the first.
    pub fn another(&self) -> Arc<Conversations> {
        Arc::new(Conversations::new(self.store.clone(), self.clock.clone(), self.limits))
    }

    pub fn pass(&self, millis: u64) {
        self.clock.0.fetch_add(millis, Ordering::SeqCst);
    }

    pub async fn save(&self, id: &ResponseId, parent: Option<&ResponseId>) -> Result<(), Error> {
        save_in(&self.conversations, id, parent, None).await
    }

    /// The turns that a follow-up of this response gets.
    pub async fn chain(&self, id: &ResponseId) -> Result<Vec<Turn>, Error> {
        Ok(self.conversations.continued(OWNER, Some(Continued::Response(id)), &[]).await?.0)
    }

    pub async fn get(&self, id: &ResponseId) -> Result<Vec<u8>, Error> {
        self.conversations.response(OWNER, id).await
    }

    pub async fn delete(&self, id: &ResponseId) {
        self.conversations.delete_response(OWNER, id).await.unwrap();
    }

    /// The ids of the responses in the chain.
    pub async fn ids(&self, id: &ResponseId) -> Vec<String> {
        self.chain(id).await.unwrap().into_iter().map(|turn| turn.response_id).collect()
    }
}

pub fn id(conversation: u64, node: u64) -> ResponseId {
    ResponseId::parse(&format!("resp_{:016x}{conversation:016x}{node:016x}", 7)).unwrap()
}

pub fn object_id(conversation: u64) -> ConversationId {
    ConversationId::parse(&format!("conv_{:016x}{conversation:016x}", 7)).unwrap()
}

/// An item named as ours are, with spacing that must survive.
pub fn item(conversation: u64, node: u64, ordinal: u16, text: &str) -> Item {
    let id = item_id(conversation, node, ordinal);
    format!("{{\"type\": \"message\",  \"id\":\"{id}\", \"content\":\"{text}\"}}").into_bytes()
}

pub fn item_id(conversation: u64, node: u64, ordinal: u16) -> String {
    format!("msg_{conversation:016x}{node:016x}{ordinal:04x}")
}

pub fn input(id: &ResponseId) -> Vec<Item> {
    vec![item(id.conversation, id.node, 0, &format!("question {}", id.node))]
}

pub fn output(id: &ResponseId) -> Vec<Item> {
    vec![item(id.conversation, id.node, 0x8000, "grüße")]
}

pub fn response(id: &ResponseId) -> Vec<u8> {
    let output: Vec<String> = output(id).into_iter().map(|item| String::from_utf8(item).unwrap()).collect();
    format!("{{\"id\":\"{}\",\"object\":\"response\", \"output\":[{}]}}", id.as_str(), output.join(" ,")).into_bytes()
}

pub fn turn(id: &ResponseId) -> Turn {
    Turn { response_id: id.as_str().to_owned(), input: input(id), output: output(id), redactions: Vec::new() }
}

pub async fn save_in(
    conversations: &Conversations,
    id: &ResponseId,
    parent: Option<&ResponseId>,
    conversation: Option<&ConversationId>,
) -> Result<(), Error> {
    let (response, input) = (response(id), input(id));
    let save = Save { id, parent, conversation, response: &response, input: &input, redactions: &[] };
    conversations.save(OWNER, save).await
}

pub fn redaction(placeholder: &str, digest: u8) -> Redaction {
    Redaction { placeholder: placeholder.to_owned(), digest: vec![digest; 16] }
}

/// Saves a turn that redacted something.
pub async fn save_redacted(
    bed: &Bed,
    id: &ResponseId,
    parent: Option<&ResponseId>,
    conversation: Option<&ConversationId>,
    redactions: &[Redaction],
) -> Result<(), Error> {
    let (response, input) = (response(id), input(id));
    bed.conversations
        .save(OWNER, Save { id, parent, conversation, response: &response, input: &input, redactions })
        .await
}

pub fn not_found<T: std::fmt::Debug>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::ResponseNotFound(_) | Error::ConversationNotFound(_) | Error::ItemNotFound(_)))
}
