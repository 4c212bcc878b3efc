//! Errors in OpenAI's shape: `{"error":{"message","type","param","code"}}` (OpenAI API reference, "Error codes").

use serde::Serialize;

/// An answer that Fingerpost itself gives to a request that it will not forward.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{status} {kind}: {message}")]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// `type` in the body.
    pub kind: &'static str,
    /// What is wrong and what to do, for a person.
    pub message: String,
    /// The field that is wrong, `messages[2].content`.
    pub param: Option<String>,
    /// For a program.
    pub code: Option<&'static str>,
    /// More for a program, where the code alone does not say it.
    pub details: Option<Box<serde_json::Value>>,
}

impl ApiError {
    /// A request that is wrong in itself: 400 `invalid_request_error`.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// Any other status.
    #[must_use]
    pub fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, kind, message: message.into(), param: None, code: None, details: None }
    }

    /// Names the field.
    #[must_use]
    pub fn param(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Names the code.
    #[must_use]
    pub fn code(mut self, code: &'static str) -> Self {
        self.code = Some(code);
        self
    }

    /// Adds what a program may want to know.
    #[must_use]
    pub fn details(mut self, details: serde_json::Value) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// The response body.
    #[must_use]
    pub fn body(&self) -> Vec<u8> {
        let error = Inner {
            message: &self.message,
            kind: self.kind,
            param: self.param.as_deref(),
            code: self.code,
            details: self.details.as_deref(),
        };
        serde_json::to_vec(&Body { error }).unwrap_or_default()
    }
}

#[derive(Serialize)]
struct Body<'a> {
    error: Inner<'a>,
}

#[derive(Serialize)]
struct Inner<'a> {
    message: &'a str,
    #[serde(rename = "type")]
    kind: &'a str,
    param: Option<&'a str>,
    code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a serde_json::Value>,
}
