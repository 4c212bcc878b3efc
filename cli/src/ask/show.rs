//! An answer as people read it: the text, then a table of how it was routed.

use std::fmt;

use serde_json::{Value, json};

use super::Answer;

impl Answer {
    /// The body and the rows of the table, as one object.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let routing: serde_json::Map<_, _> =
            self.rows().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
        json!({"response": self.body, "routing": routing})
    }

    /// The assistant's text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        self.body.pointer("/choices/0/message/content").and_then(Value::as_str)
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// A member of `routing_metadata`; a whole number of milliseconds, a share with three decimals.
    fn metadata(&self, name: &str) -> Option<String> {
        match self.body.get("routing_metadata")?.get(name)? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) if number.is_f64() => number.as_f64().map(|share| format!("{share:.3}")),
            other => Some(other.to_string()),
        }
    }

    /// What is known of the decision, in the order in which it was taken.
    fn rows(&self) -> Vec<(&'static str, String)> {
        let ms = |value: Option<String>| value.map(|value| format!("{value} ms"));
        let either = |name, header| self.metadata(name).or_else(|| self.header(header));
        let rows = [
            ("category", self.metadata("category")),
            ("confidence", self.metadata("confidence")),
            ("decision", self.metadata("decision")),
            ("model", either("selected_model", "x-selected-model")),
            ("endpoint", either("endpoint", "x-semantic-destination-endpoint")),
            ("fallback", either("fallback", "x-routing-fallback")),
            ("cache hit", self.metadata("cache_hit").filter(|hit| hit == "true")),
            ("routing", ms(either("processing_time_ms", "x-processing-time"))),
            ("classification", ms(either("classification_time_ms", "x-classification-time"))),
            ("total", Some(format!("{} ms", self.elapsed.as_millis()))),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.text() {
            Some(text) => writeln!(f, "{text}\n")?,
            // Tool calls, a refusal: shown as they are.
            None => writeln!(f, "{:#}\n", self.body.get("choices").unwrap_or(&self.body))?,
        }
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:width$}  {value}"))
    }
}
