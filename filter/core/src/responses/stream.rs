//! A chat stream becomes a response stream. What comes out are whole frames; what comes in may be cut anywhere. The end is in
//! two parts, so that a response is stored before its last event leaves.

use super::{
    CreateRequest, Turn,
    chat::Completion,
    collect::{Broken, Collector, terminal},
    events::{DONE, Emitter, Event},
    json::{self, Object},
    response::{Answer, bytes, unsaved},
    sse::{self, Reader},
    template::{ErrorObject, Status},
};

/// Translates one stream.
#[derive(Debug)]
pub struct StreamTranslator {
    reader: Reader,
    collector: Collector,
    done: bool,
}

impl StreamTranslator {
    /// A translator for the answer to `request`. Its first frames come with the first [`Self::push`].
    #[must_use]
    pub fn new(request: &CreateRequest, turn: Turn) -> Self {
        Self::with_limit(request, turn, sse::DEFAULT_LIMIT)
    }

    /// The same, with a limit on the bytes of one event.
    #[must_use]
    pub fn with_limit(request: &CreateRequest, turn: Turn, limit: usize) -> Self {
        Self { reader: Reader::new(limit), collector: Collector::new(request, turn), done: false }
    }

    /// Takes a chunk of the backend's stream; gives frames to write, perhaps none.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        let mut events = Vec::new();
        let read = self.reader.push(chunk, &mut events);
        events.iter().for_each(|event| self.event(event));
        if let Err(error) = read
            && !self.done
        {
            self.collector.fail(Broken::new(format!("The backend's stream cannot be read: {error}.")));
        }
        self.collector.frames()
    }

    /// Whether the backend's stream has said its last word or broken down: what may still come is not read.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.done || self.collector.is_broken()
    }

    fn event(&mut self, event: &sse::Event) {
        let data = event.data.trim();
        if self.is_over() || data.is_empty() {
            return;
        }
        if data == "[DONE]" {
            self.done = true;
            return;
        }
        let taken = match serde_json::from_str::<Completion>(&json::compact(data)) {
            Ok(completion) => self.collector.take(&completion),
            Err(error) => Err(Broken::new(format!("The backend's stream has a chunk that cannot be read: {error}."))),
        };
        if let Err(broken) = taken {
            self.collector.fail(broken);
        }
    }

    /// The end of the backend's stream, at `now` in Unix seconds.
    #[must_use]
    pub fn finish(mut self, now: u64) -> Finished {
        match self.reader.finish() {
            Ok(Some(event)) => self.event(&event),
            Ok(None) => {}
            // Said by the push that met it.
            Err(_) if self.is_over() => {}
            Err(error) => {
                self.collector.fail(Broken::new(format!("The backend's stream cannot be read: {error}.")));
            }
        }
        let ended = self.collector.end(now);
        let answer = Answer::new(&ended);
        Finished { answer, closing: ended.closing, sequence: ended.sequence }
    }
}

/// A stream that has ended, before the client knows.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The Response, to be stored.
    pub answer: Answer,
    closing: Vec<u8>,
    sequence: u64,
}

impl Finished {
    /// All frames that are left: the closing events, the terminal event, `[DONE]`.
    #[must_use]
    pub fn frames(&self) -> Vec<u8> {
        self.end_with(self.answer.status, &self.answer.response)
    }

    /// The frames where the response could not be stored and the policy is closed: `error`, then `response.failed`.
    #[must_use]
    pub fn save_failed(&self, message: &str) -> Vec<u8> {
        let mut emitter = Emitter::at(self.sequence);
        emitter.emit(Event::Error { code: Some("server_error"), message, param: None });
        let failed = failed(&self.answer.response, message);
        self.end(emitter, Status::Failed, failed.as_deref().unwrap_or(&self.answer.response))
    }

    /// The same where the policy is open: the answer, whose response object says `store: false`.
    #[must_use]
    pub fn unsaved(&self) -> Vec<u8> {
        self.end_with(self.answer.status, &self.answer.unsaved())
    }

    fn end_with(&self, status: Status, response: &[u8]) -> Vec<u8> {
        self.end(Emitter::at(self.sequence), status, response)
    }

    fn end(&self, mut emitter: Emitter, status: Status, response: &[u8]) -> Vec<u8> {
        if let Ok(response) = serde_json::from_slice(response) {
            terminal(&mut emitter, status, response);
        }
        [self.closing.as_slice(), &emitter.take(), DONE].concat()
    }
}

/// The response object as failed and not stored.
fn failed(response: &[u8], message: &str) -> Option<Vec<u8>> {
    let unsaved = unsaved(response)?;
    let object = Object::parse(unsaved.get(), "", &[]).ok()?;
    let error = json::raw(&ErrorObject { code: "server_error", message });
    let (status, null) = (json::literal(r#""failed""#), json::null());
    let changes = [("status", &*status), ("error", &*error), ("completed_at", &*null), ("incomplete_details", &*null)];
    Some(bytes(&object.with(&changes)))
}
