//! What would become of a prompt: `/api/v1/eval` of the management API, as people read it.

use std::{collections::BTreeMap, fmt};

use reqwest::header::HeaderMap;
use serde_json::{Value, json};

use super::{Error, Question, TIMEOUT, endpoint, headers, received, root};

/// Labels that are shown beside the first.
const RUNNERS_UP: usize = 2;

/// The management API's evaluation.
#[derive(Debug, Clone)]
pub struct Explanation(pub(super) Value);

/// Asks what would become of a prompt that asks to be routed. No backend is asked. The question's headers are those that rules read.
///
/// # Errors
/// Where there is no answer.
pub async fn explain(question: &Question, token: Option<&str>) -> Result<Explanation, Error> {
    let url = endpoint(&question.url, "/api/v1/eval")?;
    let client = reqwest::Client::builder().timeout(TIMEOUT).build().map_err(Error::Client)?;
    let body = json!({"text": question.prompt, "headers": texts(&headers(&question.headers)?)});
    let mut request = client.post(url.clone()).json(&body);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.map_err(|error| Error::NoManagement { url: url.clone(), why: root(&error) })?;
    received(&url, response).await.map(Explanation)
}

fn texts(headers: &HeaderMap) -> BTreeMap<&str, String> {
    headers
        .iter()
        .map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value.as_bytes()).into_owned()))
        .collect()
}

impl Explanation {
    /// As the management API gave it.
    #[must_use]
    pub const fn json(&self) -> &Value {
        &self.0
    }

    fn text(&self, pointer: &str) -> Option<&str> {
        self.0.pointer(pointer)?.as_str()
    }

    fn share(&self, pointer: &str) -> Option<String> {
        self.0.pointer(pointer)?.as_f64().map(|share| format!("{share:.3}"))
    }

    /// The category, and what came next.
    fn category(&self) -> Option<String> {
        let (label, confidence) = (self.text("/signals/category")?, self.share("/signals/confidence")?);
        let scores = self.0.pointer("/signals/scores").and_then(Value::as_object)?;
        let mut others: Vec<_> = scores.iter().filter(|(name, _)| *name != label).collect();
        others.sort_by(|a, b| b.1.as_f64().unwrap_or_default().total_cmp(&a.1.as_f64().unwrap_or_default()));
        let others = others.into_iter().take(RUNNERS_UP);
        let others: Vec<_> =
            others.map(|(name, score)| format!("{name} {:.3}", score.as_f64().unwrap_or_default())).collect();
        Some(format!("{label} {confidence}  ({})", others.join(", ")))
    }

    fn types(&self, pointer: &str) -> String {
        let types = self.0.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        types.filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
    }

    fn pii(&self) -> Option<String> {
        self.0.pointer("/signals/pii/types")?;
        let types = self.types("/signals/pii/types");
        Some(if types.is_empty() { "none".to_owned() } else { types })
    }

    fn jailbreak(&self) -> Option<String> {
        let score = self.share("/signals/jailbreak/score")?;
        let disguise = self.text("/signals/jailbreak/disguise").map(|name| format!(", disguised: {name}"));
        Some(format!("{score}{}", disguise.unwrap_or_default()))
    }

    fn decision(&self) -> String {
        let rule = self.text("/decision/name").zip(self.text("/decision/when"));
        rule.map_or_else(|| "none: the default model serves".to_owned(), |(name, when)| format!("{name}: {when}"))
    }

    /// What a guard does; `off` where it is not configured.
    fn guard(&self, name: &str) -> String {
        let at = |member: &str| format!("/guards/{name}/{member}");
        let Some((action, threshold)) = self.text(&at("action")).zip(self.share(&at("threshold"))) else {
            return "off".to_owned();
        };
        let detected = self.0.pointer(&at("detected")) == Some(&Value::Bool(true));
        let types = self.types(&at("types"));
        match (detected, types.as_str()) {
            (false, _) => format!("nothing found (threshold {threshold}, action {action})"),
            (true, "") => format!("{action} (threshold {threshold})"),
            (true, types) => format!("{action} for {types} (threshold {threshold})"),
        }
    }

    fn rows(&self) -> Vec<(&'static str, String)> {
        let number = |pointer: &str| self.0.pointer(pointer).and_then(Value::as_u64);
        let failed = number("/failed_rules").filter(|failed| *failed > 0);
        let rows = [
            ("category", self.category()),
            ("tokens", number("/signals/tokens").map(|tokens| format!("{tokens}, estimated"))),
            ("personal data", self.pii()),
            ("jailbreak", self.jailbreak()),
            ("decision", Some(self.decision())),
            ("failed rules", failed.map(|failed| failed.to_string())),
            ("model", self.text("/selected_model").map(str::to_owned)),
            ("guard pii", Some(self.guard("pii"))),
            ("guard jailbreak", Some(self.guard("jailbreak"))),
            ("outcome", self.text("/outcome").map(str::to_owned)),
            ("classification", number("/processing_time_ms").map(|ms| format!("{ms} ms"))),
        ];
        rows.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        rows.iter().try_for_each(|(name, value)| writeln!(f, "{name:width$}  {value}"))
    }
}
