//! `routing_metadata` in a completion: spliced in behind the first brace as the body passes, so that nothing is held and only the
//! first bytes are looked at.

use serde::Serialize;

use crate::{body::Edit, guard::checks::Checks};

/// The member's value (the seeds' names, and category, decision, endpoint).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RoutingMetadata<'a> {
    /// The model that served.
    pub selected_model: &'a str,
    /// The classifier's confidence, where there is a verdict.
    pub confidence: Option<f64>,
    /// Its label.
    pub category: Option<&'a str>,
    /// The rule that chose the model; none for a named or the default model.
    pub decision: Option<&'a str>,
    /// The endpoint that served, where known.
    pub endpoint: Option<&'a str>,
    /// Milliseconds that Fingerpost took before the request went to the backend.
    pub processing_time_ms: u64,
    /// Milliseconds of them that the classifier took.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub classification_time_ms: Option<u64>,
    /// Whether the answer came from a cache: there is none yet.
    pub cache_hit: bool,
    /// Why the default model served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<&'static str>,
    /// What the guards found, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_checks: Option<&'a Checks>,
}

/// Adds one member to a JSON object, as its first: once the opening brace has passed, nothing more is read or held.
#[derive(Debug)]
pub struct Member {
    json: String,
    seen: Seen,
}

/// What has passed of the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// White space at most.
    Nothing,
    /// The brace, with the member behind it; whether a comma must follow is not known yet.
    Brace,
    /// All that matters.
    Enough,
}

impl Member {
    /// The bytes at the start of each chunk that are to be handed in.
    pub const PEEK: usize = 64;

    /// `"routing_metadata": metadata`.
    #[must_use]
    pub fn new(metadata: &RoutingMetadata<'_>) -> Self {
        let json = serde_json::to_string(metadata).unwrap_or_else(|_| "null".to_owned());
        Self { json: format!("\"routing_metadata\":{json}"), seen: Seen::Nothing }
    }

    /// Whether the next chunk is to be handed in.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.seen != Seen::Enough
    }

    /// Takes the start of the next chunk and says how it changes. `cut`: there is more of the chunk than this. A body that is no
    /// object, or hides its brace behind more white space than is looked at, stays as it is.
    pub fn push(&mut self, start: &[u8], cut: bool) -> Option<Edit> {
        let brace = match self.seen {
            Seen::Enough => return None,
            Seen::Brace => 0,
            Seen::Nothing => match visible(start) {
                Some(at) if start.get(at) == Some(&b'{') => at + 1,
                // White space: the object may come with the next chunk, unless there is more of this one.
                None if !cut => return None,
                _ => {
                    self.seen = Seen::Enough;
                    return None;
                }
            },
        };
        let after = start.get(brace..).unwrap_or_default();
        let next = visible(after);
        let mut bytes = start.get(..brace).unwrap_or_default().to_vec();
        match (self.seen, next) {
            (Seen::Nothing, None) if cut => {
                self.seen = Seen::Enough;
                return None;
            }
            (Seen::Nothing, _) => bytes.extend_from_slice(self.json.as_bytes()),
            _ => {}
        }
        let space = next.unwrap_or(after.len());
        bytes.extend_from_slice(after.get(..space).unwrap_or_default());
        self.seen = if next.is_some() { Seen::Enough } else { Seen::Brace };
        if after.get(space).is_some_and(|next| *next != b'}') {
            bytes.push(b',');
        }
        Some(Edit { replaced: brace + space, bytes })
    }
}

fn visible(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|b| !b.is_ascii_whitespace())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    const METADATA: RoutingMetadata<'_> = RoutingMetadata {
        selected_model: "m",
        confidence: Some(0.5),
        category: Some("math"),
        decision: None,
        endpoint: Some("e"),
        processing_time_ms: 3,
        classification_time_ms: None,
        cache_hit: false,
        fallback: None,
        security_checks: None,
    };

    fn run<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let (mut member, mut out) = (Member::new(&METADATA), Vec::new());
        for chunk in chunks {
            let start = &chunk[..chunk.len().min(Member::PEEK)];
            let edit = if member.is_open() { member.push(start, start.len() < chunk.len()) } else { None };
            let edit = edit.unwrap_or(Edit { replaced: 0, bytes: Vec::new() });
            out.extend([edit.bytes.as_slice(), &chunk[edit.replaced..]].concat());
        }
        out
    }

    #[test]
    fn adds_a_member_to_an_object() {
        for (body, before) in [
            ("{}", json!({})),
            (" { } ", json!({})),
            (" {\"a\": [1, {}]} \n", json!({"a": [1, {}]})),
            ("\n{\n\"b\":1}", json!({"b": 1})),
        ] {
            let out: Value = serde_json::from_slice(&run(std::iter::once(body.as_bytes()))).unwrap();
            let mut expected = before;
            expected["routing_metadata"] = json!({ "selected_model": "m", "confidence": 0.5, "category": "math", "decision": null,
                "endpoint": "e", "processing_time_ms": 3, "cache_hit": false });
            assert_eq!(out, expected, "{body}");
        }
    }

    #[test]
    fn leaves_alone_what_is_no_object() {
        let spaces = " ".repeat(Member::PEEK);
        for body in
            ["", " ", "[1]", "[{}]", "garbage}", "\"{\"", "null", &format!("{spaces}{{}}"), &format!("{{{spaces}}}")]
        {
            assert_eq!(run(std::iter::once(body.as_bytes())), body.as_bytes(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(body in "[ \n]{0,4}\\{[{} \n\"a1,:]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let body = body.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
            at.sort_unstable();
            let chunks = at.windows(2).filter_map(|w| body.get(*w.first()?..*w.last()?));
            let out = run(chunks);
            prop_assert_eq!(&out, &run(std::iter::once(body)));
            let text = String::from_utf8(out).unwrap();
            let added = text.find("\"routing_metadata\"").unwrap();
            prop_assert_eq!(text.get(..added).map(str::trim), Some("{"));
        }
    }
}
