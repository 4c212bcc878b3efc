//! What the fields of a conversation's document are, and what can be read from them.
//!
//! `h` the header; `m`NODE a turn's bookkeeping; `r`NODE its Response object; `x`NODE its input items; `d`NODE what stands for redacted values in
//! them; `i`SEQUENCE an item of the conversation object. Bodies are never rewritten: a turn adds its own fields and changes the header.

use std::collections::{BTreeMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::port::{Key, Snapshot, StoreError};

/// An item: a JSON object with its `id`.
pub type Item = Vec<u8>;

/// The field of the header.
pub const HEADER: &str = "h";

/// The field of a turn's bookkeeping.
#[must_use]
pub fn meta_field(node: u64) -> String {
    format!("m{node:016x}")
}

/// The field of a turn's Response object.
#[must_use]
pub fn response_field(node: u64) -> String {
    format!("r{node:016x}")
}

/// The field of a turn's input items.
#[must_use]
pub fn input_field(node: u64) -> String {
    format!("x{node:016x}")
}

/// The field of what a turn redacted.
#[must_use]
pub fn redactions_field(node: u64) -> String {
    format!("d{node:016x}")
}

/// The field of an item of the conversation object.
#[must_use]
pub fn item_field(sequence: u64) -> String {
    format!("i{sequence:016x}")
}

/// The sums of a conversation, and its object.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// Turns that are stored.
    pub turns: u64,
    /// Bytes of all bodies.
    pub bytes: u64,
    /// The next item's sequence number.
    pub sequence: u64,
    /// The conversation object, where one was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<Object>,
}

/// A conversation object, its items apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// `conv_...`, whole.
    pub id: String,
    /// Seconds since the epoch.
    pub created_at: u64,
    /// The client's.
    pub metadata: BTreeMap<String, String>,
}

/// A turn's bookkeeping.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// `resp_...`, whole.
    pub id: String,
    /// The turn before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<u64>,
    /// Items of the conversation object before this sequence number came first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Whether it was deleted and is kept for its descendants.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub hidden: bool,
    /// SHA-256 of all that was saved, to know a repeated save by.
    pub digest: String,
    /// Bytes of its bodies.
    pub bytes: u64,
}

/// A placeholder in stored items, and a keyed hash of the value that it stands for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redaction {
    /// For example `[EMAIL_ADDRESS_1]`.
    pub placeholder: String,
    /// The same for the same value.
    pub digest: Vec<u8>,
}

/// What a turn redacted. It outlives the turn where the turn's items went into a conversation object: placeholders in them must
/// not get a second meaning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redactions {
    /// Where in the conversation object the turn's items begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// In the order in which they were made.
    pub list: Vec<Redaction>,
}

/// One request and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Turn {
    /// Empty where the turn stands for a conversation object's items.
    pub response_id: String,
    /// What the request brought.
    pub input: Vec<Item>,
    /// What the answer brought.
    pub output: Vec<Item>,
    /// What stands for redacted values in them.
    pub redactions: Vec<Redaction>,
}

/// A conversation, as far as it was read.
#[derive(Debug, Clone)]
pub struct Document {
    key: Key,
    /// The sums.
    pub header: Header,
    /// When it was last continued.
    pub touched: u64,
    fields: BTreeMap<String, Vec<u8>>,
}

#[derive(Deserialize)]
struct Output<'a> {
    #[serde(borrow, default)]
    output: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<String>,
}

/// An item's id, where it has one.
#[must_use]
pub fn item_id(item: &[u8]) -> Option<String> {
    serde_json::from_slice::<Named>(item).ok()?.id
}

/// The output items of a Response object, byte for byte.
///
/// # Errors
/// Where it is no JSON object, or `output` is no list.
pub fn output_items(response: &[u8]) -> Result<Vec<Item>, serde_json::Error> {
    let Output { output } = serde_json::from_slice(response)?;
    Ok(output.into_iter().map(|raw| raw.get().as_bytes().to_vec()).collect())
}

/// Items as one JSON list.
#[must_use]
pub fn join(items: &[Item]) -> Vec<u8> {
    let mut out = vec![b'['];
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        out.extend_from_slice(item);
    }
    out.push(b']');
    out
}

/// As JSON. Types of ours always have a JSON form.
pub(super) fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).unwrap_or_default()
}

impl Document {
    /// Reads what was found.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the header does not read.
    pub fn open(key: Key, snapshot: Snapshot) -> Result<Self, StoreError> {
        let mut document = Self { key, header: Header::default(), touched: snapshot.touched, fields: snapshot.fields };
        if let Some(header) = document.read(HEADER)? {
            document.header = header;
        }
        Ok(document)
    }

    fn damaged(&self, field: &str, error: &impl ToString) -> StoreError {
        StoreError::Damaged { key: self.key.hex(), message: format!("field {field}: {}", error.to_string()) }
    }

    fn read<'a, T: Deserialize<'a>>(&'a self, field: &str) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.fields.get(field) else { return Ok(None) };
        serde_json::from_slice(bytes).map(Some).map_err(|e| self.damaged(field, &e))
    }

    /// A field's bytes.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&[u8]> {
        self.fields.get(name).map(Vec::as_slice)
    }

    /// A turn's bookkeeping.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn meta(&self, node: u64) -> Result<Option<Meta>, StoreError> {
        self.read(&meta_field(node))
    }

    /// A turn that can be seen and has this very id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn visible(&self, node: u64, id: &str) -> Result<Option<Meta>, StoreError> {
        Ok(self.meta(node)?.filter(|meta| !meta.hidden && meta.id == id))
    }

    /// The bookkeeping of all turns.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn metas(&self) -> Result<BTreeMap<u64, Meta>, StoreError> {
        let nodes = self.fields.keys().filter_map(|name| name.strip_prefix('m'));
        let mut out = BTreeMap::new();
        for node in nodes.filter_map(|digits| u64::from_str_radix(digits, 16).ok()) {
            if let Some(meta) = self.meta(node)? {
                out.insert(node, meta);
            }
        }
        Ok(out)
    }

    fn turn(&self, node: u64, meta: &Meta) -> Result<Turn, StoreError> {
        let (input, response) = (input_field(node), response_field(node));
        let items: Vec<&RawValue> = self.read(&input)?.ok_or_else(|| self.damaged(&input, &"missing"))?;
        let body = self.field(&response).ok_or_else(|| self.damaged(&response, &"missing"))?;
        Ok(Turn {
            response_id: meta.id.clone(),
            input: items.into_iter().map(|raw| raw.get().as_bytes().to_vec()).collect(),
            output: output_items(body).map_err(|e| self.damaged(&response, &e))?,
            redactions: self.read(&redactions_field(node))?.map(|found: Redactions| found.list).unwrap_or_default(),
        })
    }

    /// The conversation object's items before a sequence number, as a turn without an id.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn object_turn(&self, before: u64) -> Result<Turn, StoreError> {
        let items = self.items().filter(|(sequence, _)| *sequence < before);
        let input = items.map(|(_, item)| item.to_vec()).collect();
        let mut redactions = Vec::new();
        for field in self.fields.range("d".to_owned().."e".to_owned()).map(|(name, _)| name) {
            let found: Option<Redactions> = self.read(field)?;
            redactions.extend(found.and_then(|found| Some((found.after.filter(|after| *after < before)?, found.list))));
        }
        redactions.sort_by_key(|(after, _)| *after);
        let redactions = redactions.into_iter().flat_map(|(_, list)| list).collect();
        Ok(Turn { input, redactions, ..Turn::default() })
    }

    /// What was redacted in turns whose items are only in the conversation object now: fields, and their bytes.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn orphaned_redactions(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let turns = self.metas()?;
        let node = |name: &str| u64::from_str_radix(name.strip_prefix('d')?, 16).ok();
        let all = self.fields.range("d".to_owned().."e".to_owned());
        let orphaned = all.filter(|(name, _)| node(name).is_some_and(|node| !turns.contains_key(&node)));
        Ok(orphaned.map(|(name, value)| (name.clone(), value.len() as u64)).collect())
    }

    /// A turn and all before it, oldest first, deleted ones too. Where it began in a conversation object, that object's earlier
    /// items come first.
    ///
    /// # Errors
    /// [`StoreError::Damaged`], also where an ancestor is missing.
    pub fn chain(&self, node: u64) -> Result<Vec<Turn>, StoreError> {
        let (mut turns, mut seen, mut next) = (Vec::new(), HashSet::new(), Some(node));
        while let Some(node) = next {
            let field = meta_field(node);
            let meta = self.meta(node)?.ok_or_else(|| self.damaged(&field, &"missing"))?;
            if !seen.insert(node) {
                return Err(self.damaged(&field, &"it is its own ancestor"));
            }
            turns.push(self.turn(node, &meta)?);
            if let Some(after) = meta.after {
                turns.push(self.object_turn(after)?);
            }
            next = meta.parent;
        }
        turns.reverse();
        Ok(turns)
    }

    /// The items of the conversation object, oldest first, with their sequence numbers.
    pub fn items(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.fields.range("i".to_owned().."j".to_owned()).filter_map(|(name, item)| {
            let sequence = u64::from_str_radix(name.strip_prefix('i')?, 16).ok()?;
            Some((sequence, item.as_slice()))
        })
    }

    /// An item by its id, among the conversation object's and those of turns that can be seen.
    ///
    /// # Errors
    /// [`StoreError::Damaged`].
    pub fn find_item(&self, id: &str) -> Result<Option<Item>, StoreError> {
        if let Some((_, item)) = self.items().find(|(_, item)| item_id(item).as_deref() == Some(id)) {
            return Ok(Some(item.to_vec()));
        }
        for (node, meta) in self.metas()?.iter().filter(|(_, meta)| !meta.hidden) {
            let turn = self.turn(*node, meta)?;
            let found = turn.input.into_iter().chain(turn.output).find(|item| item_id(item).as_deref() == Some(id));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}
