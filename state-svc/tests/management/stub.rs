//! A classifier whose verdicts can be told from the text, and what a management API that asks it answers.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use fingerpost_core::config::Config;
use fingerpost_proto::classifier::{
    self as wire, AnalyzeRequest, AnalyzeResponse, CategoryVerdict, Embedding, JailbreakVerdict, LabelScore, PiiEntity,
    PiiVerdict, SegmentAnalysis, Task,
    classifier_server::{Classifier, ClassifierServer},
};
use fingerpost_state::{config::Services, management::Settings};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tonic::{Request, Response, Status, transport::server::TcpIncoming};

use crate::support::Running;

pub const MODEL: &str = "stub-1";

/// Knows `x^2` as mathematics, `ignore` as a jailbreak in base64, `jo@x.test` and `Zoë` as personal data, `Acme` as an organisation.
#[derive(Clone, Default)]
pub struct Stub {
    pub calls: Arc<Mutex<Vec<AnalyzeRequest>>>,
}

fn entities(text: &str) -> Vec<PiiEntity> {
    let known = [
        ("jo@x.test", "EMAIL_ADDRESS", 1.0),
        ("Zoë", "PERSON", 0.9),
        ("Acme", "ORGANIZATION", 0.8),
        ("maybe", "PERSON", 0.3),
    ];
    let found = known.into_iter().flat_map(|(value, kind, score)| {
        let at = text.match_indices(value).map(|(at, _)| u32::try_from(at).unwrap());
        at.map(move |start| PiiEntity { r#type: kind.to_owned(), start, end: start + value.len() as u32, score })
    });
    found.collect()
}

fn analyse(text: &str, tasks: &[i32]) -> SegmentAnalysis {
    let asked = |task: Task| tasks.contains(&task.into());
    let math = if text.contains("x^2") { 0.9 } else { 0.2 };
    let score = |label: &str, score| LabelScore { label: label.to_owned(), score };
    let category = CategoryVerdict {
        label: if math > 0.5 { "math" } else { "other" }.to_owned(),
        confidence: f32::max(math, 1.0 - math),
        scores: vec![score("math", math), score("other", 1.0 - math)],
    };
    let attack = text.contains("ignore");
    let disguise = if attack { "base64".to_owned() } else { String::new() };
    let jailbreak = JailbreakVerdict { score: if attack { 0.97 } else { 0.01 }, window: 0, disguise };
    let mut pii = PiiVerdict { entities: entities(text) };
    if text == "é: torn" {
        pii.entities = vec![PiiEntity { r#type: "PERSON".to_owned(), start: 0, end: 1, score: 1.0 }];
    }
    SegmentAnalysis {
        category: asked(Task::Category).then_some(category),
        embedding: asked(Task::Embedding).then(|| Embedding { values: vec![0.6, 0.8] }),
        jailbreak: asked(Task::Jailbreak).then_some(jailbreak),
        pii: asked(Task::Pii).then_some(pii),
        tokens: 3,
        windows: 1,
    }
}

#[tonic::async_trait]
impl Classifier for Stub {
    async fn analyze(&self, request: Request<AnalyzeRequest>) -> Result<Response<AnalyzeResponse>, Status> {
        let request = request.into_inner();
        self.calls.lock().unwrap().push(request.clone());
        let has = |text: &str| request.segments.iter().any(|segment| segment.text.contains(text));
        for (text, status) in [
            ("queue is full", Status::resource_exhausted("queue")),
            ("over the ceiling", Status::out_of_range("9 tokens, at most 8 (limits.max_tokens)")),
            ("without a head", Status::invalid_argument("there is no head for TASK_PII")),
            ("breaks", Status::internal("broken")),
        ] {
            if has(text) {
                return Err(status);
            }
        }
        if has("no guard's head") && request.tasks.iter().any(|task| *task != i32::from(Task::Category)) {
            return Err(Status::invalid_argument("there is no head for TASK_JAILBREAK"));
        }
        let segments = request.segments.iter().map(|segment| analyse(&segment.text, &request.tasks)).collect();
        let model_version = MODEL.to_owned();
        Ok(Response::new(AnalyzeResponse { segments, model_version, total_micros: 1_500, inference_micros: 1_000 }))
    }
}

impl Stub {
    /// Serves on a free port for as long as the test's runtime lives.
    pub async fn serve(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (reporter, health) = tonic_health::server::health_reporter();
        reporter.set_service_status(wire::SERVICE, tonic_health::ServingStatus::Serving).await;
        let server =
            tonic::transport::Server::builder().add_service(ClassifierServer::new(self.clone())).add_service(health);
        tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
        address
    }
}

/// A gateway with both guards, asking the classifier at that address.
pub fn gateway(classifier: &str) -> Value {
    json!({
        "default_model": "general",
        "models": [
            {"name": "general", "endpoints": [{"address": "127.0.0.1:9"}]},
            {"name": "private", "endpoints": [{"address": "127.0.0.1:9"}]},
            {"name": "math", "endpoints": [{"address": "127.0.0.1:9"}]},
        ],
        "decisions": [
            {"name": "personal", "when": "'PERSON' in pii.types", "model": "private", "guards": {"pii": {"action": "annotate"}}},
            {"name": "maths", "when": "category == 'math' && confidence > 0.6", "model": "math"},
            {"name": "beta", "when": "'x-beta' in headers", "model": "math"},
        ],
        "guards": {"pii": {"action": "redact"}, "jailbreak": {"threshold": 0.8}},
        "response_api": {"enabled": false},
        "callouts": {"classifier": {"address": classifier}},
        "management": {"show_values": false},
    })
}

/// A management API, and the stub that it asks.
pub struct Api {
    pub running: Running,
    pub stub: Stub,
    pub http: reqwest::Client,
}

impl Api {
    pub async fn new(change: impl FnOnce(&mut Value)) -> Self {
        let stub = Stub::default();
        let classifier = stub.serve().await;
        Self::at(&classifier.to_string(), None, stub, change).await
    }

    pub async fn at(classifier: &str, token: Option<&str>, stub: Stub, change: impl FnOnce(&mut Value)) -> Self {
        let mut gateway = gateway(classifier);
        change(&mut gateway);
        let gateway = Config::from_json(gateway.to_string().as_bytes()).unwrap();
        let listen = "127.0.0.1:0".parse().unwrap();
        let settings = Settings { listen, token: token.map(str::to_owned), gateway };
        let running = Running::start(Services { state: None, management: Some(settings) }).await;
        Self { running, stub, http: reqwest::Client::new() }
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.http.request(method.parse().unwrap(), self.running.url(path))
    }

    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        finish(self.request("POST", path).json(body)).await
    }

    pub async fn get(&self, path: &str) -> (u16, Value) {
        finish(self.request("GET", path)).await
    }
}

pub async fn finish(request: reqwest::RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} {text}")))
}
