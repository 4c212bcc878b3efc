//! Answers, with the members that clients of the Go router know. Offsets are UTF-8 byte offsets into the text.

use std::collections::BTreeMap;

use fingerpost_core::config::Action;
use fingerpost_proto::classifier::{CategoryVerdict, JailbreakVerdict, PiiEntity, PiiVerdict};
use serde::Serialize;

use super::{
    Inner,
    eval::Routing,
    masks::{Masked, mask, offset},
};

/// `POST /api/v1/classify/intent`.
#[derive(Debug, Serialize)]
pub(super) struct Intent {
    classification: Classification,
    probabilities: BTreeMap<String, f32>,
    recommended_model: Option<String>,
    routing_decision: Option<String>,
}

#[derive(Debug, Serialize)]
struct Classification {
    category: String,
    confidence: f32,
    processing_time_ms: u64,
}

impl Intent {
    pub(super) fn new(verdict: CategoryVerdict, routing: Routing, processing_time_ms: u64) -> Self {
        let CategoryVerdict { label, confidence, scores } = verdict;
        Self {
            classification: Classification { category: label, confidence, processing_time_ms },
            probabilities: scores.into_iter().map(|one| (one.label, one.score)).collect(),
            recommended_model: routing.model,
            routing_decision: routing.decision,
        }
    }
}

/// `POST /api/v1/classify/pii`.
#[derive(Debug, Serialize)]
pub(super) struct Pii {
    has_pii: bool,
    entities: Vec<Entity>,
    masked_text: String,
    pub(super) security_recommendation: &'static str,
    processing_time_ms: u64,
}

#[derive(Debug, Serialize)]
struct Entity {
    #[serde(rename = "type")]
    kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    confidence: f32,
    start_position: u32,
    end_position: u32,
    masked_value: String,
}

/// The entities that count, by their start.
pub(super) fn found(app: &Inner, verdict: PiiVerdict) -> Vec<PiiEntity> {
    let mut entities = verdict.entities;
    entities.retain(|entity| entity.score >= app.pii.threshold);
    entities.sort_by_key(|entity| (entity.start, entity.end));
    entities
}

impl Pii {
    pub(super) fn new(app: &Inner, text: &str, verdict: PiiVerdict, processing_time_ms: u64) -> Self {
        let entities = found(app, verdict);
        let Masked { text: masked_text, placeholders } = mask(text, &entities);
        let acts = app.plugin.config.guards.pii.is_some() && entities.iter().any(|e| app.pii.acts_on(&e.r#type));
        let value = |e: &PiiEntity| text.get(offset(e.start)..offset(e.end)).map(str::to_owned);
        let entities = entities.into_iter().zip(placeholders).map(|(entity, masked_value)| Entity {
            value: value(&entity).filter(|_| app.show_values),
            kind: entity.r#type,
            confidence: entity.score,
            start_position: entity.start,
            end_position: entity.end,
            masked_value,
        });
        let entities: Vec<Entity> = entities.collect();
        Self {
            has_pii: !entities.is_empty(),
            entities,
            masked_text,
            security_recommendation: if acts { recommendation(app.pii.action) } else { "allow" },
            processing_time_ms,
        }
    }
}

/// `POST /api/v1/classify/security`.
#[derive(Debug, Serialize)]
pub(super) struct Security {
    is_jailbreak: bool,
    risk_score: f32,
    detection_types: Vec<&'static str>,
    confidence: f32,
    pub(super) recommendation: &'static str,
    patterns_detected: Vec<String>,
    processing_time_ms: u64,
}

impl Security {
    pub(super) fn new(app: &Inner, verdict: JailbreakVerdict, processing_time_ms: u64) -> Self {
        let JailbreakVerdict { score, disguise, .. } = verdict;
        let is_jailbreak = score >= app.jailbreak.threshold;
        let acts = app.plugin.config.guards.jailbreak.is_some() && is_jailbreak;
        Self {
            is_jailbreak,
            risk_score: score,
            detection_types: is_jailbreak.then_some("jailbreak").into_iter().collect(),
            confidence: score.max(1.0 - score),
            recommendation: if acts { recommendation(app.jailbreak.action) } else { "allow" },
            patterns_detected: Some(disguise).filter(|name| is_jailbreak && !name.is_empty()).into_iter().collect(),
            processing_time_ms,
        }
    }
}

/// What an action means for a text: one that is routed or annotated goes on.
const fn recommendation(action: Action) -> &'static str {
    match action {
        Action::Block => "block",
        Action::Redact => "redact",
        Action::Route | Action::Annotate => "allow",
    }
}

/// `POST /api/v1/classify/combined`.
#[derive(Debug, Serialize)]
pub(super) struct Combined {
    intent: Intent,
    pii: Pii,
    security: Security,
    overall_recommendation: &'static str,
    processing_time_ms: u64,
}

impl Combined {
    pub(super) fn new(intent: Intent, pii: Pii, security: Security, processing_time_ms: u64) -> Self {
        let both = [pii.security_recommendation, security.recommendation];
        let strictest = ["block", "redact"].into_iter().find(|one| both.contains(one));
        Self { intent, pii, security, overall_recommendation: strictest.unwrap_or("allow"), processing_time_ms }
    }
}

/// What one text of a batch gets: the same as it would get alone.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(super) enum Verdict {
    Intent(Intent),
    Pii(Pii),
    Security(Security),
    All(Box<Combined>),
}

/// `POST /api/v1/classify/batch`.
#[derive(Debug, Serialize)]
pub(super) struct Batch {
    pub results: Vec<Verdict>,
    pub total_count: usize,
    pub processing_time_ms: u64,
}

/// `POST /api/v1/embeddings`.
#[derive(Debug, Serialize)]
pub(super) struct Embeddings {
    pub embeddings: Vec<EmbeddingView>,
    pub total_count: usize,
    pub total_processing_time_ms: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct EmbeddingView {
    pub embedding: Vec<f32>,
    pub dimension: usize,
    pub model_used: String,
}
