//! Answers, guarded: what a model says is judged before it leaves. Text waits until it has been looked at with enough behind it
//! that nothing begins in it which only the next words would show.

pub(crate) mod held;
mod scan;
pub(crate) mod texts;

use std::collections::HashMap;

use fingerpost_proto::classifier::{AnalyzeRequest, AnalyzeResponse, Segment, Task};
use prost::Message as _;
use serde_json::json;

use self::{
    held::{Change, Held, Unfit},
    scan::{Look, Looked},
    texts::Reading,
};
use crate::{
    classify::Fallback,
    config::{FailurePolicy, ResponseAction, ResponsePiiGuard},
    error::ApiError,
    guard::{analyze::GuardFailure, placeholders::Placeholders},
    native::Frames,
};

/// Bytes of a text that have not been looked at before they are, while it still grows.
const STEP: usize = 256;
/// Finished texts whose changes are remembered: streams say everything twice.
const REMEMBERED: usize = 1_024;

/// What kind of answer it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole JSON body.
    Whole,
    /// The stream of a chat completion or a completion.
    Chat,
    /// The stream of a response.
    Responses,
}

/// What becomes of what was handed in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The classifier is asked. Nothing leaves until it has answered.
    Ask(Vec<u8>),
    /// It is still being asked.
    Wait,
    /// These bytes leave.
    Pass {
        bytes: Vec<u8>,
        /// Whether they are the last.
        end: bool,
        said: Option<Said>,
    },
    /// Nothing leaves: the head of the answer is still held.
    Refuse(ApiError, Option<Said>),
}

/// What is worth counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Said {
    /// Personal data was found.
    Found,
    /// There was no verdict.
    Failed(GuardFailure),
}

/// Guards one answer.
#[derive(Debug)]
pub(crate) struct AnswerGuard {
    policy: ResponsePiiGuard,
    kind: Kind,
    frames: Frames,
    held: Held,
    placeholders: Placeholders,
    /// Placeholders of the request: they are no personal data.
    ours: Vec<String>,
    /// What the classifier is being asked.
    asked: Option<Vec<Look>>,
    /// Changes of texts that are finished, by their digest.
    known: HashMap<[u8; 32], Vec<Change>>,
    /// What may leave as soon as the stream goes on.
    out: Vec<u8>,
    /// The backend has said everything.
    ended: bool,
    /// The answer has been broken off: nothing more of it leaves.
    over: bool,
    said: Option<Said>,
}

impl AnswerGuard {
    /// `placeholders` are those of the request: the same value gets the same one. `limit` is the most bytes that are held.
    pub(crate) fn new(policy: &ResponsePiiGuard, kind: Kind, placeholders: Placeholders, limit: usize) -> Self {
        let reading = Reading { stream: kind != Kind::Whole, everything: false };
        Self {
            policy: policy.clone(),
            kind,
            frames: Frames::new(limit),
            held: Held::new(reading, limit, scan::CONTEXT),
            ours: placeholders.names().map(ToOwned::to_owned).collect(),
            placeholders,
            asked: None,
            known: HashMap::new(),
            out: Vec::new(),
            ended: false,
            over: false,
            said: None,
        }
    }

    /// Takes what the backend sent: a whole body, or a chunk of a stream.
    pub(crate) fn push(&mut self, chunk: &[u8], end: bool) -> Step {
        self.ended |= end;
        if self.over {
            return self.pass();
        }
        if let Err(why) = self.take(chunk, end) {
            return self.unfit(&why, chunk);
        }
        if self.asked.is_some() { Step::Wait } else { self.go_on(true) }
    }

    fn take(&mut self, chunk: &[u8], end: bool) -> Result<(), Unfit> {
        if self.kind == Kind::Whole {
            return self.held.push(chunk, std::slice::from_ref(&(0..chunk.len())));
        }
        let open = self.policy.on_error == FailurePolicy::Open;
        let held = &mut self.held;
        let mut frame = |frame: &[u8], data: &[std::ops::Range<usize>]| match held.push(frame, data) {
            Err(Unfit::Unread(_) | Unfit::NotUtf8) if open => {
                held.pass(frame);
                Ok(())
            }
            pushed => pushed,
        };
        self.frames.push(chunk, &mut frame)?;
        if end {
            let (rest, data) = self.frames.finish();
            frame(&rest, &data)?;
            self.held.end_all();
        }
        Ok(())
    }

    /// The classifier has answered, or not.
    pub(crate) fn result(&mut self, reply: Result<&[u8], GuardFailure>) -> Step {
        let Some(asked) = self.asked.take().filter(|_| !self.over) else { return self.pass() };
        let bad = GuardFailure::Classifier(Fallback::BadReply);
        let reply = reply.and_then(|reply| AnalyzeResponse::decode(reply).map_err(|_| bad));
        let looked = reply.and_then(|reply| scan::read(&self.held, &asked, reply, &self.policy).ok_or(bad));
        let looked = match looked {
            Ok(looked) => looked,
            Err(failure) => {
                self.said = Some(Said::Failed(failure));
                if self.policy.on_error == FailurePolicy::Closed {
                    return self.deny(&unavailable());
                }
                asked.into_iter().map(|look| Looked { look, found: Vec::new() }).collect()
            }
        };
        let types = self.types(&looked);
        if !types.is_empty() {
            self.said = Some(Said::Found);
            if self.policy.action == ResponseAction::Block {
                return self.deny(&blocked(&types));
            }
        }
        self.settle(looked);
        self.go_on(false)
    }

    /// The types that were found, sorted, each once.
    fn types(&self, looked: &[Looked]) -> Vec<String> {
        let mut types: Vec<String> = Vec::new();
        for Looked { look, found } in looked {
            let Some(text) = self.held.text(look.text) else { continue };
            let theirs = found.iter().filter(|found| found.at.end > text.safe && !self.is_ours(text, &found.at));
            types.extend(theirs.map(|found| found.kind.clone()));
        }
        types.sort_unstable();
        types.dedup();
        types
    }

    /// Whether a place is (part of) a placeholder of the request.
    fn is_ours(&self, text: &held::Text, at: &std::ops::Range<usize>) -> bool {
        let longest = self.ours.iter().map(String::len).max().unwrap_or_default();
        if longest == 0 {
            return false;
        }
        let from = text.floor(at.start.saturating_sub(longest));
        let to = text.floor(at.end.saturating_add(longest));
        let around = text.part(from..to);
        self.ours.iter().any(|ours| {
            around.match_indices(ours.as_str()).any(|(i, _)| {
                let (start, end) = (from + i, from + i + ours.len());
                start <= at.start && at.end <= end
            })
        })
    }

    /// Notes what texts become, as far as that is known now.
    fn settle(&mut self, looked: Vec<Looked>) {
        for Looked { look, found } in looked {
            let Some(text) = self.held.text(look.text) else { continue };
            let theirs: Vec<scan::Found> = found.into_iter().filter(|found| !self.is_ours(text, &found.at)).collect();
            let safe = scan::safe(text, &look, &theirs);
            self.placeholders.reserve(text.part(look.from..look.upto));
            let Some(text) = self.held.text_mut(look.text) else { continue };
            for found in theirs {
                let at = found.at.start.max(text.safe)..found.at.end.min(safe);
                if at.is_empty() {
                    continue;
                }
                let with = self.placeholders.assign(&found.kind, text.part(found.at), [0; 16]);
                text.change(Change { at, with });
            }
            text.safe = text.safe.max(safe);
            text.scanned = look.upto;
            self.remember(look.text);
        }
    }

    fn remember(&mut self, id: usize) {
        let Some(text) = self.held.text(id).filter(|text| text.ended && text.safe == text.end()) else { return };
        if self.known.len() < REMEMBERED
            && let Some((digest, changes)) = text.finished()
        {
            self.known.insert(digest, changes.to_vec());
        }
    }

    /// Asks about what is due, or lets go what is known. `fresh` where more has just come.
    fn go_on(&mut self, fresh: bool) -> Step {
        self.held.release(&mut self.out);
        if !fresh && !self.ended && !self.out.is_empty() {
            return self.pass();
        }
        let looks = self.due();
        if looks.is_empty() {
            // Texts that were known already.
            self.held.release(&mut self.out);
            return self.pass();
        }
        let segment = |look: &Look| {
            let text = self.held.text(look.text).map(|text| text.part(look.from..look.upto));
            Segment { text: text.unwrap_or_default().to_owned(), tasks: Vec::new() }
        };
        let request = AnalyzeRequest { segments: looks.iter().map(segment).collect(), tasks: vec![Task::Pii.into()] };
        self.asked = Some(looks);
        Step::Ask(request.encode_to_vec())
    }

    /// The texts that are to be looked at now.
    fn due(&mut self) -> Vec<Look> {
        let (mut looks, mut seen) = (Vec::new(), Vec::new());
        for (id, text) in self.held.texts() {
            let fresh = text.end() - text.scanned;
            if text.safe == text.end() || (!text.ended && fresh < STEP) {
                continue;
            }
            if text.ended {
                let digest = text.digest();
                if let Some(changes) = self.known.get(&digest) {
                    let from = text.safe;
                    for change in changes.iter().filter(|change| change.at.end > from) {
                        text.change(Change { at: change.at.start.max(from)..change.at.end, with: change.with.clone() });
                    }
                    text.safe = text.end();
                    continue;
                }
                // The same text is asked about already: it is known then.
                if seen.contains(&digest) {
                    continue;
                }
                seen.push(digest);
            }
            looks.push(Look { text: id, from: text.base(), upto: text.end(), ended: text.ended });
        }
        looks
    }

    fn pass(&mut self) -> Step {
        let end = self.ended && self.asked.is_none();
        Step::Pass { bytes: std::mem::take(&mut self.out), end, said: self.said.take() }
    }

    /// An answer that cannot be looked into.
    fn unfit(&mut self, why: &Unfit, chunk: &[u8]) -> Step {
        let whole = self.kind == Kind::Whole;
        if whole && self.policy.on_error == FailurePolicy::Open && !matches!(why, Unfit::TooLarge(_)) {
            self.over = true;
            self.out.extend_from_slice(chunk);
            return self.pass();
        }
        let message = format!("The model's backend gave an answer that cannot be guarded: {why}.");
        let error = ApiError::new(502, "server_error", message).code("upstream_bad_answer");
        self.deny(&error)
    }

    /// The answer ends here.
    fn deny(&mut self, error: &ApiError) -> Step {
        self.over = true;
        self.asked = None;
        if self.kind == Kind::Whole {
            return Step::Refuse(error.clone(), self.said.take());
        }
        self.held.release(&mut self.out);
        let frames = match self.kind {
            Kind::Responses => self.failed(error),
            Kind::Whole | Kind::Chat => [b"data: ".as_slice(), &error.body(), b"\n\ndata: [DONE]\n\n"].concat(),
        };
        self.out.extend_from_slice(&frames);
        self.held.clear();
        self.pass()
    }

    /// The last events of a response stream: `error`, then `response.failed`.
    fn failed(&self, error: &ApiError) -> Vec<u8> {
        let number = self.held.sequence.map_or(0, |last| last.saturating_add(1));
        let code = error.code.unwrap_or("server_error");
        let event =
            json!({"type": "error", "sequence_number": number, "code": code, "message": error.message, "param": null});
        let mut frames = format!("event: error\ndata: {event}\n\n");
        let response = self.held.response.as_deref();
        if let Some(mut response) =
            response.and_then(|json| serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(json).ok())
        {
            response.insert("status".to_owned(), "failed".into());
            response.insert("error".to_owned(), json!({"code": code, "message": error.message}));
            let number = number.saturating_add(1);
            let event = json!({"type": "response.failed", "sequence_number": number, "response": response});
            frames.push_str(&format!("event: response.failed\ndata: {event}\n\n"));
        }
        frames.into_bytes()
    }
}

fn blocked(types: &[String]) -> ApiError {
    ApiError::new(403, "security_violation", "PII detected in the answer")
        .code("pii_detected")
        .details(json!({"entities_found": types, "action_taken": "block"}))
}

fn unavailable() -> ApiError {
    let message = "The answer could not be checked for personal data, and the configuration says not to give out what is not. Try again later.";
    ApiError::new(503, "server_error", message).code("guard_unavailable")
}

#[cfg(test)]
mod tests;
