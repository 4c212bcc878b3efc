//! `POST /api/v1/eval`: every signal of a prompt, the rule that it matches, the model that would serve, and what each guard would do.
//! The rules are the gateway's own, compiled by the same code; no backend is asked.

use std::collections::{BTreeMap, BTreeSet};

use axum::{extract::State, response::Response};
use fingerpost_core::{
    body::{Needs, Request},
    config::{Action, Decision, JailbreakGuard, PiiGuard},
    error::ApiError,
    headers::Headers,
    route::Create,
    rules::{self, GuardSignals, JailbreakSignal, PiiSignal, RequestSignals, Signals},
};
use fingerpost_proto::classifier::{AnalyzeResponse, JailbreakVerdict, PiiEntity, SegmentAnalysis, Task};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{
    App, Body, Inner,
    classifier::there,
    classify::{check, millis},
    json as answer, read,
    views::found,
};
use crate::http::Refusal;

/// Headers of one prompt, at most.
const MOST_HEADERS: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prompt {
    text: String,
    /// What rules may read of the request's headers.
    #[serde(default)]
    headers: BTreeMap<String, String>,
}

/// Which model a text gets, and by which rule.
#[derive(Debug, Default)]
pub(super) struct Routing {
    pub model: Option<String>,
    pub decision: Option<String>,
}

/// What routing asks of the classifier: the category, and what rules can read of the configured guards.
pub(super) fn tasks(app: &Inner) -> Vec<Task> {
    let guards = &app.plugin.config.guards;
    let mut tasks = vec![Task::Category];
    tasks.extend(guards.pii.is_some().then_some(Task::Pii));
    tasks.extend(guards.jailbreak.is_some().then_some(Task::Jailbreak));
    tasks
}

/// Everything that a rule may read, owned.
struct Seen {
    verdict: Option<rules::Verdict>,
    request: RequestSignals,
    headers: Headers,
    guards: GuardSignals,
}

impl Seen {
    fn signals(&self) -> Signals<'_> {
        Signals {
            verdict: self.verdict.as_ref(),
            request: &self.request,
            headers: &self.headers,
            guards: Some(&self.guards),
        }
    }
}

/// The text as the only message of a chat completion.
fn see(
    app: &Inner,
    text: &str,
    headers: &BTreeMap<String, String>,
    analysis: &SegmentAnalysis,
) -> Result<Seen, ApiError> {
    let body = json!({"model": app.plugin.config.auto_model, "messages": [{"role": "user", "content": text}]});
    let body = body.to_string().into_bytes();
    let request = Request::parse(&body, Create::ChatCompletion, Needs { tokens: true })?;
    let request = RequestSignals {
        text: text.to_owned(),
        tokens: request.tokens,
        messages: request.messages,
        ..RequestSignals::default()
    };
    let own = [(":method", "POST"), (":path", "/v1/chat/completions"), ("content-type", "application/json")];
    let given = headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    let headers = own.map(|(name, value)| (name.to_owned(), value.to_owned())).into_iter().chain(given).collect();
    let verdict = analysis.category.clone().map(|category| rules::Verdict {
        category: category.label,
        confidence: category.confidence,
        scores: category.scores.into_iter().map(|one| (one.label, one.score)).collect(),
    });
    let configured = &app.plugin.config.guards;
    let pii = analysis.pii.clone().filter(|_| configured.pii.is_some());
    let jailbreak = analysis.jailbreak.as_ref().filter(|_| configured.jailbreak.is_some());
    let guards = GuardSignals {
        pii: pii.map(|verdict| PiiSignal { types: acted_on(&app.pii, &found(app, verdict)) }),
        jailbreak: jailbreak.map(|verdict| JailbreakSignal {
            score: verdict.score,
            detected: verdict.score >= app.jailbreak.threshold,
        }),
    };
    Ok(Seen { verdict, request, headers, guards })
}

/// The types that a guard acts upon, sorted, each once.
fn acted_on(guard: &PiiGuard, entities: &[PiiEntity]) -> Vec<String> {
    let counted = entities.iter().filter(|entity| entity.score >= guard.threshold && guard.acts_on(&entity.r#type));
    counted.map(|entity| entity.r#type.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Which model a text would get.
pub(super) fn route(app: &Inner, text: &str, analysis: &SegmentAnalysis) -> Result<Routing, ApiError> {
    let seen = see(app, text, &BTreeMap::new(), analysis)?;
    let Some(choice) = app.plugin.choose(seen.signals()) else { return Ok(Routing::default()) };
    Ok(Routing {
        model: app.plugin.backend(choice.backend).map(|backend| backend.name.clone()),
        decision: choice.decision.map(|decision| decision.name.clone()),
    })
}

#[derive(Serialize)]
struct Evaluation<'a> {
    signals: Shown<'a>,
    /// The rule that is true; none where the default model serves.
    decision: Option<Rule<'a>>,
    selected_model: Option<&'a str>,
    /// Rules that failed at run time on the way: they match nothing.
    failed_rules: u64,
    guards: Guards,
    /// `forward`, or what the strictest guard does.
    outcome: &'static str,
    processing_time_ms: u64,
}

#[derive(Serialize)]
struct Rule<'a> {
    name: &'a str,
    when: &'a str,
}

#[derive(Serialize)]
struct Shown<'a> {
    category: Option<&'a str>,
    confidence: Option<f32>,
    scores: BTreeMap<&'a str, f32>,
    tokens: u64,
    messages: usize,
    attachments: usize,
    tools: usize,
    stream: bool,
    /// None where the classifier has no head for it.
    pii: Option<PiiShown>,
    jailbreak: Option<JailbreakShown>,
}

#[derive(Serialize)]
struct PiiShown {
    detected: bool,
    types: Vec<String>,
}

#[derive(Serialize)]
struct JailbreakShown {
    score: f32,
    detected: bool,
    /// The disguise that was undone to see it.
    #[serde(skip_serializing_if = "String::is_empty")]
    disguise: String,
}

impl PiiShown {
    fn new(guard: &PiiGuard, entities: &[PiiEntity]) -> Self {
        let types = acted_on(guard, entities);
        Self { detected: !types.is_empty(), types }
    }
}

impl JailbreakShown {
    fn new(guard: &JailbreakGuard, verdict: JailbreakVerdict) -> Self {
        let JailbreakVerdict { score, disguise, .. } = verdict;
        Self { score, detected: score >= guard.threshold, disguise }
    }
}

/// What each guard would do; none where it is not configured.
#[derive(Serialize)]
struct Guards {
    pii: Option<Act>,
    jailbreak: Option<Act>,
}

#[derive(Serialize)]
struct Act {
    threshold: f32,
    action: &'static str,
    detected: bool,
    /// Types that it acts upon.
    #[serde(skip_serializing_if = "Option::is_none")]
    types: Option<Vec<String>>,
}

impl Act {
    fn pii(guard: &PiiGuard, entities: &[PiiEntity]) -> Self {
        let types = acted_on(guard, entities);
        Self {
            threshold: guard.threshold,
            action: guard.action.name(),
            detected: !types.is_empty(),
            types: Some(types),
        }
    }

    fn jailbreak(guard: &JailbreakGuard, score: f32) -> Self {
        let detected = score >= guard.threshold;
        Self { threshold: guard.threshold, action: guard.action.name(), detected, types: None }
    }

    fn does(&self, action: Action) -> bool {
        self.detected && self.action == action.name()
    }
}

/// The guards as the matched decision has them.
fn guards(app: &Inner, decision: Option<&Decision>, entities: &[PiiEntity], score: f32) -> Guards {
    let (configured, change) = (&app.plugin.config.guards, decision.and_then(|decision| decision.guards.as_ref()));
    let pii = configured.pii.as_ref().map(|guard| {
        let changed = change.and_then(|change| change.pii.as_ref()).map(|change| guard.with(change));
        Act::pii(changed.as_ref().unwrap_or(guard), entities)
    });
    let jailbreak = configured.jailbreak.as_ref().map(|guard| {
        let changed = change.and_then(|change| change.jailbreak.as_ref()).map(|change| guard.with(change));
        Act::jailbreak(changed.as_ref().unwrap_or(guard), score)
    });
    Guards { pii, jailbreak }
}

fn outcome(guards: &Guards) -> &'static str {
    let acts = || guards.pii.iter().chain(&guards.jailbreak);
    if acts().any(|act| act.does(Action::Block)) {
        "block"
    } else if acts().any(|act| act.does(Action::Redact)) {
        "redact"
    } else {
        "forward"
    }
}

/// Every signal; where the classifier has no head for one that is not needed, those that are.
async fn analyze(app: &Inner, texts: &[String]) -> Result<AnalyzeResponse, ApiError> {
    let all = app.classifier.analyze(texts, &[Task::Category, Task::Jailbreak, Task::Pii]).await;
    match all {
        Err(error) if error.code == Some("task_not_served") => app.classifier.analyze(texts, &tasks(app)).await,
        other => other,
    }
}

pub(super) async fn eval(State(app): State<App>, body: Body) -> Result<Response, Refusal> {
    let Prompt { text, headers } = read(&app, body, r#"{"text": "...", "headers": {"name": "value"}}"#)?;
    let texts = [text];
    check(&texts)?;
    if headers.len() > MOST_HEADERS {
        let message = format!("Invalid 'headers': {} headers, at most {MOST_HEADERS}.", headers.len());
        return Err(ApiError::invalid(message).param("headers").code("invalid_value").into());
    }
    let reply = analyze(&app, &texts).await?;
    let processing_time_ms = millis(&reply);
    let analysis = there(reply.segments.into_iter().next())?;
    let [text] = &texts;
    let seen = see(&app, text, &headers, &analysis)?;
    let choice = app.plugin.choose(seen.signals());
    let decision = choice.and_then(|choice| choice.decision);
    let (pii, jailbreak) = (analysis.pii.map(|pii| pii.entities), analysis.jailbreak);
    // A configured guard's verdict is there: it was asked for.
    let found = pii.as_deref().unwrap_or_default();
    let guards = guards(&app, decision, found, jailbreak.as_ref().map_or(0.0, |verdict| verdict.score));
    let verdict = seen.verdict.as_ref();
    Ok(answer(&Evaluation {
        signals: Shown {
            category: verdict.map(|verdict| verdict.category.as_str()),
            confidence: verdict.map(|verdict| verdict.confidence),
            scores: verdict.iter().flat_map(|v| &v.scores).map(|(label, score)| (label.as_str(), *score)).collect(),
            tokens: seen.request.tokens,
            messages: seen.request.messages,
            attachments: seen.request.attachments,
            tools: seen.request.tools,
            stream: seen.request.stream,
            pii: pii.map(|entities| PiiShown::new(&app.pii, &entities)),
            jailbreak: jailbreak.map(|verdict| JailbreakShown::new(&app.jailbreak, verdict)),
        },
        decision: decision.map(|decision| Rule { name: &decision.name, when: &decision.when }),
        selected_model: choice
            .and_then(|choice| app.plugin.backend(choice.backend))
            .map(|backend| backend.name.as_str()),
        failed_rules: choice.map_or(0, |choice| choice.failed_rules),
        outcome: outcome(&guards),
        guards,
        processing_time_ms,
    }))
}
