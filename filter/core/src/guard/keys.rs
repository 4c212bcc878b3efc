//! The keys that the APIs know. Such a key is no content; what its value is depends on it. Every other key is content: a client may
//! have written anything there.

/// What is known of a key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub name: &'static str,
    pub value: Value,
}

/// What stands under a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Text, or more structure.
    Content,
    /// An identifier or a word of the API, where it looks like one.
    Identifier,
    /// The client's own structure: no key below it has the API's meaning.
    Free,
    /// Messages, items or prompts, each read by itself.
    Messages,
    /// Image, audio or file, in base64 or as a `data:` URL.
    Data,
    /// A part with a `url` or `data` of such.
    Media,
    /// The address or id of an image or file.
    Link,
    /// Token ids or embeddings instead of text.
    Tokens,
}

/// The key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    let at = KEYS.binary_search_by(|key| key.name.cmp(name)).ok()?;
    KEYS.get(at)
}

macro_rules! keys {
    ($($name:literal $value:ident)*) => {
        &[$(Key { name: $name, value: Value::$value }),*]
    };
}

/// Chat Completions, Completions, Embeddings and Responses (OpenAI API reference), vLLM's extensions, JSON Schema. Sorted.
static KEYS: &[Key] = keys! {
    "$defs" Content
    "$ref" Identifier
    "$schema" Content
    "action" Content
    "add_generation_prompt" Content
    "additionalProperties" Content
    "allowed_tools" Content
    "annotations" Content
    "anyOf" Content
    "arguments" Free
    "audio" Media
    "audio_url" Media
    "background" Content
    "best_of" Content
    "cache_control" Content
    "call_id" Identifier
    "chat_template" Content
    "chat_template_kwargs" Free
    "code" Content
    "const" Free
    "container" Content
    "content" Content
    "context" Content
    "conversation" Identifier
    "custom" Content
    "data" Data
    "default" Free
    "description" Content
    "detail" Identifier
    "dimensions" Content
    "documents" Free
    "echo" Content
    "effort" Identifier
    "encoding_format" Identifier
    "encrypted_content" Data
    "end_index" Content
    "enum" Free
    "exclusiveMaximum" Content
    "exclusiveMinimum" Content
    "extra_body" Free
    "file" Media
    "file_data" Data
    "file_id" Link
    "file_url" Link
    "filename" Content
    "finish_reason" Identifier
    "format" Identifier
    "frequency_penalty" Content
    "function" Content
    "function_call" Content
    "generate_summary" Identifier
    "guided_choice" Content
    "guided_grammar" Content
    "guided_json" Content
    "guided_regex" Content
    "id" Identifier
    "image_url" Link
    "include" Identifier
    "include_usage" Content
    "index" Content
    "input" Messages
    "input_audio" Media
    "instructions" Content
    "items" Content
    "json_schema" Content
    "labels" Free
    "logit_bias" Free
    "logprobs" Content
    "maxItems" Content
    "maxLength" Content
    "max_completion_tokens" Content
    "max_output_tokens" Content
    "max_tokens" Content
    "max_tool_calls" Content
    "maximum" Content
    "messages" Messages
    "metadata" Free
    "minItems" Content
    "minLength" Content
    "min_p" Content
    "min_tokens" Content
    "minimum" Content
    "modalities" Identifier
    "mode" Identifier
    "model" Identifier
    "n" Content
    "name" Content
    "nullable" Content
    "oneOf" Content
    "output" Content
    "parallel_tool_calls" Content
    "parameters" Content
    "pattern" Content
    "prediction" Content
    "presence_penalty" Content
    "previous_response_id" Identifier
    "priority" Content
    "prompt" Messages
    "prompt_cache_key" Identifier
    "prompt_cache_retention" Identifier
    "prompt_embeds" Tokens
    "prompt_token_ids" Tokens
    "properties" Content
    "queries" Content
    "query" Content
    "reasoning" Content
    "reasoning_content" Content
    "reasoning_effort" Identifier
    "refusal" Content
    "repetition_penalty" Content
    "required" Content
    "response_format" Content
    "result" Data
    "results" Content
    "role" Identifier
    "safety_identifier" Content
    "schema" Content
    "score" Content
    "seed" Content
    "server_label" Content
    "server_url" Content
    "service_tier" Identifier
    "skip_special_tokens" Content
    "start_index" Content
    "status" Identifier
    "stop" Content
    "stop_token_ids" Content
    "store" Content
    "stream" Content
    "stream_options" Content
    "strict" Content
    "suffix" Content
    "summary" Content
    "temperature" Content
    "text" Content
    "title" Content
    "tool_call_id" Identifier
    "tool_calls" Content
    "tool_choice" Content
    "tools" Content
    "top_k" Content
    "top_logprobs" Content
    "top_p" Content
    "truncation" Identifier
    "type" Identifier
    "url" Content
    "user" Content
    "variables" Free
    "verbosity" Identifier
    "video_url" Media
    "voice" Identifier
    "web_search_options" Content
};

/// The longest text that passes for an identifier.
const MAX_IDENTIFIER: usize = 256;

/// Whether a text is an identifier or a word of the API: no white space, and a letter in it, which no card or telephone number has.
pub(super) fn is_identifier(text: &str) -> bool {
    text.len() <= MAX_IDENTIFIER
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.:/-".contains(&b))
        && text.bytes().any(|b| b.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_can_be_searched() {
        assert!(KEYS.is_sorted_by(|a, b| a.name < b.name));
        assert_eq!(find("prompt").map(|key| key.value), Some(Value::Messages));
        assert_eq!(find("Prompt"), None);
    }

    #[test]
    fn identifiers_hold_a_letter_and_no_space() {
        assert!(["gpt-4o", "call_1", "resp_0af", "org/model:7b", "user"].into_iter().all(is_identifier));
        assert!(
            !["", "123-45-6789", "4111111111111111", "10.0.0.1", "jo@x.test", "a b", "é"]
                .into_iter()
                .any(is_identifier)
        );
        assert!(is_identifier(&"x".repeat(MAX_IDENTIFIER)) && !is_identifier(&"x".repeat(MAX_IDENTIFIER + 1)));
    }
}
