//! The classifier, asked over gRPC. What it answers is checked here, so that all else can believe it.

use std::time::Duration;

use fingerpost_core::error::ApiError;
use fingerpost_proto::classifier::{
    AnalyzeRequest, AnalyzeResponse, PiiEntity, Segment, SegmentAnalysis, Task, classifier_client::ClassifierClient,
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::ManagementError;

const CONNECT: Duration = Duration::from_secs(2);
/// Longest wait for its health: who asks for ours does not wait long.
const HEALTH: Duration = Duration::from_secs(1);
/// The largest answer: embeddings and entities of the texts of one request.
const ANSWER: usize = 64 * 1024 * 1024;

/// The classifier service. A connection is made when it is needed, and again when it broke.
pub(super) struct Classifier(Channel);

impl Classifier {
    pub(super) fn new(address: &str, timeout: Duration) -> Result<Self, ManagementError> {
        let endpoint = Endpoint::from_shared(format!("http://{address}"));
        let endpoint = endpoint.map_err(|error| ManagementError::Address(format!("`{address}`: {error}")))?;
        Ok(Self(endpoint.connect_timeout(CONNECT).timeout(timeout).connect_lazy()))
    }

    /// Every task of every text, in one call.
    pub(super) async fn analyze(&self, texts: &[String], tasks: &[Task]) -> Result<AnalyzeResponse, ApiError> {
        let segments = texts.iter().map(|text| Segment { text: text.clone(), tasks: Vec::new() }).collect();
        let request = AnalyzeRequest { segments, tasks: tasks.iter().map(|task| (*task).into()).collect() };
        let mut client = ClassifierClient::new(self.0.clone()).max_decoding_message_size(ANSWER);
        let reply = client.analyze(request).await.map_err(|status| failed(&status))?.into_inner();
        let complete = reply.segments.len() == texts.len()
            && reply.segments.iter().zip(texts).all(|(segment, text)| is_answer(segment, text, tasks));
        if complete { Ok(reply) } else { Err(bad_reply()) }
    }

    /// Whether it says that it serves.
    pub(super) async fn is_serving(&self) -> bool {
        let request = HealthCheckRequest { service: fingerpost_proto::classifier::SERVICE.to_owned() };
        let mut client = HealthClient::new(self.0.clone());
        let answer = tokio::time::timeout(HEALTH, client.check(request)).await;
        answer.is_ok_and(|answer| answer.is_ok_and(|reply| reply.into_inner().status() == ServingStatus::Serving))
    }
}

/// Whether a segment's answer has what was asked for, and places that are in the text.
fn is_answer(segment: &SegmentAnalysis, text: &str, tasks: &[Task]) -> bool {
    let share = |value: f32| (0.0..=1.0).contains(&value);
    let place = |at: u32| usize::try_from(at).is_ok_and(|at| text.is_char_boundary(at));
    tasks.iter().all(|task| match task {
        Task::Category => segment.category.as_ref().is_some_and(|c| !c.label.is_empty() && share(c.confidence)),
        Task::Embedding => segment.embedding.as_ref().is_some_and(|e| !e.values.is_empty()),
        Task::Jailbreak => segment.jailbreak.as_ref().is_some_and(|j| share(j.score)),
        Task::Pii => segment.pii.as_ref().is_some_and(|pii| {
            let good = |e: &PiiEntity| {
                e.start < e.end && place(e.start) && place(e.end) && share(e.score) && !e.r#type.is_empty()
            };
            pii.entities.iter().all(good)
        }),
        Task::Unspecified => false,
    })
}

/// A verdict that [`Classifier::analyze`] has seen to be there.
pub(super) fn there<T>(verdict: Option<T>) -> Result<T, ApiError> {
    verdict.ok_or_else(bad_reply)
}

fn bad_reply() -> ApiError {
    ApiError::new(502, "server_error", "The classifier's answer makes no sense.").code("classifier_bad_reply")
}

/// What a status means here. Its message names limits and tasks, never a text.
fn failed(status: &Status) -> ApiError {
    let told = status.message();
    match status.code() {
        Code::OutOfRange => ApiError::new(413, "invalid_request_error", told).code("classifier_limit_exceeded"),
        Code::ResourceExhausted => ApiError::new(503, "server_error", "The classifier's queue is full; try again.")
            .code("classifier_overloaded"),
        Code::InvalidArgument | Code::Unimplemented => {
            ApiError::new(501, "server_error", format!("The classifier does not do this: {told}"))
                .code("task_not_served")
        }
        Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::Unknown => {
            tracing::warn!(code = ?status.code(), "the classifier did not answer");
            ApiError::new(503, "server_error", "The classifier cannot be reached, or did not answer in time.")
                .code("classifier_unavailable")
        }
        code => {
            tracing::warn!(?code, "the classifier failed");
            ApiError::new(502, "server_error", "The classifier failed.").code("classifier_error")
        }
    }
}
