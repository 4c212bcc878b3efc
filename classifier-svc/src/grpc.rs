//! The gRPC edge: wire messages to domain types and back, errors to status codes.

use std::{
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use fingerpost_proto::classifier as wire;
use tonic::{Code, Request, Response, Status, metadata::MetadataMap};

use crate::{
    domain::{
        AnalyzeError, SegmentAnalysis, Task,
        analyzer::{AnalyzeRequest, Analyzer, Segment},
        disguise::Disguise,
    },
    metrics::Metrics,
    pii::Entity,
};

/// The analyzer, once it is loaded.
pub type Slot = Arc<OnceLock<Analyzer>>;

/// `fingerpost.classifier.v1.Classifier`.
pub struct ClassifierService {
    slot: Slot,
    metrics: Arc<Metrics>,
}

impl ClassifierService {
    /// A service that answers UNAVAILABLE until the slot is filled.
    #[must_use]
    pub const fn new(slot: Slot, metrics: Arc<Metrics>) -> Self {
        Self { slot, metrics }
    }

    async fn answer(
        &self,
        request: Request<wire::AnalyzeRequest>,
        arrived: Instant,
    ) -> Result<wire::AnalyzeResponse, AnalyzeError> {
        let analyzer = self.slot.get().ok_or(AnalyzeError::Loading)?;
        let deadline = timeout(request.metadata()).and_then(|t| arrived.checked_add(t));
        let message = request.into_inner();
        let tasks = tasks(&message.tasks)?;
        let segments = message.segments.into_iter().map(|segment| {
            let own = self::tasks(&segment.tasks)?;
            Ok(Segment { text: segment.text, tasks: if own.is_empty() { tasks.clone() } else { own } })
        });
        let segments = segments.collect::<Result<_, AnalyzeError>>()?;
        let analysis = analyzer.analyze(AnalyzeRequest { segments, deadline }).await?;
        Ok(wire::AnalyzeResponse {
            segments: analysis.segments.into_iter().map(segment).collect(),
            model_version: analyzer.info().version.clone(),
            total_micros: micros(arrived.elapsed()),
            inference_micros: micros(analysis.inference),
        })
    }
}

#[tonic::async_trait]
impl wire::classifier_server::Classifier for ClassifierService {
    async fn analyze(&self, request: Request<wire::AnalyzeRequest>) -> Result<Response<wire::AnalyzeResponse>, Status> {
        let mut tally = Tally::new(&self.metrics);
        let result = self.answer(request, tally.arrived).await;
        let result = result.map_err(|error| {
            tracing::debug!(%error, "a request was refused");
            Status::new(code(&error), error.to_string())
        });
        tally.outcome = match &result {
            Ok(_) => "ok",
            Err(status) => outcome(status.code()),
        };
        result.map(Response::new)
    }
}

/// Counts a request when it ends, in whatever way: a dropped future is a caller that has gone.
struct Tally<'a> {
    metrics: &'a Metrics,
    arrived: Instant,
    outcome: &'static str,
}

impl<'a> Tally<'a> {
    fn new(metrics: &'a Metrics) -> Self {
        Self { metrics, arrived: Instant::now(), outcome: "cancelled" }
    }
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        self.metrics.finished(self.outcome, self.arrived.elapsed());
    }
}

fn tasks(numbers: &[i32]) -> Result<Vec<Task>, AnalyzeError> {
    numbers.iter().map(|number| task(*number)).collect()
}

fn task(number: i32) -> Result<Task, AnalyzeError> {
    match wire::Task::try_from(number) {
        Ok(wire::Task::Category) => Ok(Task::Category),
        Ok(wire::Task::Embedding) => Ok(Task::Embedding),
        Ok(wire::Task::Jailbreak) => Ok(Task::Jailbreak),
        Ok(wire::Task::Pii) => Ok(Task::Pii),
        Ok(wire::Task::Unspecified) => Err(AnalyzeError::UnservedTask("TASK_UNSPECIFIED")),
        Err(_) => Err(AnalyzeError::UnknownTask(number)),
    }
}

fn segment(analysis: SegmentAnalysis) -> wire::SegmentAnalysis {
    wire::SegmentAnalysis {
        category: analysis.category.map(|verdict| {
            let scores: Vec<wire::LabelScore> =
                verdict.scores.into_iter().map(|(label, score)| wire::LabelScore { label, score }).collect();
            let best = scores.first().cloned().unwrap_or_default();
            wire::CategoryVerdict { label: best.label, confidence: best.score, scores }
        }),
        embedding: analysis.embedding.map(|values| wire::Embedding { values }),
        jailbreak: analysis.jailbreak.map(|verdict| wire::JailbreakVerdict {
            score: verdict.score,
            window: count(verdict.window),
            disguise: verdict.disguise.map(Disguise::as_str).unwrap_or_default().to_owned(),
        }),
        pii: analysis.pii.map(|entities| wire::PiiVerdict { entities: entities.iter().map(entity).collect() }),
        tokens: count(analysis.tokens),
        windows: count(analysis.windows),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn entity(entity: &Entity) -> wire::PiiEntity {
    let Entity { kind, range, score } = entity;
    wire::PiiEntity {
        r#type: kind.as_str().to_owned(),
        start: count(range.start),
        end: count(range.end),
        score: *score,
    }
}

fn code(error: &AnalyzeError) -> Code {
    match error {
        AnalyzeError::NoSegment
        | AnalyzeError::NoTask
        | AnalyzeError::UnknownTask(_)
        | AnalyzeError::UnservedTask(_) => Code::InvalidArgument,
        AnalyzeError::TooManySegments { .. } | AnalyzeError::TooManyTokens { .. } => Code::OutOfRange,
        AnalyzeError::QueueFull(_) => Code::ResourceExhausted,
        AnalyzeError::DeadlinePassed => Code::DeadlineExceeded,
        AnalyzeError::Loading | AnalyzeError::Gone => Code::Unavailable,
        AnalyzeError::Model(_) => Code::Internal,
    }
}

const fn outcome(code: Code) -> &'static str {
    match code {
        Code::InvalidArgument => "invalid_argument",
        Code::OutOfRange => "out_of_range",
        Code::ResourceExhausted => "resource_exhausted",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::Unavailable => "unavailable",
        _ => "internal",
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The caller's `grpc-timeout`: up to 8 digits and a unit. What does not parse is no deadline.
fn timeout(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let split = text.len().checked_sub(1)?;
    let (digits, unit) = (text.get(..split)?, text.get(split..)?);
    if digits.len() > 8 {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn timeouts_are_read_in_every_unit() {
        let parse = |text: &str| {
            let mut map = MetadataMap::new();
            map.insert("grpc-timeout", text.parse().unwrap());
            timeout(&map)
        };
        assert_eq!(parse("250m"), Some(Duration::from_millis(250)));
        assert_eq!(parse("2S"), Some(Duration::from_secs(2)));
        assert_eq!(parse("1H"), Some(Duration::from_secs(3600)));
        assert_eq!(parse("7u"), Some(Duration::from_micros(7)));
        for bad in ["", "m", "5", "5x", "123456789m", "-5m"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
