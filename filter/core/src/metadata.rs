//! `routing_metadata` in a completion: spliced in before the last brace as the body passes, so that nothing is buffered but the tail.

use serde::Serialize;

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
}

/// Passes a JSON object through, chunk by chunk, and adds one member at its end.
#[derive(Debug)]
pub struct Appender {
    member: String,
    /// What may be the end of the object: the last closing brace and the white space behind it.
    held: Vec<u8>,
    /// The last byte passed on that is not white space, and the first one of all.
    last: Option<u8>,
    first: Option<u8>,
}

impl Appender {
    /// Adds `"routing_metadata": metadata`.
    #[must_use]
    pub fn new(metadata: &RoutingMetadata<'_>) -> Self {
        let json = serde_json::to_string(metadata).unwrap_or_else(|_| "null".to_owned());
        Self { member: format!("\"routing_metadata\":{json}"), held: Vec::new(), last: None, first: None }
    }

    /// Takes the next chunk and gives what can be passed on. At the end a body that is not an object comes out as it went in.
    pub fn push(&mut self, chunk: &[u8], end: bool) -> Vec<u8> {
        let mut out = std::mem::take(&mut self.held);
        out.extend_from_slice(chunk);
        let tail = out.iter().rposition(|b| !b.is_ascii_whitespace());
        if let Some(tail) = tail.filter(|tail| out.get(*tail) == Some(&b'}')) {
            self.held = out.split_off(tail);
        }
        self.note(&out);
        if end {
            if self.held.first() == Some(&b'}') && self.first == Some(b'{') {
                if self.last != Some(b'{') {
                    out.push(b',');
                }
                out.extend_from_slice(self.member.as_bytes());
            }
            out.append(&mut self.held);
        }
        out
    }

    fn note(&mut self, passed: &[u8]) {
        let mut visible = passed.iter().copied().filter(|b| !b.is_ascii_whitespace());
        self.first = self.first.or_else(|| visible.next());
        self.last = passed.iter().rev().copied().find(|b| !b.is_ascii_whitespace()).or(self.last);
    }
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
    };

    fn run<'a>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
        let mut appender = Appender::new(&METADATA);
        let mut out: Vec<u8> = chunks.flat_map(|chunk| appender.push(chunk, false)).collect();
        out.extend(appender.push(b"", true));
        out
    }

    #[test]
    fn adds_a_member_to_an_object() {
        for (body, before) in [("{}", json!({})), (" {\"a\": [1, {}]} \n", json!({"a": [1, {}]}))] {
            let out: Value = serde_json::from_slice(&run(std::iter::once(body.as_bytes()))).unwrap();
            let mut expected = before;
            expected["routing_metadata"] = json!({ "selected_model": "m", "confidence": 0.5, "category": "math", "decision": null,
                "endpoint": "e", "processing_time_ms": 3, "cache_hit": false });
            assert_eq!(out, expected, "{body}");
        }
    }

    #[test]
    fn leaves_alone_what_is_no_object() {
        for body in ["", " ", "[1]", "[{}]", "garbage}", "{\"cut\": tr", "null"] {
            assert_eq!(run(std::iter::once(body.as_bytes())), body.as_bytes(), "{body}");
        }
    }

    proptest! {
        #[test]
        fn any_chunking_gives_the_same(body in "[{} \\n\"a1,:]{0,40}", cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
            let body = body.as_bytes();
            let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).chain([0, body.len()]).collect();
            at.sort_unstable();
            let chunks = at.windows(2).filter_map(|w| body.get(*w.first()?..*w.last()?));
            prop_assert_eq!(run(chunks), run(std::iter::once(body)));
        }
    }
}
