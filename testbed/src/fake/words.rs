//! What a fake model says. It depends on the conversation that it was sent, so that a test can tell whether that was whole.

use serde_json::{Map, Value, json};

/// What the words are made from.
pub(super) struct Conversation<'a> {
    /// The backend's name.
    pub name: &'a str,
    /// The texts of all messages, oldest first; the last one is answered.
    pub texts: Vec<String>,
    /// The schema that the answer has to fit.
    pub schema: Option<&'a Value>,
    /// Least length of the answer, in bytes.
    pub answer_bytes: usize,
}

/// A prompt that holds this is answered with a name said before it.
const NAME_WORDS: &str = "what is my name";

impl Conversation<'_> {
    /// The answer.
    pub(super) fn answer(&self) -> String {
        if let Some(schema) = self.schema {
            return instance(schema, schema).to_string();
        }
        let (last, earlier) = self.texts.split_last().map_or(("", [].as_slice()), |(last, rest)| (last.as_str(), rest));
        if last.to_lowercase().contains(NAME_WORDS) {
            return match earlier.iter().rev().find_map(|text| name_in(text)) {
                Some(name) => format!("Your name is {name}."),
                None => "I do not know your name.".to_owned(),
            };
        }
        let words: String = last.chars().take(60).collect();
        let mut text = format!("served by {}: you said \"{words}\"", self.name);
        while text.len() < self.answer_bytes {
            text.push_str(" and so on");
        }
        text
    }
}

/// The word behind `name is`.
fn name_in(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("name is ")?;
    rest.split(|c: char| !c.is_alphanumeric()).next().filter(|name| !name.is_empty())
}

/// The text of a message's content, a string or a list of parts.
pub(super) fn text_of(content: Option<&Value>) -> String {
    match content {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => {
            let texts = parts.iter().filter_map(|part| part.get("text").and_then(Value::as_str));
            texts.collect::<Vec<_>>().join("\n")
        }
        _ => String::new(),
    }
}

/// Something that fits a JSON schema of the plain kinds.
fn instance(schema: &Value, root: &Value) -> Value {
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|pointer| root.pointer(pointer));
        return target.map_or(Value::Null, |schema| instance(schema, root));
    }
    if let Some(first) = schema.get("enum").and_then(Value::as_array).and_then(|values| values.first()) {
        return first.clone();
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("object") => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let members = properties.into_iter().flatten().map(|(name, schema)| (name.clone(), instance(schema, root)));
            Value::Object(members.collect::<Map<_, _>>())
        }
        Some("array") => json!([schema.get("items").map_or(Value::Null, |items| instance(items, root))]),
        Some("integer") => json!(7),
        Some("number") => json!(1.5),
        Some("boolean") => json!(true),
        Some("string") => json!("word"),
        _ => Value::Null,
    }
}
