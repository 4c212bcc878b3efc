//! Responses: saved, loaded with all before them, got, deleted.

use std::{collections::BTreeMap, fmt, sync::Arc};

use sha2::{Digest as _, Sha256};

use super::{
    Error,
    change::{Change, Plan, Stripes},
    clock::Clock,
    document::{
        Document, Header, Item, Meta, Redaction, Redactions, Turn, encode, input_field, item_field, item_id, join,
        meta_field, output_items, redactions_field, response_field,
    },
    ids::{ConversationId, ItemPlace, ResponseId},
    owners::Owners,
    port::{ConversationStore, Fields, Key, Retention, StoreError, Totals},
};

/// Caps, and how long a conversation is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds after the last turn.
    pub ttl: u64,
    /// Over the whole store.
    pub max_responses: u64,
    /// In one conversation.
    pub max_turns: u64,
    /// In one conversation.
    pub max_conversation_bytes: u64,
}

/// Stored conversations, whatever store keeps them.
pub struct Conversations {
    pub(super) store: Arc<dyn ConversationStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) limits: Limits,
    pub(super) stripes: Stripes,
}

impl fmt::Debug for Conversations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conversations").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// A finished response.
#[derive(Debug, Clone, Copy)]
pub struct Save<'a> {
    /// Its id.
    pub id: &'a ResponseId,
    /// The turn before.
    pub parent: Option<&'a ResponseId>,
    /// The conversation object that its items are appended to.
    pub conversation: Option<&'a ConversationId>,
    /// The Response object, JSON.
    pub response: &'a [u8],
    /// JSON objects with ids.
    pub input: &'a [Item],
    /// Placeholders that this turn made.
    pub redactions: &'a [Redaction],
}

/// What a turn continues.
#[derive(Debug, Clone, Copy)]
pub enum Continued<'a> {
    /// A response.
    Response(&'a ResponseId),
    /// A conversation object.
    Conversation(&'a ConversationId),
}

impl Continued<'_> {
    const fn conversation(self) -> u64 {
        match self {
            Self::Response(id) => id.conversation,
            Self::Conversation(id) => id.conversation,
        }
    }
}

impl Conversations {
    /// Conversations in a store.
    #[must_use]
    pub fn new(store: Arc<dyn ConversationStore>, clock: Arc<dyn Clock>, limits: Limits) -> Self {
        Self { store, clock, limits, stripes: Stripes::new() }
    }

    pub(super) fn retention(&self) -> Retention {
        Retention {
            expired_at: self.clock.now().saturating_sub(self.limits.ttl),
            ttl: self.limits.ttl,
            max_weight: self.limits.max_responses,
        }
    }

    /// Refuses sums that are over a cap.
    pub(super) fn check(&self, header: &Header) -> Result<(), Error> {
        let caps = [
            ("response_api.max_turns", self.limits.max_turns, header.turns),
            // One conversation can be no larger than the store: what would go to make room is itself.
            ("response_api.max_responses", self.limits.max_responses, header.turns),
            ("response_api.max_conversation_bytes", self.limits.max_conversation_bytes, header.bytes),
        ];
        match caps.into_iter().find(|(_, value, sum)| sum > value) {
            Some((cap, value, _)) => Err(Error::Limit { cap, value }),
            None => Ok(()),
        }
    }

    /// Stores a finished response under its conversation. To save the same again changes nothing.
    ///
    /// # Errors
    /// A parent or conversation object that is not there, a cap, a contradiction, or the store.
    pub async fn save<'o>(&self, owner: impl Into<Owners<'o>>, save: Save<'_>) -> Result<(), Error> {
        let output = checked(&save)?;
        let owners = owner.into();
        let begins = save.parent.is_none() && save.conversation.is_none();
        let owner = if begins { owners.current } else { self.owning(owners, save.id.conversation).await? };
        let mut fields = vec![super::document::HEADER.to_owned(), meta_field(save.id.node)];
        fields.extend(save.parent.map(|parent| meta_field(parent.node)));
        let digest = digest(&save);
        let key = Key::new(owner, save.id.conversation);
        self.change(key, Fields::These(fields), |document| {
            self.plan_save(document.as_ref(), &save, Prepared { output: &output, digest: &digest })
                .map(|plan| ((), plan))
        })
        .await
    }

    fn plan_save(&self, document: Option<&Document>, save: &Save<'_>, ready: Prepared<'_>) -> Result<Plan, Error> {
        if let Some(meta) = document.map(|d| d.meta(save.id.node)).transpose()?.flatten() {
            let same = meta.digest == ready.digest;
            return if same { Ok(Plan::Nothing) } else { Err(Error::Exists(save.id.as_str().to_owned())) };
        }
        let mut header = document.map(|d| d.header.clone()).unwrap_or_default();
        if let Some(parent) = save.parent {
            let found = document.map(|d| d.visible(parent.node, parent.as_str())).transpose()?.flatten();
            found.ok_or_else(|| Error::ResponseNotFound(parent.as_str().to_owned()))?;
        }
        let (mut put, mut after) = (Vec::new(), None);
        if let Some(id) = save.conversation {
            let object = header.object.as_ref().filter(|object| object.id == id.as_str());
            object.ok_or_else(|| Error::ConversationNotFound(id.as_str().to_owned()))?;
            after = Some(header.sequence);
            for item in save.input.iter().chain(ready.output) {
                header.bytes += item.len() as u64;
                put.push((item_field(header.sequence), item.clone()));
                header.sequence += 1;
            }
        }
        let input = join(save.input);
        let bytes = (input.len() + save.response.len()) as u64;
        header.turns += 1;
        header.bytes += bytes;
        if !save.redactions.is_empty() {
            let redactions = encode(&Redactions { after, list: save.redactions.to_vec() });
            header.bytes += redactions.len() as u64;
            put.push((redactions_field(save.id.node), redactions));
        }
        self.check(&header)?;
        let parent = save.parent.map(|parent| parent.node);
        let (id, digest) = (save.id.as_str().to_owned(), ready.digest.to_owned());
        let meta = Meta { id, parent, after, hidden: false, digest, bytes };
        put.push((meta_field(save.id.node), encode(&meta)));
        put.push((response_field(save.id.node), save.response.to_vec()));
        put.push((input_field(save.id.node), input));
        Ok(Plan::Change(Change { header, touch: true, put, remove: Vec::new() }))
    }

    /// All that came before a turn, oldest first, and items by their ids, in that order.
    ///
    /// # Errors
    /// What is not there, or the store.
    pub async fn continued<'o>(
        &self,
        owner: impl Into<Owners<'o>>,
        from: Option<Continued<'_>>,
        items: &[String],
    ) -> Result<(Vec<Turn>, Vec<Item>), Error> {
        let owners = owner.into();
        let mut documents = BTreeMap::new();
        let mut turns = Vec::new();
        if let Some(from) = from {
            let owner = self.owning(owners, from.conversation()).await?;
            let document = self.load(Key::new(owner, from.conversation()), &Fields::All).await?;
            turns = match from {
                Continued::Response(id) => chain(document.as_ref(), id)?,
                Continued::Conversation(id) => {
                    vec![with_object(document.as_ref(), id)?.object_turn(u64::MAX)?]
                }
            };
            documents.insert(from.conversation(), document);
        }
        let mut found = Vec::new();
        for id in items {
            found.push(self.item(owners, id, &mut documents).await?);
        }
        Ok((turns, found))
    }

    /// An item by its id: in what is loaded already, else where the id says.
    async fn item(
        &self,
        owners: Owners<'_>,
        id: &str,
        documents: &mut BTreeMap<u64, Option<Document>>,
    ) -> Result<Item, Error> {
        for document in documents.values().flatten() {
            if let Some(item) = document.find_item(id)? {
                return Ok(item);
            }
        }
        let missing = || Error::ItemNotFound(id.to_owned());
        let conversation = ItemPlace::parse(id).ok_or_else(missing)?.conversation;
        if documents.contains_key(&conversation) {
            return Err(missing());
        }
        let owner = self.owning(owners, conversation).await?;
        let document = self.load(Key::new(owner, conversation), &Fields::All).await?;
        let item = document.as_ref().map(|d| d.find_item(id)).transpose()?.flatten();
        documents.insert(conversation, document);
        item.ok_or_else(missing)
    }

    /// A response's JSON, byte for byte as it was saved.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn response(&self, owner: &str, id: &ResponseId) -> Result<Vec<u8>, Error> {
        let fields = Fields::These(vec![meta_field(id.node), response_field(id.node)]);
        let document = self.load(Key::new(owner, id.conversation), &fields).await?;
        let missing = || Error::ResponseNotFound(id.as_str().to_owned());
        let document = document.ok_or_else(missing)?;
        document.visible(id.node, id.as_str())?.ok_or_else(missing)?;
        Ok(document.field(&response_field(id.node)).ok_or_else(missing)?.to_vec())
    }

    /// The items that a response was made from: those of the turns before it, and its own input.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn input_items(&self, owner: &str, id: &ResponseId) -> Result<Vec<Item>, Error> {
        let document = self.load(Key::new(owner, id.conversation), &Fields::All).await?;
        let mut turns = chain(document.as_ref(), id)?;
        if let Some(last) = turns.last_mut() {
            last.output.clear();
        }
        Ok(turns.into_iter().flat_map(|turn| turn.input.into_iter().chain(turn.output)).collect())
    }

    /// Hides a response at once. Its items are kept until no descendant needs them.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn delete_response(&self, owner: &str, id: &ResponseId) -> Result<(), Error> {
        self.change(Key::new(owner, id.conversation), Fields::All, |document| {
            let missing = || Error::ResponseNotFound(id.as_str().to_owned());
            let document = document.ok_or_else(missing)?;
            document.visible(id.node, id.as_str())?.ok_or_else(missing)?;
            Ok(((), plan_delete(&document, id.node)?))
        })
        .await
    }

    /// Lets go of what has expired or is over the cap; how many conversations went.
    ///
    /// # Errors
    /// The store.
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        let mut gone = 0;
        loop {
            match self.store.trim(self.retention()).await? {
                0 => return Ok(gone),
                more => gone += more,
            }
        }
    }

    /// What the store holds.
    ///
    /// # Errors
    /// The store.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        self.store.totals().await
    }
}

/// What is made of a save once, however often it is tried.
#[derive(Clone, Copy)]
struct Prepared<'a> {
    output: &'a [Item],
    digest: &'a str,
}

/// Refuses what contradicts itself; gives the output items.
fn checked(save: &Save<'_>) -> Result<Vec<Item>, Error> {
    let other = |what: &str, id: &str| {
        Error::Invalid(format!("{} is not in the conversation of the {what} {id}", save.id.as_str()))
    };
    if let Some(parent) = save.parent.filter(|parent| parent.conversation != save.id.conversation) {
        return Err(other("previous response", parent.as_str()));
    }
    if let Some(object) = save.conversation.filter(|object| object.conversation != save.id.conversation) {
        return Err(other("conversation object", object.as_str()));
    }
    if save.parent.is_some_and(|parent| parent.node == save.id.node) {
        return Err(Error::Invalid("a response cannot be its own previous response".to_owned()));
    }
    if item_id(save.response).as_deref() != Some(save.id.as_str()) {
        return Err(Error::Invalid(format!("the response object's id is not {}", save.id.as_str())));
    }
    let output = output_items(save.response).map_err(|e| Error::Invalid(format!("the response object: {e}")))?;
    // A parser that skips a string does not look at its bytes.
    if save.input.iter().map(Vec::as_slice).chain([save.response]).any(|json| std::str::from_utf8(json).is_err()) {
        return Err(Error::Invalid("an item is not UTF-8".to_owned()));
    }
    let unnamed = save.input.iter().chain(&output).position(|item| item_id(item).is_none());
    match unnamed {
        Some(at) => Err(Error::Invalid(format!("item {at} is not a JSON object with an id"))),
        None => Ok(output),
    }
}

fn digest(save: &Save<'_>) -> String {
    let mut hash = Sha256::new();
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    };
    part(save.parent.map_or("", ResponseId::as_str).as_bytes());
    part(save.conversation.map_or("", ConversationId::as_str).as_bytes());
    part(save.response);
    save.input.iter().for_each(|item| part(item));
    if !save.redactions.is_empty() {
        // No item is this word: what follows is told from items.
        part(b"redactions");
        save.redactions
            .iter()
            .for_each(|one| [one.placeholder.as_bytes(), &one.digest].into_iter().for_each(&mut part));
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn chain(document: Option<&Document>, id: &ResponseId) -> Result<Vec<Turn>, Error> {
    let missing = || Error::ResponseNotFound(id.as_str().to_owned());
    let document = document.ok_or_else(missing)?;
    document.visible(id.node, id.as_str())?.ok_or_else(missing)?;
    Ok(document.chain(id.node)?)
}

/// The document, if it is the one with this very conversation object.
pub(super) fn with_object<'a>(document: Option<&'a Document>, id: &ConversationId) -> Result<&'a Document, Error> {
    let is = |document: &&Document| document.header.object.as_ref().is_some_and(|object| object.id == id.as_str());
    document.filter(is).ok_or_else(|| Error::ConversationNotFound(id.as_str().to_owned()))
}

/// Hides a turn; it and its hidden ancestors go where nothing descends from them.
fn plan_delete(document: &Document, node: u64) -> Result<Plan, Error> {
    let mut metas = document.metas()?;
    let mut change = Change { header: document.header.clone(), ..Change::default() };
    if let Some(meta) = metas.get_mut(&node) {
        meta.hidden = true;
    }
    let mut next = Some(node);
    while let Some(node) = next {
        let needed = metas.values().any(|meta| meta.parent == Some(node));
        let Some(meta) = metas.get(&node).filter(|meta| meta.hidden && !needed) else { break };
        change.header.turns = change.header.turns.saturating_sub(1);
        change.header.bytes = change.header.bytes.saturating_sub(meta.bytes);
        change.remove.extend([meta_field(node), response_field(node), input_field(node)]);
        // Where the turn's items are in the conversation object too, its placeholders still stand in them.
        let redactions = redactions_field(node);
        if let Some(value) =
            document.field(&redactions).filter(|_| meta.after.is_none() || change.header.object.is_none())
        {
            change.header.bytes = change.header.bytes.saturating_sub(value.len() as u64);
            change.remove.push(redactions);
        }
        next = meta.parent;
        metas.remove(&node);
    }
    if let Some(meta) = metas.get(&node) {
        change.put.push((meta_field(node), encode(meta)));
    }
    let empty = metas.is_empty() && change.header.object.is_none();
    Ok(if empty { Plan::Drop } else { Plan::Change(change) })
}
