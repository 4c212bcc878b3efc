//! What is there: models, health, and the description of this API.

use std::sync::atomic::Ordering;

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use fingerpost_proto::classifier::{AnalyzeResponse, Task};
use serde_json::{Value, json};

use super::{App, json as answer};

const OPENAPI: &str = include_str!("openapi.json");
const DOCS: &str = include_str!("docs.html");
/// The documentation's page loads nothing from elsewhere and is framed by nobody.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The tasks that a classifier may have a head for, with their names here.
const MODELS: [(Task, &str, &str); 4] = [
    (Task::Category, "category_classifier", "intent_classification"),
    (Task::Pii, "pii_detector", "pii_detection"),
    (Task::Jailbreak, "jailbreak_guard", "security_detection"),
    (Task::Embedding, "embedding", "embedding"),
];
/// What is analysed to learn what the classifier can do.
const PROBE: &str = "hello";

/// What the classifier answers when it is asked, one task at a time: nothing is said of it that it does not show.
pub(super) async fn models(State(app): State<App>) -> Response {
    let probe = [PROBE.to_owned()];
    let (mut models, mut version, mut unavailable) = (Vec::new(), None, None);
    for (task, name, kind) in MODELS {
        let reply = app.classifier.analyze(&probe, &[task]).await;
        let mut model = json!({"name": name, "type": kind, "loaded": reply.is_ok()});
        match &reply {
            Ok(reply) => {
                version = Some(reply.model_version.clone());
                describe(&mut model, task, reply);
            }
            Err(error) => unavailable = error.code.filter(|code| *code != "task_not_served").or(unavailable),
        }
        models.push(model);
        // Whoever does not answer one question does not answer four.
        if unavailable == Some("classifier_unavailable") {
            break;
        }
    }
    let known = models.len();
    models
        .extend(MODELS.iter().skip(known).map(|(_, name, kind)| json!({"name": name, "type": kind, "loaded": false})));
    let gateway = &app.plugin.config;
    answer(&json!({
        "models": models,
        "model_version": version,
        "error": unavailable,
        "gateway": {
            "auto_model": gateway.auto_model,
            "default_model": gateway.default_model,
            "models": gateway.models.iter().map(|model| &model.name).collect::<Vec<_>>(),
            "decisions": gateway.decisions.iter().map(|decision| &decision.name).collect::<Vec<_>>(),
        },
    }))
}

fn describe(model: &mut Value, task: Task, reply: &AnalyzeResponse) {
    let Some(segment) = reply.segments.first() else { return };
    match (task, &segment.category, &segment.embedding) {
        (Task::Category, Some(category), _) => {
            let mut labels: Vec<&str> = category.scores.iter().map(|one| one.label.as_str()).collect();
            labels.sort_unstable();
            insert(model, "categories", json!(labels));
        }
        (Task::Embedding, _, Some(embedding)) => insert(model, "dimension", json!(embedding.values.len())),
        _ => {}
    }
}

fn insert(model: &mut Value, name: &str, value: Value) {
    if let Some(members) = model.as_object_mut() {
        members.insert(name.to_owned(), value);
    }
}

/// Healthy: this service and the classifier answer. Degraded: only this one does.
pub(super) async fn health(State(app): State<App>) -> Response {
    let draining = app.draining.load(Ordering::Relaxed);
    let reachable = !draining && app.classifier.is_serving().await;
    let status = match (draining, reachable) {
        (true, _) => "draining",
        (_, true) => "healthy",
        _ => "degraded",
    };
    let body = answer(&json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "uptime": app.started.elapsed().as_secs(),
        "classifier": if reachable { "serving" } else { "not serving" },
    }));
    if draining { (StatusCode::SERVICE_UNAVAILABLE, body).into_response() } else { body }
}

pub(super) async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

pub(super) async fn docs() -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, DOCS).into_response()
}
