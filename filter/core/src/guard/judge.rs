//! What becomes of a request, by what was found in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::{
    analyze::{Analysis, Entity, GuardFailure},
    checks::{Checks, JailbreakCheck, PiiCheck},
    policy::Policy,
    segments::{Segment, Segments, Unread},
    unread::Kind,
};
use crate::{
    config::{Action, FailurePolicy, GuardScope, JailbreakGuard, PiiGuard, Unscannable},
    error::ApiError,
    exchange::Counter,
    rules::{GuardSignals, JailbreakSignal, PiiSignal},
};

/// What is known of a request.
#[derive(Debug)]
pub(crate) struct Findings {
    pub found: Segments,
    pub analysis: Analysis,
}

/// What the guards say.
#[derive(Debug)]
pub(crate) struct Judged {
    pub checks: Checks,
    pub count: Vec<Counter>,
    /// Why the request does not go on, if it does not.
    pub refusal: Option<ApiError>,
    /// Whether values must be replaced before it does.
    pub redact: bool,
}

impl Findings {
    /// What rules read.
    pub(crate) fn signals(&self, policy: &Policy) -> GuardSignals {
        let pii = policy.pii.as_ref().and_then(|pii| Some(PiiSignal { types: self.types(pii).ok()? }));
        let jailbreak = policy.jailbreak.as_ref().and_then(|guard| {
            let score = self.score(guard).ok()?;
            Some(JailbreakSignal { score, detected: score >= guard.threshold })
        });
        GuardSignals { pii, jailbreak }
    }

    /// The entities that the guard acts upon, segment by segment.
    pub(crate) fn hits<'a>(&'a self, guard: &'a PiiGuard) -> impl Iterator<Item = (&'a Segment, Vec<&'a Entity>)> {
        let found = self.analysis.pii.as_deref().unwrap_or_default();
        self.found.segments.iter().zip(found).filter(|(segment, _)| guard.scope.covers(segment.speaker)).map(
            |(segment, found)| {
                let hits = found.iter().filter(|entity| entity.score >= guard.threshold && guard.acts_on(&entity.kind));
                (segment, hits.collect())
            },
        )
    }

    fn types(&self, guard: &PiiGuard) -> Result<Vec<String>, GuardFailure> {
        self.analysis.pii.as_ref().map_err(|failure| *failure)?;
        let types: BTreeSet<&str> =
            self.hits(guard).flat_map(|(_, hits)| hits).map(|entity| entity.kind.as_str()).collect();
        Ok(types.into_iter().map(ToOwned::to_owned).collect())
    }

    fn score(&self, guard: &JailbreakGuard) -> Result<f32, GuardFailure> {
        let scores = self.analysis.jailbreak.as_ref().map_err(|failure| *failure)?;
        let read = self.found.segments.iter().zip(scores).filter(|(segment, _)| guard.scope.covers(segment.speaker));
        Ok(read.filter_map(|(_, score)| *score).fold(0.0, f32::max))
    }

    fn unread(&self, scope: Option<GuardScope>) -> impl Iterator<Item = &Unread> {
        self.found.unread.iter().filter(move |unread| scope.is_some_and(|scope| scope.covers(unread.speaker)))
    }

    /// Judges by the guards that hold. Of several reasons to refuse, what was found comes before what could not be.
    pub(crate) fn judge(&self, policy: &Policy) -> Judged {
        let scopes = policy.scopes();
        let checks = Checks { unscannable: self.unread(scopes.widest()).count(), ..Checks::default() };
        let mut judged = Judged { checks, count: Vec::new(), refusal: None, redact: false };
        let mut failed = None;
        if let Some(guard) = &policy.pii {
            match self.types(guard) {
                Ok(types) => judged.pii(guard, types),
                Err(failure) => {
                    judged.checks.pii = Some(PiiCheck::default());
                    judged.count.push(Counter::GuardError(failure));
                    failed = failed.or((guard.on_error == FailurePolicy::Closed).then_some(failure));
                }
            }
        }
        if let Some(guard) = &policy.jailbreak {
            match self.score(guard) {
                Ok(score) => judged.jailbreak(guard, score),
                Err(failure) => {
                    judged.checks.jailbreak = Some(JailbreakCheck::default());
                    let counted = judged.count.contains(&Counter::GuardError(failure));
                    judged.count.extend((!counted).then_some(Counter::GuardError(failure)));
                    failed = failed.or((guard.on_error == FailurePolicy::Closed).then_some(failure));
                }
            }
        }
        if judged.refusal.is_none() {
            judged.refusal = failed.map(unchecked).or_else(|| self.unscannable(policy));
        }
        judged
    }

    fn unscannable(&self, policy: &Policy) -> Option<ApiError> {
        let blocks = |unscannable, scope| (unscannable == Unscannable::Block).then_some(scope);
        let pii = policy.pii.as_ref().and_then(|guard| blocks(guard.unscannable, guard.scope));
        let jailbreak = policy.jailbreak.as_ref().and_then(|guard| blocks(guard.unscannable, guard.scope));
        let mut kinds: BTreeMap<Kind, usize> = BTreeMap::new();
        for unread in self.unread(pii.max(jailbreak)) {
            *kinds.entry(unread.kind).or_default() += 1;
        }
        if kinds.is_empty() {
            return None;
        }
        let message =
            "The request holds content that cannot be checked, and the configuration says to block it; leave it out.";
        let details = json!({"unscannable": kinds, "action_taken": Action::Block});
        Some(violation(message, "content_unscannable", details))
    }
}

impl Judged {
    fn pii(&mut self, guard: &PiiGuard, types: Vec<String>) {
        let detected = !types.is_empty();
        let action = detected.then_some(guard.action);
        self.count.extend(action.map(Counter::PiiDetected));
        self.redact = action == Some(Action::Redact);
        if action == Some(Action::Block) {
            let message = format!("PII detected in the request: {}.", types.join(", "));
            let details = json!({"entities_found": types, "action_taken": Action::Block});
            self.refusal = Some(violation(message, "pii_detected", details));
        }
        self.checks.pii = Some(PiiCheck { detected: Some(detected), types, action });
    }

    fn jailbreak(&mut self, guard: &JailbreakGuard, score: f32) {
        let detected = score >= guard.threshold;
        let action = detected.then_some(guard.action);
        let rounded = (f64::from(score) * 1_000.0).round() / 1_000.0;
        self.count.extend(action.map(Counter::JailbreakDetected));
        if action == Some(Action::Block) && self.refusal.is_none() {
            let details = json!({"score": rounded, "action_taken": Action::Block});
            let message = "The request looks like a jailbreak or a prompt injection.";
            self.refusal = Some(violation(message, "jailbreak_detected", details));
        }
        self.checks.jailbreak = Some(JailbreakCheck { detected: Some(detected), score: Some(rounded), action });
    }
}

fn violation(message: impl Into<String>, code: &'static str, details: serde_json::Value) -> ApiError {
    ApiError::new(403, "security_violation", message).code(code).details(details)
}

fn unchecked(failure: GuardFailure) -> ApiError {
    if failure == GuardFailure::Limit {
        let message = "The request, with what its conversation holds, is over the classifier's ceiling on tokens or segments, so it could not be checked; send less.";
        return ApiError::new(413, "invalid_request_error", message).code("guard_limit_exceeded");
    }
    let message = format!(
        "The request could not be checked ({}), and the configuration says not to go on without; try again later.",
        failure.name()
    );
    ApiError::new(503, "server_error", message).code("guard_unavailable")
}
