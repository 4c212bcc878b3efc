//! Conversation objects: made, got, changed, deleted, and their items.

use std::collections::{BTreeMap, HashSet};

use super::{
    Error,
    change::{Change, Plan},
    conversations::{Conversations, with_object},
    document::{HEADER, Header, Item, Object, item_field, item_id},
    ids::ConversationId,
    port::{Fields, Key},
};

impl Conversations {
    /// Makes a conversation object under a fresh id.
    ///
    /// # Errors
    /// A cap, an item that is there twice, an id that is taken, or the store.
    pub async fn create(
        &self,
        owner: &str,
        id: &ConversationId,
        metadata: BTreeMap<String, String>,
        items: &[Item],
    ) -> Result<Object, Error> {
        let object = Object { id: id.as_str().to_owned(), created_at: self.clock.now() / 1_000, metadata };
        self.change(Key::new(owner, id.conversation), Fields::These(vec![HEADER.to_owned()]), |document| {
            let mut header = document.map(|d| d.header).unwrap_or_default();
            if header.object.is_some() {
                return Err(Error::Exists(id.as_str().to_owned()));
            }
            header.object = Some(object.clone());
            let put = append(&mut header, items, HashSet::new())?;
            self.check(&header)?;
            Ok((object.clone(), Plan::Change(Change { header, touch: true, put, remove: Vec::new() })))
        })
        .await
    }

    /// A conversation object.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn object(&self, owner: &str, id: &ConversationId) -> Result<Object, Error> {
        let fields = Fields::These(vec![HEADER.to_owned()]);
        let document = self.load(Key::new(owner, id.conversation), &fields).await?;
        let object = with_object(document.as_ref(), id)?.header.object.clone();
        object.ok_or_else(|| Error::ConversationNotFound(id.as_str().to_owned()))
    }

    /// Gives a conversation object other metadata.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn update(
        &self,
        owner: &str,
        id: &ConversationId,
        metadata: BTreeMap<String, String>,
    ) -> Result<Object, Error> {
        self.change(Key::new(owner, id.conversation), Fields::These(vec![HEADER.to_owned()]), |document| {
            let mut header = with_object(document.as_ref(), id)?.header.clone();
            let missing = || Error::ConversationNotFound(id.as_str().to_owned());
            let object = header.object.as_mut().ok_or_else(missing)?;
            object.metadata.clone_from(&metadata);
            let object = object.clone();
            Ok((object, Plan::Change(Change { header, touch: true, ..Change::default() })))
        })
        .await
    }

    /// Deletes a conversation object and its list of items. Responses made in it stay, as in OpenAI's API, each with the items
    /// that it brought itself.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn delete_object(&self, owner: &str, id: &ConversationId) -> Result<(), Error> {
        self.change(Key::new(owner, id.conversation), Fields::All, |document| {
            let document = with_object(document.as_ref(), id)?;
            let mut change = Change { header: document.header.clone(), ..Change::default() };
            change.header.object = None;
            if change.header.turns == 0 {
                return Ok(((), Plan::Drop));
            }
            for (sequence, item) in document.items() {
                change.header.bytes = change.header.bytes.saturating_sub(item.len() as u64);
                change.remove.push(item_field(sequence));
            }
            for (field, bytes) in document.orphaned_redactions()? {
                change.header.bytes = change.header.bytes.saturating_sub(bytes);
                change.remove.push(field);
            }
            Ok(((), Plan::Change(change)))
        })
        .await
    }

    /// Appends items to a conversation object.
    ///
    /// # Errors
    /// Where it is not there, a cap, an item whose id is there already, or the store.
    pub async fn append(&self, owner: &str, id: &ConversationId, items: &[Item]) -> Result<(), Error> {
        self.change(Key::new(owner, id.conversation), Fields::All, |document| {
            let document = with_object(document.as_ref(), id)?;
            let mut header = document.header.clone();
            let there = document.items().filter_map(|(_, item)| item_id(item)).collect();
            let put = append(&mut header, items, there)?;
            self.check(&header)?;
            Ok(((), Plan::Change(Change { header, touch: true, put, remove: Vec::new() })))
        })
        .await
    }

    /// The items of a conversation object, oldest first.
    ///
    /// # Errors
    /// Where it is not there, or the store.
    pub async fn items(&self, owner: &str, id: &ConversationId) -> Result<Vec<Item>, Error> {
        let document = self.load(Key::new(owner, id.conversation), &Fields::All).await?;
        Ok(with_object(document.as_ref(), id)?.items().map(|(_, item)| item.to_vec()).collect())
    }

    /// Deletes an item of a conversation object; gives the object.
    ///
    /// # Errors
    /// Where one of them is not there, or the store.
    pub async fn delete_item(&self, owner: &str, id: &ConversationId, item: &str) -> Result<Object, Error> {
        self.change(Key::new(owner, id.conversation), Fields::All, |document| {
            let document = with_object(document.as_ref(), id)?;
            let mut change = Change { header: document.header.clone(), ..Change::default() };
            for (sequence, found) in document.items().filter(|(_, i)| item_id(i).as_deref() == Some(item)) {
                change.header.bytes = change.header.bytes.saturating_sub(found.len() as u64);
                change.remove.push(item_field(sequence));
            }
            let object = change.header.object.clone().filter(|_| !change.remove.is_empty());
            Ok((object.ok_or_else(|| Error::ItemNotFound(item.to_owned()))?, Plan::Change(change)))
        })
        .await
    }
}

/// Adds items after the last one; `there` are the ids that are taken.
fn append(header: &mut Header, items: &[Item], mut there: HashSet<String>) -> Result<Vec<(String, Vec<u8>)>, Error> {
    let mut put = Vec::new();
    for item in items {
        let id = item_id(item).ok_or_else(|| Error::Invalid("an item has no id".to_owned()))?;
        if !there.insert(id.clone()) {
            return Err(Error::DuplicateItem(id));
        }
        header.bytes += item.len() as u64;
        put.push((item_field(header.sequence), item.clone()));
        header.sequence += 1;
    }
    Ok(put)
}
