//! Items become chat messages. What one answer of a model gave as several items (reasoning, text, calls) is one assistant
//! message again. Chat backends want the outputs of its calls right behind it, one for each, so that is where they are put,
//! wherever the client wrote them; everything else stays in its order.
//!
//! Reasoning: chat backends disagree on whether they take it back. Where the model's options say so it is sent as
//! `reasoning_content` of its assistant message, and only for the turn that is still going on (after the last user message),
//! which is where tool loops need it. Else it is kept in the conversation and not sent.

use std::collections::{HashMap, HashSet, VecDeque};

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    failure,
    item::{Call, Item, Kind, Output, Part, PartKind, Role},
};
use crate::error::ApiError;

/// A chat message.
#[derive(Debug, Serialize)]
pub(super) struct Message<'a> {
    role: &'static str,
    content: Option<Content<'a>>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    refusal: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<ToolCall<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_call_id: Option<&'a str>,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Text(&'a str),
    Parts(Vec<ChatPart<'a>>),
}

#[derive(Debug, Serialize)]
struct ChatPart<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    image_url: Option<Image<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<File<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_audio: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_cache_breakpoint: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct Image<'a> {
    url: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    filename: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file_id: Option<&'a RawValue>,
}

#[derive(Debug, Serialize)]
struct ToolCall<'a> {
    id: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'a>,
}

#[derive(Debug, Serialize)]
struct Function<'a> {
    name: &'a str,
    arguments: &'a str,
}

/// How a backend wants its messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dialect {
    /// Developer messages become system messages.
    pub developer_as_system: bool,
    /// Reasoning of the turn that is going on is sent back.
    pub reasoning: bool,
}

/// The messages of a conversation.
pub(super) fn build<'a>(
    instructions: Option<&'a str>,
    items: &[&'a Item],
    dialect: Dialect,
) -> Result<Vec<Message<'a>>, ApiError> {
    let last_user = items.iter().rposition(|item| matches!(item.kind, Kind::Message { role: Role::User, .. }));
    let mut builder = Builder {
        messages: Vec::new(),
        assistant: Assistant::default(),
        outputs: outputs(items),
        calls: HashSet::new(),
        dialect,
    };
    if let Some(text) = instructions.filter(|text| !text.is_empty()) {
        builder.messages.push(Message::new("system", Some(Content::Text(text))));
    }
    for (i, item) in items.iter().enumerate() {
        builder.item(item, i, last_user.is_none_or(|last| i > last))?;
    }
    builder.flush()?;
    Ok(builder.messages)
}

/// The outputs by call id, each with its place, in order: ids may come again in a later turn.
fn outputs<'a>(items: &[&'a Item]) -> HashMap<&'a str, VecDeque<(usize, &'a Output)>> {
    let mut outputs: HashMap<&str, VecDeque<(usize, &Output)>> = HashMap::new();
    for (i, item) in items.iter().enumerate() {
        if let Kind::CallOutput { call_id, output } = &item.kind {
            outputs.entry(call_id).or_default().push_back((i, output));
        }
    }
    outputs
}

struct Builder<'a> {
    messages: Vec<Message<'a>>,
    assistant: Assistant<'a>,
    /// Outputs that no call has taken yet.
    outputs: HashMap<&'a str, VecDeque<(usize, &'a Output)>>,
    /// Calls seen.
    calls: HashSet<&'a str>,
    dialect: Dialect,
}

/// The assistant message that is being put together.
#[derive(Default)]
struct Assistant<'a> {
    reasoning: String,
    parts: Option<Vec<&'a Part>>,
    calls: Vec<ToolCall<'a>>,
}

impl<'a> Builder<'a> {
    fn item(&mut self, item: &'a Item, place: usize, current: bool) -> Result<(), ApiError> {
        match &item.kind {
            Kind::Message { role: Role::Assistant, content } => self.assistant(content)?,
            Kind::Message { role, content } => {
                self.flush()?;
                self.messages.push(Message::new(self.role(*role), Some(parts(content.iter()))));
            }
            Kind::Call(call) => self.call(call),
            Kind::CallOutput { call_id, .. } => self.output(call_id, place)?,
            Kind::Reasoning(text) => self.reasoning(text, current)?,
            Kind::Reference => return Err(failure::item_not_found(item.id.as_deref().unwrap_or_default())),
            Kind::Other(kind) => {
                let what = format!("An item of type `{}` in the conversation", failure::excerpt(kind));
                return Err(failure::unsupported("input", &what));
            }
        }
        Ok(())
    }

    const fn role(&self, role: Role) -> &'static str {
        match role {
            Role::User => "user",
            Role::Assistant => "assistant",
            Role::Developer if !self.dialect.developer_as_system => "developer",
            Role::System | Role::Developer => "system",
        }
    }

    /// Text behind calls that still wait for their outputs joins their message.
    fn assistant(&mut self, content: &'a [Part]) -> Result<(), ApiError> {
        if self.assistant.parts.is_some() && self.assistant.calls.is_empty() {
            self.flush()?;
        }
        self.assistant.parts.get_or_insert_default().extend(content);
        Ok(())
    }

    fn call(&mut self, call: &'a Call) {
        self.calls.insert(&call.call_id);
        let function = Function { name: &call.name, arguments: &call.arguments };
        self.assistant.calls.push(ToolCall { id: &call.call_id, kind: "function", function });
    }

    /// An output ends the message of its call, which takes it.
    fn output(&mut self, call_id: &'a str, place: usize) -> Result<(), ApiError> {
        let is_open = |builder: &Self| {
            builder.outputs.get(call_id).is_some_and(|open| open.binary_search_by_key(&place, |(at, _)| *at).is_ok())
        };
        if is_open(self) && self.calls.contains(call_id) {
            self.flush()?;
        }
        match (is_open(self), self.calls.contains(call_id)) {
            (false, _) => Ok(()),
            (true, true) => Err(failure::second_tool_output(&failure::excerpt(call_id))),
            (true, false) => Err(failure::no_tool_call(&failure::excerpt(call_id))),
        }
    }

    fn reasoning(&mut self, text: &str, current: bool) -> Result<(), ApiError> {
        if !(self.dialect.reasoning && current) {
            return Ok(());
        }
        if self.assistant.parts.is_some() && self.assistant.calls.is_empty() {
            self.flush()?;
        }
        if !self.assistant.reasoning.is_empty() {
            self.assistant.reasoning.push('\n');
        }
        self.assistant.reasoning.push_str(text);
        Ok(())
    }

    /// Ends the assistant message, and puts the outputs of its calls behind it.
    fn flush(&mut self) -> Result<(), ApiError> {
        let Assistant { reasoning, parts: content, calls } = std::mem::take(&mut self.assistant);
        if reasoning.is_empty() && content.is_none() && calls.is_empty() {
            return Ok(());
        }
        let content = content.unwrap_or_default();
        let refusals = content.iter().filter_map(|part| match &part.kind {
            PartKind::Refusal(text) => Some(text.as_str()),
            _ => None,
        });
        let refusal = refusals.collect::<Vec<_>>().join("\n");
        let said = content.iter().copied().filter(|part| !matches!(part.kind, PartKind::Refusal(_)));
        let said = if content.is_empty() && !calls.is_empty() { None } else { Some(parts(said)) };
        let message = Message::new("assistant", said);
        let ids: Vec<&str> = calls.iter().map(|call| call.id).collect();
        self.messages.push(Message { reasoning_content: reasoning, refusal, tool_calls: calls, ..message });
        ids.into_iter().try_for_each(|id| self.answer(id))
    }

    /// The output of a call that has just been told. None that is left stands before its call: that one has been refused.
    fn answer(&mut self, call_id: &'a str) -> Result<(), ApiError> {
        let open = self.outputs.get_mut(call_id);
        let (_, output) =
            open.and_then(VecDeque::pop_front).ok_or_else(|| failure::no_tool_output(&failure::excerpt(call_id)))?;
        let content = match output {
            Output::Text(text) => Content::Text(text),
            Output::Parts(list) => parts(list.iter()),
        };
        self.messages.push(Message { tool_call_id: Some(call_id), ..Message::new("tool", Some(content)) });
        Ok(())
    }
}

impl<'a> Message<'a> {
    const fn new(role: &'static str, content: Option<Content<'a>>) -> Self {
        Self {
            role,
            content,
            reasoning_content: String::new(),
            refusal: String::new(),
            tool_calls: Vec::new(),
            tool_call_id: None,
        }
    }
}

/// One text is a string, which every backend takes; anything else is a list.
fn parts<'a>(list: impl Iterator<Item = &'a Part>) -> Content<'a> {
    let list: Vec<&Part> = list.collect();
    match list.as_slice() {
        [] => Content::Text(""),
        [Part { kind: PartKind::Text(text), breakpoint: None }] => Content::Text(text),
        list => Content::Parts(list.iter().map(|part| chat_part(part)).collect()),
    }
}

fn chat_part(part: &Part) -> ChatPart<'_> {
    let mut chat = ChatPart {
        kind: "text",
        text: None,
        image_url: None,
        file: None,
        input_audio: None,
        prompt_cache_breakpoint: part.breakpoint.as_deref(),
    };
    match &part.kind {
        PartKind::Text(text) | PartKind::Refusal(text) => chat.text = Some(text),
        PartKind::Image { url, detail } => {
            chat.kind = "image_url";
            chat.image_url = Some(Image { url, detail: detail.as_deref() });
        }
        PartKind::File { data, id, name } => {
            chat.kind = "file";
            chat.file = Some(File { filename: name.as_deref(), file_data: data.as_deref(), file_id: id.as_deref() });
        }
        PartKind::Audio(audio) => {
            chat.kind = "input_audio";
            chat.input_audio = Some(audio);
        }
    }
    chat
}
