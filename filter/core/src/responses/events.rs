//! Events of a response stream as whole SSE frames, numbered. The live stream and the replay of a stored response both write
//! through here, so that they cannot differ.

use serde::Serialize;
use serde_json::value::RawValue;

/// Where a content part stands.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Place<'a> {
    pub item_id: &'a str,
    pub output_index: usize,
    pub content_index: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Created,
    InProgress,
    Completed,
    Incomplete,
    Failed,
}

/// What a content part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PartType {
    Text,
    Refusal,
    Reasoning,
}

/// One event, without its type and number.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum Event<'a> {
    Response {
        #[serde(skip)]
        stage: Stage,
        response: &'a RawValue,
    },
    Item {
        #[serde(skip)]
        done: bool,
        output_index: usize,
        item: &'a RawValue,
    },
    Part {
        #[serde(skip)]
        done: bool,
        #[serde(flatten)]
        at: Place<'a>,
        part: &'a RawValue,
    },
    Delta {
        #[serde(skip)]
        of: PartType,
        #[serde(flatten)]
        at: Place<'a>,
        delta: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<&'a [Box<RawValue>]>,
    },
    TextDone {
        #[serde(skip)]
        of: PartType,
        #[serde(flatten)]
        at: Place<'a>,
        text: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        logprobs: Option<&'a [Box<RawValue>]>,
    },
    RefusalDone {
        #[serde(flatten)]
        at: Place<'a>,
        refusal: &'a str,
    },
    Annotation {
        #[serde(flatten)]
        at: Place<'a>,
        annotation_index: usize,
        annotation: &'a RawValue,
    },
    ArgumentsDelta {
        item_id: &'a str,
        output_index: usize,
        delta: &'a str,
    },
    ArgumentsDone {
        item_id: &'a str,
        output_index: usize,
        name: &'a str,
        arguments: &'a str,
    },
    Error {
        code: Option<&'a str>,
        message: &'a str,
        param: Option<&'a str>,
    },
}

impl Event<'_> {
    const fn name(&self) -> &'static str {
        match self {
            Self::Response { stage: Stage::Created, .. } => "response.created",
            Self::Response { stage: Stage::InProgress, .. } => "response.in_progress",
            Self::Response { stage: Stage::Completed, .. } => "response.completed",
            Self::Response { stage: Stage::Incomplete, .. } => "response.incomplete",
            Self::Response { stage: Stage::Failed, .. } => "response.failed",
            Self::Item { done: false, .. } => "response.output_item.added",
            Self::Item { done: true, .. } => "response.output_item.done",
            Self::Part { done: false, .. } => "response.content_part.added",
            Self::Part { done: true, .. } => "response.content_part.done",
            Self::Delta { of: PartType::Text, .. } => "response.output_text.delta",
            Self::Delta { of: PartType::Refusal, .. } => "response.refusal.delta",
            Self::Delta { of: PartType::Reasoning, .. } => "response.reasoning_text.delta",
            Self::TextDone { of: PartType::Reasoning, .. } => "response.reasoning_text.done",
            Self::TextDone { .. } => "response.output_text.done",
            Self::RefusalDone { .. } => "response.refusal.done",
            Self::Annotation { .. } => "response.output_text.annotation.added",
            Self::ArgumentsDelta { .. } => "response.function_call_arguments.delta",
            Self::ArgumentsDone { .. } => "response.function_call_arguments.done",
            Self::Error { .. } => "error",
        }
    }

    const fn is_terminal(&self) -> bool {
        matches!(self, Self::Response { stage: Stage::Completed | Stage::Incomplete | Stage::Failed, .. })
    }
}

#[derive(Serialize)]
struct Numbered<'a> {
    #[serde(rename = "type")]
    name: &'static str,
    sequence_number: u64,
    #[serde(flatten)]
    event: &'a Event<'a>,
}

/// Behind the last event.
pub(super) const DONE: &[u8] = b"data: [DONE]\n\n";

/// Writes and numbers events.
#[derive(Debug, Default)]
pub(super) struct Emitter {
    frames: Vec<u8>,
    sequence: u64,
    /// Events up to this number are counted but not written; the terminal event always is.
    after: Option<u64>,
}

impl Emitter {
    /// Begins at a number.
    pub(super) fn at(sequence: u64) -> Self {
        Self { sequence, ..Self::default() }
    }

    /// Leaves out the events up to a number.
    pub(super) fn after(after: Option<u64>) -> Self {
        Self { after, ..Self::default() }
    }

    /// The number of the next event.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn emit(&mut self, event: Event<'_>) {
        let (name, sequence_number) = (event.name(), self.sequence);
        self.sequence += 1;
        if !event.is_terminal() && self.after.is_some_and(|after| sequence_number <= after) {
            return;
        }
        self.frames.extend_from_slice(b"event: ");
        self.frames.extend_from_slice(name.as_bytes());
        self.frames.extend_from_slice(b"\ndata: ");
        // Only our own types are written, which cannot fail; and JSON has no line break outside of what was made compact.
        let written = serde_json::to_writer(&mut self.frames, &Numbered { name, sequence_number, event: &event });
        debug_assert!(written.is_ok(), "an event that cannot be written");
        self.frames.extend_from_slice(b"\n\n");
    }

    /// The frames since the last call.
    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.frames)
    }
}
