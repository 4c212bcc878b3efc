//! What no guard can read: images, sound, files, tokens, what is encrypted. It is counted, never silently passed over.

use serde::Serialize;

use super::keys::{Key, Value, is_identifier};

/// What kind of thing cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Image,
    Audio,
    Video,
    File,
    /// Token ids or embeddings instead of text.
    Tokens,
    /// Reasoning that only its provider can read.
    Encrypted,
    /// What a backend keeps of the conversation.
    History,
}

/// A string that is, or leads to, something that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub kind: Kind,
    /// Whether the string itself has nothing to read.
    pub opaque: bool,
}

/// Base64 shorter than this may be a word.
const MIN_RESULT: usize = 1_024;
/// The longest `data:` URL's head.
const MAX_HEAD: usize = 128;

/// Recognises it by its key, the key that its object stands under, and its own shape: text in the place of an image is text.
pub(super) fn recognise(key: &Key, under: Option<&Key>, text: &str) -> Option<Seen> {
    let holder = under.filter(|under| matches!(under.value, Value::Media | Value::Link));
    let opaque = |kind| Some(Seen { kind, opaque: true });
    let linked = |kind| {
        let seen = Seen { kind, opaque: is_data_url(text) || is_identifier_not_url(text) };
        (!text.is_empty()).then_some(seen)
    };
    match key.name {
        "image_url" => linked(Kind::Image),
        "url" => linked(kind_of(holder?)),
        "video_url" | "audio_url" => linked(kind_of(key)),
        "file_id" | "file_url" if under.is_none_or(|under| under.name != "annotations") => linked(Kind::File),
        "file_data" if is_data_url(text) || is_base64(text) => opaque(Kind::File),
        "data" if is_base64(text) => opaque(kind_of(holder?)),
        "result" if text.len() >= MIN_RESULT && is_base64(text) => opaque(Kind::Image),
        "encrypted_content" if is_base64(text) => opaque(Kind::Encrypted),
        "prompt_embeds" if is_base64(text) => opaque(Kind::Tokens),
        _ => None,
    }
}

fn kind_of(holder: &Key) -> Kind {
    match holder.name {
        "image_url" => Kind::Image,
        "video_url" => Kind::Video,
        "audio_url" | "input_audio" | "audio" => Kind::Audio,
        _ => Kind::File,
    }
}

fn is_identifier_not_url(text: &str) -> bool {
    is_identifier(text) && !text.contains("://")
}

/// `data:image/png;base64,...`, and nothing but base64 behind the comma.
fn is_data_url(text: &str) -> bool {
    let rest = text.get(..5).filter(|scheme| scheme.eq_ignore_ascii_case("data:")).and_then(|_| text.get(5..));
    let Some((head, data)) = rest.and_then(|rest| rest.split_once(',')) else { return false };
    let media = head.strip_suffix(";base64").filter(|media| media.len() <= MAX_HEAD);
    media.is_some_and(|media| media.bytes().all(|b| b.is_ascii_alphanumeric() || b"/+.-;=".contains(&b)))
        && is_base64(data)
}

fn is_base64(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/-_=".contains(&b))
}
