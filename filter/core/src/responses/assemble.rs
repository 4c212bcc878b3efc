//! Output items as they grow, and the events that tell of it. An item is closed when the next one begins; a function call only
//! once its arguments are a whole JSON object, because backends may interleave calls by index.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    events::{Emitter, Event, PartType, Place},
    json,
    minted::{Minted, Prefix},
};

/// A piece of a function call.
#[derive(Debug, Clone, Default)]
pub(super) struct CallDelta {
    pub index: Option<u64>,
    pub id: Option<String>,
    pub name: Option<String>,
    pub arguments: String,
}

#[derive(Debug)]
pub(super) struct Assembler {
    minted: Minted,
    pub emitter: Emitter,
    items: Vec<Slot>,
    calls: Vec<Known>,
    /// Log probabilities of tokens that had no text yet.
    logprobs: Vec<Box<RawValue>>,
}

#[derive(Debug)]
struct Slot {
    id: String,
    building: Building,
    done: Option<Box<RawValue>>,
}

#[derive(Debug)]
enum Building {
    Reasoning(String),
    Message(Vec<Said>),
    Call { call_id: String, name: String, arguments: String },
}

#[derive(Debug)]
enum Said {
    Text { text: String, annotations: Vec<Box<RawValue>>, logprobs: Vec<Box<RawValue>> },
    Refusal(String),
}

/// A call as the backend counts it.
#[derive(Debug)]
struct Known {
    index: Option<u64>,
    id: Option<String>,
    /// Its item, once its name is known.
    slot: Option<usize>,
    /// Arguments that came before the name.
    early: String,
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum ItemJson<'a> {
    #[serde(rename = "reasoning")]
    Reasoning { id: &'a str, summary: [(); 0], content: Vec<PartJson<'a>>, status: &'static str },
    #[serde(rename = "message")]
    Message { id: &'a str, status: &'static str, role: &'static str, content: Vec<PartJson<'a>> },
    #[serde(rename = "function_call")]
    Call { id: &'a str, status: &'static str, call_id: &'a str, name: &'a str, arguments: &'a str },
}

#[derive(Serialize)]
#[serde(tag = "type")]
enum PartJson<'a> {
    #[serde(rename = "output_text")]
    Text { text: &'a str, annotations: &'a [Box<RawValue>], logprobs: &'a [Box<RawValue>] },
    #[serde(rename = "refusal")]
    Refusal { refusal: &'a str },
    #[serde(rename = "reasoning_text")]
    Reasoning { text: &'a str },
}

impl Said {
    const fn text() -> Self {
        Self::Text { text: String::new(), annotations: Vec::new(), logprobs: Vec::new() }
    }

    fn json(&self) -> PartJson<'_> {
        match self {
            Self::Text { text, annotations, logprobs } => PartJson::Text { text, annotations, logprobs },
            Self::Refusal(refusal) => PartJson::Refusal { refusal },
        }
    }
}

impl Slot {
    fn json(&self, status: &'static str) -> Box<RawValue> {
        let id = self.id.as_str();
        json::raw(&match &self.building {
            Building::Reasoning(text) => {
                let content = if text.is_empty() { Vec::new() } else { vec![PartJson::Reasoning { text }] };
                ItemJson::Reasoning { id, summary: [], content, status }
            }
            Building::Message(parts) => {
                ItemJson::Message { id, status, role: "assistant", content: parts.iter().map(Said::json).collect() }
            }
            Building::Call { call_id, name, arguments } => ItemJson::Call { id, status, call_id, name, arguments },
        })
    }
}

impl Assembler {
    pub(super) fn new(minted: Minted) -> Self {
        Self { minted, emitter: Emitter::default(), items: Vec::new(), calls: Vec::new(), logprobs: Vec::new() }
    }

    /// Whether anything was said.
    pub(super) const fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The items in order; `status` is of those that are not closed.
    pub(super) fn output(&self, status: &'static str) -> Vec<Box<RawValue>> {
        self.items.iter().map(|slot| slot.done.clone().unwrap_or_else(|| slot.json(status))).collect()
    }

    pub(super) fn reasoning(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let index = self.open(|building| matches!(building, Building::Reasoning(_))).unwrap_or_else(|| {
            self.close_settled();
            let index = self.begin(Prefix::Reasoning, Building::Reasoning(String::new()));
            self.emit_part(index, 0, false, &PartJson::Reasoning { text: "" });
            index
        });
        let Some(Slot { id, building: Building::Reasoning(text), .. }) = self.items.get_mut(index) else { return };
        text.push_str(delta);
        let at = Place { item_id: id, output_index: index, content_index: 0 };
        self.emitter.emit(Event::Delta { of: PartType::Reasoning, at, delta, logprobs: None });
    }

    /// Text with its log probabilities, empty unless they were asked for.
    pub(super) fn text(&mut self, delta: &str, logprobs: Vec<Box<RawValue>>) {
        self.logprobs.extend(logprobs);
        if delta.is_empty() {
            return;
        }
        let index = self.message();
        let part = self.part(index, Said::text);
        let fresh = std::mem::take(&mut self.logprobs);
        let Some(Slot { id, building: Building::Message(parts), .. }) = self.items.get_mut(index) else { return };
        let Some(Said::Text { text, logprobs, .. }) = parts.get_mut(part) else { return };
        text.push_str(delta);
        logprobs.extend(fresh.iter().cloned());
        let at = Place { item_id: id, output_index: index, content_index: part };
        self.emitter.emit(Event::Delta { of: PartType::Text, at, delta, logprobs: Some(&fresh) });
    }

    /// Annotations of the text that is being said.
    pub(super) fn annotate(&mut self, fresh: Vec<Box<RawValue>>) {
        if fresh.is_empty() {
            return;
        }
        let index = self.message();
        let part = self.part(index, Said::text);
        let Some(Slot { id, building: Building::Message(parts), .. }) = self.items.get_mut(index) else { return };
        let Some(Said::Text { annotations, .. }) = parts.get_mut(part) else { return };
        let at = Place { item_id: id, output_index: index, content_index: part };
        for annotation in fresh {
            let annotation_index = annotations.len();
            self.emitter.emit(Event::Annotation { at, annotation_index, annotation: &annotation });
            annotations.push(annotation);
        }
    }

    pub(super) fn refusal(&mut self, delta: &str) {
        if delta.is_empty() {
            return;
        }
        let index = self.message();
        let part = self.part(index, || Said::Refusal(String::new()));
        let Some(Slot { id, building: Building::Message(parts), .. }) = self.items.get_mut(index) else { return };
        let Some(Said::Refusal(text)) = parts.get_mut(part) else { return };
        text.push_str(delta);
        let at = Place { item_id: id, output_index: index, content_index: part };
        self.emitter.emit(Event::Delta { of: PartType::Refusal, at, delta, logprobs: None });
    }

    /// A message without a word: a model that said nothing still took its turn.
    pub(super) fn silence(&mut self) {
        let index = self.message();
        self.part(index, Said::text);
    }

    /// A piece of a function call.
    ///
    /// # Errors
    /// The backend goes on with a call that was complete.
    pub(super) fn call(&mut self, delta: CallDelta) -> Result<(), &'static str> {
        let known = self.known(&delta);
        let Some(call) = self.calls.get_mut(known) else { return Ok(()) };
        let arguments = if let Some(slot) = call.slot {
            return self.arguments(slot, &delta.arguments);
        } else if let Some(name) = delta.name.filter(|name| !name.is_empty()) {
            let mut arguments = std::mem::take(&mut call.early);
            arguments.push_str(&delta.arguments);
            let given = call.id.clone();
            let index = self.items.len();
            let call_id = given.unwrap_or_else(|| self.minted.output(Prefix::CallId, index));
            let slot = self.begin(Prefix::Call, Building::Call { call_id, name, arguments: String::new() });
            if let Some(call) = self.calls.get_mut(known) {
                call.slot = Some(slot);
            }
            (slot, arguments)
        } else {
            call.early.push_str(&delta.arguments);
            return Ok(());
        };
        self.arguments(arguments.0, &arguments.1)
    }

    /// Whether a call never got its name: it can neither be shown nor be answered.
    pub(super) fn nameless(&self) -> bool {
        self.calls.iter().any(|call| call.slot.is_none())
    }

    /// Which call a piece belongs to. Backends that give no index give an id with each new call.
    fn known(&mut self, delta: &CallDelta) -> usize {
        let id = delta.id.as_ref().filter(|id| !id.is_empty());
        let found = match (delta.index, id) {
            (Some(index), _) => self.calls.iter().position(|call| call.index == Some(index)),
            (None, Some(id)) => self.calls.iter().position(|call| call.id.as_ref() == Some(id)),
            (None, None) if delta.name.as_ref().is_some_and(|name| !name.is_empty()) => None,
            (None, None) => self.calls.len().checked_sub(1),
        };
        let position = found.unwrap_or_else(|| {
            self.close_settled();
            self.calls.push(Known { index: delta.index, id: None, slot: None, early: String::new() });
            self.calls.len() - 1
        });
        if let Some(call) = self.calls.get_mut(position)
            && call.id.is_none()
        {
            call.id = id.cloned();
        }
        position
    }

    fn arguments(&mut self, index: usize, delta: &str) -> Result<(), &'static str> {
        if delta.is_empty() {
            return Ok(());
        }
        let Some(Slot { id, building: Building::Call { arguments, .. }, done }) = self.items.get_mut(index) else {
            return Ok(());
        };
        if done.is_some() {
            let nothing = delta.trim().is_empty();
            return if nothing { Ok(()) } else { Err("the arguments of a function call went on after their end") };
        }
        arguments.push_str(delta);
        self.emitter.emit(Event::ArgumentsDelta { item_id: id, output_index: index, delta });
        Ok(())
    }

    /// The message that is open, or a new one.
    fn message(&mut self) -> usize {
        self.open(|building| matches!(building, Building::Message(_))).unwrap_or_else(|| {
            self.close_settled();
            self.begin(Prefix::Message, Building::Message(Vec::new()))
        })
    }

    fn open(&self, kind: impl Fn(&Building) -> bool) -> Option<usize> {
        self.items.iter().rposition(|slot| slot.done.is_none() && kind(&slot.building))
    }

    fn begin(&mut self, prefix: Prefix, building: Building) -> usize {
        let index = self.items.len();
        let slot = Slot { id: self.minted.output(prefix, index), building, done: None };
        let item = slot.json("in_progress");
        self.items.push(slot);
        self.emitter.emit(Event::Item { done: false, output_index: index, item: &item });
        index
    }

    /// The part of a message that is open, if it is of this kind; else a new one.
    fn part(&mut self, index: usize, new: impl FnOnce() -> Said) -> usize {
        let Some(Slot { building: Building::Message(parts), .. }) = self.items.get(index) else { return 0 };
        let new = new();
        let count = parts.len();
        if parts.last().is_some_and(|last| std::mem::discriminant(last) == std::mem::discriminant(&new)) {
            return count - 1;
        }
        if count > 0 {
            self.part_done(index, count - 1);
        }
        self.emit_part(index, count, false, &new.json());
        if let Some(Slot { building: Building::Message(parts), .. }) = self.items.get_mut(index) {
            parts.push(new);
        }
        count
    }

    fn emit_part(&mut self, index: usize, part: usize, done: bool, json: &PartJson<'_>) {
        let Some(slot) = self.items.get(index) else { return };
        let at = Place { item_id: &slot.id, output_index: index, content_index: part };
        self.emitter.emit(Event::Part { done, at, part: &json::raw(json) });
    }

    fn part_done(&mut self, index: usize, part: usize) {
        let Some(slot) = self.items.get(index) else { return };
        let at = Place { item_id: &slot.id, output_index: index, content_index: part };
        let (event, json) = match &slot.building {
            Building::Message(parts) => match parts.get(part) {
                Some(said @ Said::Text { text, logprobs, .. }) => {
                    (Event::TextDone { of: PartType::Text, at, text, logprobs: Some(logprobs) }, said.json())
                }
                Some(said @ Said::Refusal(refusal)) => (Event::RefusalDone { at, refusal }, said.json()),
                None => return,
            },
            Building::Reasoning(text) => {
                (Event::TextDone { of: PartType::Reasoning, at, text, logprobs: None }, PartJson::Reasoning { text })
            }
            Building::Call { .. } => return,
        };
        self.emitter.emit(event);
        self.emitter.emit(Event::Part { done: true, at, part: &json::raw(&json) });
    }

    /// Closes what nothing can be added to any more now that something new begins.
    fn close_settled(&mut self) {
        for index in 0..self.items.len() {
            let settled = self.items.get(index).is_some_and(|slot| match &slot.building {
                Building::Call { arguments, .. } => is_object(arguments),
                Building::Message(_) | Building::Reasoning(_) => true,
            });
            if settled {
                self.close(index, "completed");
            }
        }
    }

    /// Closes all that is open. What is cut off is the last item: `status` is for that one.
    pub(super) fn close_all(&mut self, status: &'static str) {
        self.logprobs.clear();
        let last = self.open(|_| true);
        for index in 0..self.items.len() {
            self.close(index, if Some(index) == last { status } else { "completed" });
        }
    }

    fn close(&mut self, index: usize, status: &'static str) {
        let Some(slot) = self.items.get_mut(index).filter(|slot| slot.done.is_none()) else { return };
        if let Building::Call { arguments, .. } = &mut slot.building
            && arguments.trim().is_empty()
            && status == "completed"
        {
            // A function without parameters: clients parse what they are given.
            arguments.push_str("{}");
            self.emitter.emit(Event::ArgumentsDelta { item_id: &slot.id, output_index: index, delta: "{}" });
        }
        let item = slot.json(status);
        slot.done = Some(item.clone());
        match &slot.building {
            Building::Call { name, arguments, .. } => {
                self.emitter.emit(Event::ArgumentsDone { item_id: &slot.id, output_index: index, name, arguments });
            }
            Building::Message(parts) => {
                if let Some(last) = parts.len().checked_sub(1) {
                    self.part_done(index, last);
                }
            }
            Building::Reasoning(_) => self.part_done(index, 0),
        }
        self.emitter.emit(Event::Item { done: true, output_index: index, item: &item });
    }
}

fn is_object(arguments: &str) -> bool {
    arguments.trim_start().starts_with('{') && serde_json::from_str::<&RawValue>(arguments.trim()).is_ok()
}
