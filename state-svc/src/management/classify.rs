//! `/api/v1/classify/...` and `/api/v1/embeddings`: one call of the classifier each, whatever is asked.

use axum::{extract::State, response::Response};
use fingerpost_core::error::ApiError;
use fingerpost_proto::classifier::{AnalyzeResponse, SegmentAnalysis, Task};
use serde::Deserialize;

use super::{
    App, Body, Inner,
    classifier::there,
    eval::{self, route},
    json, read,
    views::{Batch, Combined, EmbeddingView, Embeddings, Intent, Pii, Security, Verdict},
};
use crate::http::Refusal;

/// Texts of one request, at most.
const MOST: usize = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Texts {
    texts: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Many {
    texts: Vec<String>,
    #[serde(default)]
    task_type: Kind,
}

/// What is asked of a text.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    #[default]
    Intent,
    Pii,
    Security,
    All,
}

impl Kind {
    /// The tasks that answer it. Where rules read what the guards find, a model is recommended by that too.
    fn tasks(self, app: &Inner) -> Vec<Task> {
        match self {
            Self::Intent => eval::tasks(app),
            Self::Pii => vec![Task::Pii],
            Self::Security => vec![Task::Jailbreak],
            Self::All => vec![Task::Category, Task::Jailbreak, Task::Pii],
        }
    }

    fn verdict(self, app: &Inner, text: &str, analysis: SegmentAnalysis, ms: u64) -> Result<Verdict, Refusal> {
        let intent = |analysis: &SegmentAnalysis| {
            let routing = route(app, text, analysis)?;
            Ok::<_, Refusal>(Intent::new(there(analysis.category.clone())?, routing, ms))
        };
        Ok(match self {
            Self::Intent => Verdict::Intent(intent(&analysis)?),
            Self::Pii => Verdict::Pii(Pii::new(app, text, there(analysis.pii)?, ms)),
            Self::Security => Verdict::Security(Security::new(app, there(analysis.jailbreak)?, ms)),
            Self::All => {
                let intent = intent(&analysis)?;
                let pii = Pii::new(app, text, there(analysis.pii)?, ms);
                let security = Security::new(app, there(analysis.jailbreak)?, ms);
                Verdict::All(Box::new(Combined::new(intent, pii, security, ms)))
            }
        })
    }
}

/// Milliseconds from the call's arrival at the classifier to its answer.
pub(super) fn millis(reply: &AnalyzeResponse) -> u64 {
    reply.total_micros.div_ceil(1_000)
}

/// Refuses texts without text: nothing can be said of them.
pub(super) fn check(texts: &[String]) -> Result<(), ApiError> {
    let bad = |message: String, param: String| ApiError::invalid(message).param(param).code("invalid_value");
    if texts.is_empty() || texts.len() > MOST {
        return Err(bad(format!("Invalid 'texts': {} texts; send 1 to {MOST}.", texts.len()), "texts".to_owned()));
    }
    match texts.iter().position(|text| text.trim().is_empty()) {
        Some(at) if texts.len() > 1 => Err(bad(format!("Invalid 'texts[{at}]': it is empty."), format!("texts[{at}]"))),
        Some(_) => Err(bad("Invalid 'text': it is empty.".to_owned(), "text".to_owned())),
        None => Ok(()),
    }
}

async fn one(app: &Inner, body: Body, kind: Kind) -> Result<Response, Refusal> {
    let Text { text } = read(app, body, r#"{"text": "..."}"#)?;
    let texts = [text];
    check(&texts)?;
    let reply = app.classifier.analyze(&texts, &kind.tasks(app)).await?;
    let ms = millis(&reply);
    let [text] = &texts;
    let analysis = there(reply.segments.into_iter().next())?;
    Ok(json(&kind.verdict(app, text, analysis, ms)?))
}

pub(super) async fn intent(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    one(&app, body, Kind::Intent).await
}

pub(super) async fn pii(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    one(&app, body, Kind::Pii).await
}

pub(super) async fn security(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    one(&app, body, Kind::Security).await
}

pub(super) async fn combined(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    one(&app, body, Kind::All).await
}

pub(super) async fn batch(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    let expected = r#"{"texts": ["..."], "task_type": "intent"}, where the type is intent, pii, security or all"#;
    let Many { texts, task_type } = read(&app, body, expected)?;
    check(&texts)?;
    let reply = app.classifier.analyze(&texts, &task_type.tasks(&app)).await?;
    let processing_time_ms = millis(&reply);
    let verdicts = reply.segments.into_iter().zip(&texts);
    let verdicts = verdicts.map(|(analysis, text)| task_type.verdict(&app, text, analysis, processing_time_ms));
    let results = verdicts.collect::<Result<Vec<_>, _>>()?;
    Ok(json(&Batch { total_count: results.len(), results, processing_time_ms }))
}

pub(super) async fn embeddings(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    let Texts { texts } = read(&app, body, r#"{"texts": ["..."]}"#)?;
    check(&texts)?;
    let reply = app.classifier.analyze(&texts, &[Task::Embedding]).await?;
    let total_processing_time_ms = millis(&reply);
    let embeddings = reply.segments.into_iter().map(|segment| {
        let embedding = there(segment.embedding)?.values;
        Ok(EmbeddingView { dimension: embedding.len(), embedding, model_used: reply.model_version.clone() })
    });
    let embeddings = embeddings.collect::<Result<Vec<_>, ApiError>>()?;
    Ok(json(&Embeddings { total_count: embeddings.len(), embeddings, total_processing_time_ms }))
}
