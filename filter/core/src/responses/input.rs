//! The input items of a turn as they are stored and listed: each with an id, a string made the message it stands for.

use serde_json::value::RawValue;

use super::{
    CreateRequest, Minted,
    item::{Item, Kind, Part, PartKind, Role},
    json::{self, Object},
    minted::Prefix,
    response::bytes,
};

/// Whether the turn's instructions are part of the conversation (`response_api.instructions`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KeepInstructions {
    /// They hold for one request.
    #[default]
    No,
    /// They are the first item.
    Yes,
}

/// The items, in order. Ids that the client gave stay; the others are minted by place.
#[must_use]
pub fn input_items(request: &CreateRequest, minted: &Minted, keep: KeepInstructions) -> Vec<Vec<u8>> {
    let instructions = request.instructions.as_ref().filter(|text| keep == KeepInstructions::Yes && !text.is_empty());
    let instructions = instructions.map(|text| message(Role::System, text));
    let items = instructions.iter().chain(&request.input);
    items.enumerate().map(|(i, item)| bytes(&normalised(item, minted, i))).collect()
}

fn message(role: Role, text: &str) -> Item {
    let json = json::raw(&serde_json::json!({"type": "message", "role": role.word(), "content": text}));
    Item { id: None, kind: Kind::Message { role, content: vec![Part::text(text.to_owned())] }, json }
}

impl Role {
    const fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::System => "system",
            Self::Developer => "developer",
        }
    }
}

fn normalised(item: &Item, minted: &Minted, place: usize) -> Box<RawValue> {
    // `check` has refused more items than there are ordinals.
    let ordinal = u16::try_from(place).unwrap_or(u16::MAX);
    let id = json::raw(&item.id.clone().unwrap_or_else(|| minted.item(prefix(&item.kind), ordinal)));
    let Ok(object) = Object::parse(item.json.get(), "", &[]) else { return item.json.clone() };
    let (completed, kind) = (json::literal(r#""completed""#), json::literal(r#""message""#));
    let mut changes = vec![("id", &*id)];
    let listed;
    if let Kind::Message { role, content } = &item.kind {
        changes.push(("type", &*kind));
        if object.raw("content").is_some_and(|content| content.get().starts_with('"')) {
            listed = content_list(*role, content);
            changes.push(("content", &*listed));
        }
    }
    if !matches!(item.kind, Kind::Reasoning(_) | Kind::Reference | Kind::Other(_)) && object.raw("status").is_none() {
        changes.push(("status", &*completed));
    }
    object.with(&changes)
}

const fn prefix(kind: &Kind) -> Prefix {
    match kind {
        Kind::Message { .. } => Prefix::Message,
        Kind::Call(_) => Prefix::Call,
        Kind::CallOutput { .. } => Prefix::CallOutput,
        Kind::Reasoning(_) => Prefix::Reasoning,
        Kind::Reference | Kind::Other(_) => Prefix::Item,
    }
}

/// The list of parts that a string stands for.
fn content_list(role: Role, content: &[Part]) -> Box<RawValue> {
    let parts = content.iter().map(|part| match &part.kind {
        PartKind::Text(text) if role == Role::Assistant => {
            serde_json::json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []})
        }
        PartKind::Text(text) => serde_json::json!({"type": "input_text", "text": text}),
        // A string is text.
        _ => serde_json::Value::Null,
    });
    json::raw(&parts.collect::<Vec<_>>())
}
