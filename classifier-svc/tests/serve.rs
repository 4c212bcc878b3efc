//! The service over real gRPC on loopback, with the real encoder and the committed head; needs `make setup`.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::{path::Path, time::Duration};

use fingerpost_classifier::{
    config::Config,
    serve::{Bound, ServeError, ServeOptions, serve},
};
use fingerpost_proto::classifier::{self as wire, Task, classifier_client::ClassifierClient};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1 as reflection;

struct Service {
    bound: Bound,
    stop: oneshot::Sender<()>,
    done: JoinHandle<Result<(), ServeError>>,
}

fn config() -> Config {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("classifier.yaml");
    let mut config = Config::load(&file).unwrap();
    let weights = config.encoder.path.as_ref().unwrap().join("model.safetensors");
    assert!(weights.is_file(), "the default encoder is missing: run `make setup`");
    config.listen = "127.0.0.1:0".parse().unwrap();
    config.metrics_listen = config.listen;
    config
}

async fn start(change: impl FnOnce(&mut Config)) -> Service {
    let mut config = config();
    change(&mut config);
    let (stop, stopped) = oneshot::channel();
    let (ready, is_ready) = oneshot::channel();
    let options = ServeOptions { ready_file: None, ready: Some(ready) };
    let done = tokio::spawn(serve(config, options, async { drop(stopped.await) }));
    match is_ready.await {
        Ok(bound) => Service { bound, stop, done },
        Err(_) => panic!("did not start: {:?}", done.await),
    }
}

impl Service {
    async fn channel(&self) -> Channel {
        Channel::from_shared(format!("http://{}", self.bound.grpc)).unwrap().connect().await.unwrap()
    }

    async fn client(&self) -> ClassifierClient<Channel> {
        ClassifierClient::new(self.channel().await)
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let response = reqwest::get(format!("http://{}{path}", self.bound.metrics)).await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

fn ask(texts: &[&str], tasks: &[Task]) -> wire::AnalyzeRequest {
    wire::AnalyzeRequest {
        segments: texts.iter().map(|t| wire::Segment { text: (*t).to_owned(), tasks: Vec::new() }).collect(),
        tasks: tasks.iter().map(|t| *t as i32).collect(),
    }
}

fn labels(response: &wire::AnalyzeResponse) -> Vec<&str> {
    response.segments.iter().map(|s| s.category.as_ref().unwrap().label.as_str()).collect()
}

const TEXTS: [&str; 4] = [
    "Find the derivative of x^3 ln x and explain each step.",
    "My landlord kept the deposit after I moved out. Can I take him to small claims court?",
    "hey, how's it going?",
    "",
];

#[tokio::test(flavor = "multi_thread")]
async fn categories_and_embeddings_of_several_segments() {
    let service = start(|_| {}).await;
    let mut client = service.client().await;
    let both = [Task::Category, Task::Embedding];
    let answer = client.analyze(ask(&TEXTS, &both)).await.unwrap().into_inner();
    assert_eq!(labels(&answer)[..3], ["math", "law", "other"]);
    assert!(answer.model_version.starts_with("fingerpost-"));
    assert!(answer.inference_micros > 0 && answer.total_micros >= answer.inference_micros);
    for segment in &answer.segments {
        let category = segment.category.as_ref().unwrap();
        assert_eq!(category.scores.len(), 14);
        assert!((category.scores.iter().map(|s| s.score).sum::<f32>() - 1.0).abs() < 1e-4);
        assert!(category.scores.is_sorted_by(|a, b| a.score >= b.score));
        assert_eq!(category.scores[0].label, category.label);
        let embedding = &segment.embedding.as_ref().unwrap().values;
        assert_eq!(embedding.len(), 384);
        assert!((embedding.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert_eq!((answer.segments[3].tokens, answer.segments[3].windows), (0, 1));
    let one = client.analyze(ask(&TEXTS[..1], &[Task::Embedding])).await.unwrap().into_inner();
    assert!(one.segments[0].category.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_says_what_each_alone_says() {
    let service = start(|_| {}).await;
    let mut client = service.client().await;
    let both = [Task::Category, Task::Embedding];
    let together = client.analyze(ask(&TEXTS, &both)).await.unwrap().into_inner();
    for (text, wanted) in TEXTS.iter().zip(&together.segments) {
        let alone = client.analyze(ask(&[text], &both)).await.unwrap().into_inner();
        let (ours, theirs) = (alone.segments[0].category.as_ref().unwrap(), wanted.category.as_ref().unwrap());
        assert_eq!(ours.label, theirs.label);
        assert!((ours.confidence - theirs.confidence).abs() < 1e-4, "{text}");
        let (a, b) = (alone.segments[0].embedding.as_ref().unwrap(), wanted.embedding.as_ref().unwrap());
        let gap = a.values.iter().zip(&b.values).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
        assert!(gap < 1e-4, "{text}: {gap}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_named() {
    let service = start(|config| config.limits.max_tokens = 100).await;
    let mut client = service.client().await;
    let long = "word ".repeat(101);
    for (request, code, part) in [
        (ask(&["x"], &[Task::Unspecified]), Code::InvalidArgument, "TASK_UNSPECIFIED"),
        (ask(&["x"], &[]), Code::InvalidArgument, "no task"),
        (ask(&[], &[Task::Category]), Code::InvalidArgument, "no segment"),
        (ask(&[&long], &[Task::Category]), Code::OutOfRange, "101 tokens; limits.max_tokens is 100"),
        (ask(&["x"; 4097], &[Task::Category]), Code::OutOfRange, "limits.max_segments is 4096"),
    ] {
        let status = client.analyze(request).await.unwrap_err();
        assert_eq!(status.code(), code, "{status}");
        assert!(status.message().contains(part), "{status}");
    }
    let unknown = wire::AnalyzeRequest { tasks: vec![99], ..ask(&["x"], &[]) };
    let status = client.analyze(unknown).await.unwrap_err();
    assert!(status.code() == Code::InvalidArgument && status.message().contains("99"), "{status}");
    let (_, metrics) = service.get("/metrics").await;
    assert!(metrics.contains("semantic_router_classification_requests_total{outcome=\"out_of_range\"} 2"), "{metrics}");
    assert!(metrics.contains("{outcome=\"invalid_argument\"} 4"), "{metrics}");
}

/// More than 2,000 tokens of chatter.
fn chatter() -> String {
    let lines = [
        "Thanks again for the lovely weekend, the kids still talk about the picnic and the kites.",
        "We watched that film with the talking dog and laughed a lot, although the popcorn was stale.",
        "Could you send me the photos, and the name of the little bakery near the harbour?",
        "My sister finally painted her kitchen yellow and bought a second cat to keep the first one company.",
        "See you on Sunday for lunch, bring the card game and that funny hat of yours.",
    ];
    lines.join(" ").repeat(25)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_words_at_the_end_of_a_long_text_decide() {
    let service = start(|_| {}).await;
    let mut client = service.client().await;
    let ends = [
        (
            "math",
            "Now solve this: find the eigenvalues and eigenvectors of the matrix [[2, 1], [1, 2]], show that they are orthogonal, and prove that every real symmetric matrix can be diagonalised by an orthogonal matrix.",
        ),
        (
            "law",
            "Now my legal question: my landlord breached the lease and withheld the security deposit. Can the tenant sue for damages in small claims court, and what must the plaintiff prove about the breach of contract?",
        ),
    ];
    for (wanted, end) in ends {
        let text = format!("{} {end}", chatter());
        let answer = client.analyze(ask(&[&text, &chatter()], &[Task::Category])).await.unwrap().into_inner();
        assert!(answer.segments[1].tokens > 2000 && answer.segments[0].windows > 8);
        assert_eq!(labels(&answer), [wanted, "other"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_deadline_has_passed_is_not_computed() {
    let service = start(|_| {}).await;
    let mut client = service.client().await;
    let mut busy = service.client().await;
    let long = [chatter(), chatter(), chatter()].concat();
    let running = tokio::spawn(async move { busy.analyze(ask(&[&long], &[Task::Category])).await });
    loop {
        let (_, metrics) = service.get("/metrics").await;
        if !metrics.contains("classification_tokens_total 0\n") {
            break;
        }
    }
    let mut late = Request::new(ask(&["too late"], &[Task::Category]));
    late.set_timeout(Duration::from_millis(20));
    let status = client.analyze(late).await.unwrap_err();
    assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status}");
    running.await.unwrap().unwrap();
    client.analyze(ask(&["in time"], &[Task::Category])).await.unwrap();
    let (_, metrics) = service.get("/metrics").await;
    assert!(metrics.contains("semantic_router_classification_skipped_total 1\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn health_reflection_and_pages() {
    let service = start(|_| {}).await;
    let mut health = HealthClient::new(service.channel().await);
    for name in ["", wire::SERVICE] {
        let request = HealthCheckRequest { service: name.to_owned() };
        let status = health.check(request).await.unwrap().into_inner().status();
        assert_eq!(status, ServingStatus::Serving);
    }
    assert_eq!(service.get("/healthz").await, (200, "ok\n".to_owned()));
    let (_, metrics) = service.get("/metrics").await;
    for name in ["duration_seconds", "inference_duration_seconds", "batch_rows", "queue_depth", "windows"] {
        assert!(metrics.contains(&format!("# HELP semantic_router_classification_{name}")), "{name}");
    }

    let mut client = reflection::server_reflection_client::ServerReflectionClient::new(service.channel().await);
    let list = reflection::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(reflection::server_reflection_request::MessageRequest::ListServices(String::new())),
    };
    let mut answers = client.server_reflection_info(tokio_stream::once(list)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let reflection::server_reflection_response::MessageResponse::ListServicesResponse(list) = answer else {
        panic!("{answer:?}");
    };
    let names: Vec<&str> = list.service.iter().map(|s| s.name.as_str()).collect();
    assert!(names.contains(&wire::SERVICE) && names.contains(&"grpc.health.v1.Health"), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_answers_what_is_queued_tells_watchers_and_takes_nothing_new() {
    let service = start(|_| {}).await;
    let address = service.bound.grpc;
    let mut health = HealthClient::new(service.channel().await);
    let request = HealthCheckRequest { service: wire::SERVICE.to_owned() };
    let mut watch = health.watch(request).await.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut client = service.client().await;
    let long = [chatter(), chatter()].concat();
    let running = tokio::spawn(async move { client.analyze(ask(&[&long], &[Task::Category])).await });
    loop {
        let (_, metrics) = service.get("/metrics").await;
        if !metrics.contains("classification_tokens_total 0\n") {
            break;
        }
    }
    service.stop.send(()).unwrap();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    let answer = running.await.unwrap().unwrap().into_inner();
    assert_eq!(labels(&answer), ["other"]);
    service.done.await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_start_says_why() {
    let start = async |config: Config| {
        let served = serve(config, ServeOptions::default(), std::future::pending()).await;
        served.unwrap_err().to_string()
    };
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.listen = taken.local_addr().unwrap();
    let error = start(config.clone()).await;
    assert!(error.contains(&config.listen.to_string()), "{error}");

    config.listen = config.metrics_listen;
    config.encoder.path = Some("/nowhere".into());
    let error = start(config).await;
    assert!(error.contains("/nowhere/config.json") && error.contains("make setup"), "{error}");
}
