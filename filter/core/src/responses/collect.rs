//! A chat answer becomes a Response: the same code takes a whole completion and its chunks, so that a streamed and a plain
//! answer cannot differ.

use serde_json::value::RawValue;

use super::{
    CreateRequest, Turn,
    assemble::{Assembler, CallDelta},
    chat::{Choice, Completion, Said, Usage},
    events::{Emitter, Event, Stage},
    template::{State, Status, Template},
};

#[derive(Debug)]
pub(super) struct Collector {
    template: Template,
    assembler: Assembler,
    usage: Option<Usage>,
    service_tier: Option<String>,
    finish_reason: Option<String>,
    failure: Option<Broken>,
}

/// Why an answer broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// The backend's code, for the `error` event.
    pub code: Option<String>,
    pub message: String,
    /// The backend or its stream says so, or breaks its own format; else the answer merely ends early.
    pub error: bool,
}

impl Broken {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self { code: None, message: message.into(), error: true }
    }
}

/// An answer that has ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub status: Status,
    pub response: Box<RawValue>,
    pub output: Vec<Box<RawValue>>,
    pub usage: Option<Usage>,
    /// Frames up to the terminal event, which has the number `sequence`.
    pub closing: Vec<u8>,
    pub sequence: u64,
}

impl Collector {
    pub(super) fn new(request: &CreateRequest, turn: Turn) -> Self {
        let assembler = Assembler::new(turn.minted.clone());
        let template = Template::new(request, turn);
        let (usage, service_tier, finish_reason, failure) = (None, None, None, None);
        let mut collector = Self { template, assembler, usage, service_tier, finish_reason, failure };
        let response = collector.template.render(&State::default());
        for stage in [Stage::Created, Stage::InProgress] {
            collector.assembler.emitter.emit(Event::Response { stage, response: &response });
        }
        collector
    }

    /// The frames since the last call.
    pub(super) fn frames(&mut self) -> Vec<u8> {
        self.assembler.emitter.take()
    }

    /// The answer is broken from here on; the first reason counts.
    pub(super) fn fail(&mut self, broken: Broken) {
        self.failure.get_or_insert(broken);
    }

    pub(super) const fn is_broken(&self) -> bool {
        self.failure.is_some()
    }

    /// Takes a completion or a chunk of one.
    pub(super) fn take(&mut self, completion: &Completion) -> Result<(), Broken> {
        if let Some(reported) = completion.reported() {
            return Err(Broken { code: reported.code, message: reported.message, error: true });
        }
        if let Some(usage) = &completion.usage {
            self.usage = Some(usage.usage());
        }
        if let Some(tier) = &completion.service_tier {
            self.service_tier = Some(tier.clone());
        }
        match &completion.choices {
            None if completion.usage.is_some() => Ok(()),
            None => Err(Broken::new("The backend's answer is not a chat completion.")),
            Some(choices) => choices.iter().try_for_each(|choice| self.choice(choice)),
        }
    }

    fn choice(&mut self, choice: &Choice) -> Result<(), Broken> {
        if choice.index.unwrap_or_default() != 0 {
            return Err(Broken::new("The backend gave more choices than the one it was asked for."));
        }
        if let Some(said) = choice.said() {
            self.said(said, choice)?;
        }
        if let Some(reason) = choice.finish_reason.as_ref().filter(|reason| !reason.is_empty()) {
            self.finish_reason = Some(reason.clone());
        }
        Ok(())
    }

    fn said(&mut self, said: &Said, choice: &Choice) -> Result<(), Broken> {
        if let Some(form) = said.unasked() {
            return Err(Broken::new(format!("The backend's answer has {form}, which it was not asked for.")));
        }
        if let Some(reasoning) = said.reasoning() {
            self.assembler.reasoning(&reasoning);
        }
        let content = said.content().map_err(|what| Broken::new(format!("The backend's answer has {what}.")))?;
        if let Some(text) = content {
            // A token whose text is still to come has probabilities already. Those of reasoning or of calls have no place here.
            let logprobs = if self.template.logprobs() { choice.logprobs() } else { Vec::new() };
            self.assembler.text(&text, logprobs);
        }
        self.assembler.annotate(said.annotations());
        if let Some(refusal) = &said.refusal {
            self.assembler.refusal(refusal);
        }
        for call in said.tool_calls.as_deref().unwrap_or_default() {
            if let Some(kind) = call.kind.as_deref().filter(|kind| !matches!(*kind, "function" | "")) {
                return Err(Broken::new(format!("The backend called a tool of type `{kind}`, not a function.")));
            }
            let function = call.function.as_ref();
            let delta = CallDelta {
                index: call.index,
                id: call.id.clone(),
                name: function.and_then(|function| function.name.clone()),
                arguments: function.and_then(super::chat::Function::arguments).unwrap_or_default(),
            };
            self.assembler
                .call(delta)
                .map_err(|what| Broken::new(format!("The backend's answer is broken: {what}.")))?;
        }
        Ok(())
    }

    /// How it ended.
    fn status(&mut self) -> Status {
        if self.assembler.nameless() {
            self.fail(Broken::new("The backend called a function without naming it."));
        }
        match self.finish_reason.as_deref() {
            None => {
                let message = "The backend's answer ended without a finish reason.".to_owned();
                self.fail(Broken { code: None, message, error: false });
            }
            // What inference servers say when they gave a request up.
            Some(reason @ ("error" | "abort")) => {
                let message = format!("The backend gave up: its finish reason is `{reason}`.");
                self.fail(Broken { code: None, message, error: false });
            }
            Some(_) => {}
        }
        match self.finish_reason.as_deref() {
            _ if self.failure.is_some() => Status::Failed,
            Some("length") => Status::Incomplete("max_output_tokens"),
            Some("content_filter") => Status::Incomplete("content_filter"),
            _ => Status::Completed,
        }
    }

    /// Ends the answer at `now`. A failed one leaves open what was open: closing half a JSON text would tell clients to read it.
    pub(super) fn end(&mut self, now: u64) -> Ended {
        let status = self.status();
        match status {
            Status::Failed => {}
            Status::Completed | Status::Incomplete(_) => {
                if self.assembler.is_empty() {
                    self.assembler.silence();
                }
                let cut = matches!(status, Status::Incomplete(_));
                self.assembler.close_all(if cut { "incomplete" } else { "completed" });
            }
        }
        if let Some(Broken { code, message, error: true }) = &self.failure {
            let code = Some(code.as_deref().unwrap_or("server_error"));
            self.assembler.emitter.emit(Event::Error { code, message, param: None });
        }
        let output = self.assembler.output("incomplete");
        let response = self.template.render(&State {
            status: Some(status),
            output: &output,
            usage: self.usage,
            error: self.failure.as_ref().map(|broken| broken.message.as_str()),
            completed_at: Some(now),
            service_tier: self.service_tier.as_deref(),
        });
        let (closing, sequence) = (self.frames(), self.assembler.emitter.sequence());
        Ended { status, response, output, usage: self.usage, closing, sequence }
    }
}

/// The terminal event of a response as a frame.
pub(super) fn terminal(emitter: &mut Emitter, status: Status, response: &RawValue) {
    let stage = match status {
        Status::Completed => Stage::Completed,
        Status::Incomplete(_) => Stage::Incomplete,
        Status::Failed => Stage::Failed,
    };
    emitter.emit(Event::Response { stage, response });
}
