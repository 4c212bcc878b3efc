//! `POST /v1/responses/input_tokens` by a chat backend's tokenizer, as vLLM has it (`POST /tokenize`): a chat goes in, `count`
//! comes out.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{json, value::RawValue};

/// The members of a chat completion that are part of the prompt.
const PROMPT: [&str; 3] = ["model", "messages", "tools"];

/// The tokenizer's request for a chat completion's body.
#[must_use]
pub fn request(chat: &[u8]) -> Vec<u8> {
    let members: BTreeMap<&str, &RawValue> = serde_json::from_slice(chat).unwrap_or_default();
    let prompt: BTreeMap<_, _> = members.into_iter().filter(|(name, _)| PROMPT.contains(name)).collect();
    serde_json::to_vec(&prompt).unwrap_or_default()
}

/// The API's answer for the tokenizer's; none where it has no count.
#[must_use]
pub fn answer(body: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Tokens {
        count: u64,
    }
    let Tokens { count } = serde_json::from_slice(body).ok()?;
    Some(json!({"object": "response.input_tokens", "input_tokens": count}).to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_for_the_prompt_alone() {
        let chat =
            br#"{"model":"m","messages":[{"role":"user","content":"hi"}],"temperature":1.0,"tools":[{"b":1,"a":1e2}]}"#;
        let asked = String::from_utf8(request(chat)).unwrap_or_default();
        assert_eq!(asked, r#"{"messages":[{"role":"user","content":"hi"}],"model":"m","tools":[{"b":1,"a":1e2}]}"#);
    }

    #[test]
    fn reads_the_count() {
        assert_eq!(
            answer(br#"{"count":7,"tokens":[1]}"#),
            Some(br#"{"input_tokens":7,"object":"response.input_tokens"}"#.to_vec())
        );
        assert_eq!(answer(b"{}"), None);
    }
}
