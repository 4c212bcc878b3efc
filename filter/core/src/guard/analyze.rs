//! The call to the classifier: every text once, with what is asked of it; and what the answer says of each segment.

use std::collections::HashMap;

use fingerpost_proto::classifier::{self as wire, AnalyzeRequest, AnalyzeResponse, PiiVerdict, SegmentAnalysis, Task};
use prost::Message as _;

use super::{policy::Scopes, segments::Segment};
use crate::{
    classify::{self, Fallback},
    rules::Verdict,
};

/// Why a guard has no verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GuardFailure {
    /// The request is over the classifier's ceiling on tokens or segments.
    Limit,
    /// The classifier gave no answer, or none that makes sense.
    Classifier(Fallback),
}

impl GuardFailure {
    /// All that there are, for statistics defined at start.
    pub fn all() -> impl Iterator<Item = Self> {
        let failures = Fallback::ALL.into_iter().filter(|reason| *reason != Fallback::NoText);
        std::iter::once(Self::Limit).chain(failures.map(Self::Classifier))
    }

    /// What it is to whoever asked for the category.
    pub(crate) const fn fallback(self) -> Fallback {
        match self {
            Self::Limit => Fallback::Error,
            Self::Classifier(reason) => reason,
        }
    }

    /// As errors and statistics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit_exceeded",
            Self::Classifier(reason) => reason.name(),
        }
    }
}

/// Personal data in a segment.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entity {
    pub kind: String,
    /// Bytes of the segment's text.
    pub range: std::ops::Range<usize>,
    pub score: f32,
}

/// What the guards learn of the segments, each with one entry a segment; nothing of those that were not asked about.
#[derive(Debug)]
pub(crate) struct Analysis {
    pub pii: Result<Vec<Vec<Entity>>, GuardFailure>,
    pub jailbreak: Result<Vec<Option<f32>>, GuardFailure>,
}

/// What is asked of one text.
#[derive(Debug, Clone, Copy, Default)]
struct Asked {
    category: bool,
    pii: bool,
    jailbreak: bool,
    /// A segment with that text; none for the category's own.
    segment: Option<usize>,
}

/// What was asked.
#[derive(Debug)]
pub(crate) struct Question {
    asked: Vec<Asked>,
    /// Which text each segment has, if it was asked about.
    texts: Vec<Option<usize>>,
}

impl Question {
    /// What is to be asked of the segments, and of `category`, the last user message's text; none where there is nothing. With it the
    /// encoded request.
    pub(crate) fn new(segments: &mut [Segment], scopes: Scopes, category: Option<String>) -> Option<(Self, Vec<u8>)> {
        let mut asked: Vec<Asked> = Vec::new();
        let mut known: HashMap<&str, usize> = HashMap::new();
        let mut texts = Vec::with_capacity(segments.len());
        for (index, segment) in segments.iter().enumerate() {
            let reads =
                |scope: Option<crate::config::GuardScope>| scope.is_some_and(|scope| scope.covers(segment.speaker));
            let (pii, jailbreak) = (reads(scopes.pii), reads(scopes.jailbreak));
            if !pii && !jailbreak {
                texts.push(None);
                continue;
            }
            let at = *known.entry(&segment.text).or_insert_with(|| {
                asked.push(Asked { segment: Some(index), ..Asked::default() });
                asked.len() - 1
            });
            if let Some(asked) = asked.get_mut(at) {
                asked.pii |= pii;
                asked.jailbreak |= jailbreak;
            }
            texts.push(Some(at));
        }
        let mut alone = None;
        if let Some(text) = category {
            if let Some(asked) = known.get(text.as_str()).copied().and_then(|at| asked.get_mut(at)) {
                asked.category = true;
            } else {
                asked.push(Asked { category: true, ..Asked::default() });
                alone = Some(text);
            }
        }
        let question = Self { asked, texts };
        let message = question.encode(segments, alone);
        (!question.asked.is_empty()).then_some((question, message))
    }

    /// The texts are lent to the message, not copied.
    fn encode(&self, segments: &mut [Segment], mut alone: Option<String>) -> Vec<u8> {
        let mut message = AnalyzeRequest::default();
        for asked in &self.asked {
            let own = asked.segment.and_then(|index| segments.get_mut(index));
            let text =
                own.map_or_else(|| alone.take().unwrap_or_default(), |segment| std::mem::take(&mut segment.text));
            let tasks = [(asked.category, Task::Category), (asked.jailbreak, Task::Jailbreak), (asked.pii, Task::Pii)];
            let tasks = tasks.into_iter().filter(|(wanted, _)| *wanted).map(|(_, task)| task.into()).collect();
            message.segments.push(wire::Segment { text, tasks });
        }
        let bytes = message.encode_to_vec();
        for (asked, lent) in self.asked.iter().zip(message.segments) {
            if let Some(segment) = asked.segment.and_then(|index| segments.get_mut(index)) {
                segment.text = lent.text;
            }
        }
        bytes
    }

    /// Whether the category was asked for.
    pub(crate) fn asks_category(&self) -> bool {
        self.asked.iter().any(|asked| asked.category)
    }

    /// Reads the reply. A part that makes no sense fails whoever asked for it, and nobody else.
    pub(crate) fn read(&self, segments: &[Segment], reply: &[u8]) -> (Analysis, Result<Verdict, Fallback>) {
        let decoded = AnalyzeResponse::decode(reply).ok().filter(|reply| reply.segments.len() == self.asked.len());
        let Some(reply) = decoded else {
            let failure = GuardFailure::Classifier(Fallback::BadReply);
            return (Analysis::failed(failure), Err(Fallback::BadReply));
        };
        let mut category = Err(Fallback::BadReply);
        let (mut pii, mut jailbreak) = (Vec::new(), Vec::new());
        for (asked, said) in self.asked.iter().zip(reply.segments) {
            let SegmentAnalysis { category: label, jailbreak: score, pii: found, .. } = said;
            if asked.category {
                category = label.map_or(Err(Fallback::BadReply), classify::verdict);
            }
            let text = asked.segment.and_then(|index| segments.get(index)).map(|segment| segment.text.as_str());
            pii.push(if asked.pii { entities(text.unwrap_or_default(), found) } else { Some(Vec::new()) });
            let score = score.map(|verdict| verdict.score).filter(|score| (0.0..=1.0).contains(score));
            jailbreak.push(if asked.jailbreak { score.map(Some) } else { Some(None) });
        }
        let bad = || GuardFailure::Classifier(Fallback::BadReply);
        let pii = pii.into_iter().collect::<Option<Vec<_>>>().map(|pii| self.spread(&pii)).ok_or_else(bad);
        let jailbreak =
            jailbreak.into_iter().collect::<Option<Vec<_>>>().map(|scores| self.spread(&scores)).ok_or_else(bad);
        (Analysis { pii, jailbreak }, category)
    }

    /// From one entry a text to one a segment.
    fn spread<T: Clone + Default>(&self, of_texts: &[T]) -> Vec<T> {
        let of = |at: &Option<usize>| at.and_then(|at| of_texts.get(at)).cloned().unwrap_or_default();
        self.texts.iter().map(of).collect()
    }
}

impl Analysis {
    /// Nothing was asked, since nothing is said.
    pub(crate) const fn nothing() -> Self {
        Self { pii: Ok(Vec::new()), jailbreak: Ok(Vec::new()) }
    }

    /// There is no answer.
    pub(crate) const fn failed(failure: GuardFailure) -> Self {
        Self { pii: Err(failure), jailbreak: Err(failure) }
    }
}

/// The entities, if all of them are some: in the text, on its character boundaries, of a type that can stand in a placeholder.
fn entities(text: &str, verdict: Option<PiiVerdict>) -> Option<Vec<Entity>> {
    let entity = |found: wire::PiiEntity| {
        let (start, end) = (usize::try_from(found.start).ok()?, usize::try_from(found.end).ok()?);
        let is_right = start < end
            && text.is_char_boundary(start)
            && text.is_char_boundary(end)
            && (0.0..=1.0).contains(&found.score)
            && is_type(&found.r#type);
        is_right.then_some(Entity { kind: found.r#type, range: start..end, score: found.score })
    };
    verdict?.entities.into_iter().map(entity).collect()
}

fn is_type(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
        && name.starts_with(|c: char| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests;
