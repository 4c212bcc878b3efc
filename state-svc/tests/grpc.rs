//! What the filter sees, and who is let in.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(dead_code, reason = "the support module serves several tests")]

mod support;

use std::sync::Arc;

use fingerpost_proto::state as wire;
use fingerpost_state::config::Settings;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use support::{OWNER, Running, item, pems, response, response_id, settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic::{Code, Request, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use wire::{failure::Kind, load_conversation_request::From, state_client::StateClient};

fn save(node: u64, parent: Option<u64>) -> wire::SaveResponseRequest {
    wire::SaveResponseRequest {
        owner: OWNER.to_owned(),
        response_id: response_id(1, node),
        previous_response_id: parent.map(|node| response_id(1, node)).unwrap_or_default(),
        response: response(1, node).into_bytes(),
        input_items: vec![item(1, node, 0).into_bytes()],
        ..Default::default()
    }
}

fn load(from: Option<From>, items: &[&str]) -> wire::LoadConversationRequest {
    let item_ids = items.iter().map(|id| (*id).to_owned()).collect();
    wire::LoadConversationRequest { owner: OWNER.to_owned(), from, item_ids, ..Default::default() }
}

async fn connect(running: &Running) -> StateClient<Channel> {
    StateClient::connect(running.url("")).await.unwrap()
}

#[tokio::test]
async fn turns_are_saved_and_loaded() {
    let running = Running::start(settings()).await;
    let mut client = connect(&running).await;
    for (node, parent) in [(1, None), (2, Some(1))] {
        assert_eq!(client.save_response(save(node, parent)).await.unwrap().into_inner().failure, None);
    }
    let from = Some(From::PreviousResponseId(response_id(1, 2)));
    let wanted = format!("msg_{:016x}{:016x}8000", 1, 1);
    let loaded = client.load_conversation(load(from, &[&wanted])).await.unwrap().into_inner();
    let turns = [1, 2].map(|node| wire::Turn {
        response_id: response_id(1, node),
        input_items: vec![item(1, node, 0).into_bytes()],
        output_items: vec![item(1, node, 0x8000).into_bytes()],
        redactions: Vec::new(),
    });
    assert_eq!((loaded.turns.as_slice(), loaded.failure), (turns.as_slice(), None));
    assert_eq!(loaded.items, [item(1, 1, 0x8000).into_bytes()]);
    let nothing = client.load_conversation(load(None, &[])).await.unwrap().into_inner();
    assert_eq!(nothing, wire::LoadConversationResponse::default());
}

#[tokio::test]
async fn redactions_are_kept_and_an_older_owner_goes_on() {
    let running = Running::start(settings()).await;
    let mut client = connect(&running).await;
    let redaction = wire::Redaction { placeholder: "[EMAIL_ADDRESS_1]".to_owned(), digest: vec![7; 16] };
    let first = wire::SaveResponseRequest { redactions: vec![redaction.clone()], ..save(1, None) };
    assert_eq!(client.save_response(first).await.unwrap().into_inner().failure, None);
    let (owner, older_owners) = ("rotated".to_owned(), vec![OWNER.to_owned()]);
    let second =
        wire::SaveResponseRequest { owner: owner.clone(), older_owners: older_owners.clone(), ..save(2, Some(1)) };
    assert_eq!(client.save_response(second).await.unwrap().into_inner().failure, None);
    let request = load(Some(From::PreviousResponseId(response_id(1, 2))), &[]);
    let rotated = wire::LoadConversationRequest { owner: owner.clone(), older_owners, ..request.clone() };
    let loaded = client.load_conversation(rotated).await.unwrap().into_inner();
    let redactions: Vec<_> = loaded.turns.into_iter().map(|turn| turn.redactions).collect();
    assert_eq!((redactions, loaded.failure), (vec![vec![redaction], vec![]], None));
    let stranger = wire::LoadConversationRequest { owner, ..request };
    let failure = client.load_conversation(stranger).await.unwrap().into_inner().failure.unwrap();
    assert_eq!(failure.kind(), Kind::ResponseNotFound);
}

#[tokio::test]
async fn what_the_client_did_wrong_is_an_outcome() {
    let running = Running::start(settings()).await;
    let mut client = connect(&running).await;
    let conversation = format!("conv_{:016x}{:016x}", 7, 1);
    for (request, kind, id) in [
        (load(Some(From::PreviousResponseId(response_id(1, 9))), &[]), Kind::ResponseNotFound, response_id(1, 9)),
        (load(Some(From::ConversationId(conversation.clone())), &[]), Kind::ConversationNotFound, conversation.clone()),
        (load(None, &["msg_theirs"]), Kind::ItemNotFound, "msg_theirs".to_owned()),
    ] {
        let answer = client.load_conversation(request).await.unwrap().into_inner();
        let failure = answer.failure.unwrap();
        assert_eq!((failure.kind(), failure.id, answer.turns.len()), (kind, id, 0));
    }
    for node in 1..=3 {
        assert_eq!(client.save_response(save(node, None)).await.unwrap().into_inner().failure, None);
    }
    let failure = client.save_response(save(4, Some(3))).await.unwrap().into_inner().failure.unwrap();
    assert_eq!(failure.kind(), Kind::Limit);
    assert!(failure.message.contains("response_api.max_turns, which is 3"), "{}", failure.message);
    let failure = client.save_response(save(5, Some(8))).await.unwrap().into_inner().failure.unwrap();
    assert_eq!((failure.kind(), failure.id), (Kind::ResponseNotFound, response_id(1, 8)));
}

#[tokio::test]
async fn nonsense_is_a_status() {
    let running = Running::start(settings()).await;
    let mut client = connect(&running).await;
    let bad = [
        wire::LoadConversationRequest { owner: String::new(), ..load(None, &[]) },
        load(Some(From::PreviousResponseId("resp_1".to_owned())), &[]),
        load(Some(From::ConversationId("conv_1".to_owned())), &[]),
    ];
    for request in bad {
        assert_eq!(client.load_conversation(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    let bad = [
        wire::SaveResponseRequest { owner: String::new(), ..save(1, None) },
        wire::SaveResponseRequest { response_id: "resp_1".to_owned(), ..save(1, None) },
        wire::SaveResponseRequest { response: b"{}".to_vec(), ..save(1, None) },
        wire::SaveResponseRequest { redactions: vec![wire::Redaction::default()], ..save(1, None) },
        wire::SaveResponseRequest { older_owners: vec![String::new()], ..save(1, None) },
    ];
    for request in bad {
        assert_eq!(client.save_response(request).await.unwrap_err().code(), Code::InvalidArgument);
    }
    client.save_response(save(1, None)).await.unwrap();
    let other = wire::SaveResponseRequest { input_items: Vec::new(), ..save(1, None) };
    assert_eq!(client.save_response(other).await.unwrap_err().code(), Code::AlreadyExists);
}

#[tokio::test]
async fn the_token_is_asked_for_everywhere_but_at_health() {
    let running = Running::start(Settings { token: Some("s3cret".to_owned()), ..settings() }).await;
    let mut client = connect(&running).await;
    for (shown, code) in [
        (None, Some(Code::Unauthenticated)),
        (Some("Bearer s3cre"), Some(Code::Unauthenticated)),
        (Some("Bearer s3cret2"), Some(Code::Unauthenticated)),
        (Some("s3cret"), Some(Code::Unauthenticated)),
        (Some("Bearer s3cret"), None),
    ] {
        let mut request = Request::new(load(None, &[]));
        shown.map(|shown| request.metadata_mut().insert("authorization", shown.parse().unwrap()));
        assert_eq!(client.load_conversation(request).await.err().map(|status| status.code()), code, "{shown:?}");
    }
    let http = reqwest::Client::new();
    for (path, status) in [("/health", 200), ("/metrics", 401), ("/v1/conversations/conv_1", 401)] {
        assert_eq!(http.get(running.url(path)).send().await.unwrap().status(), status, "{path}");
    }
    let authorized = http.get(running.url("/metrics")).bearer_auth("s3cret").send().await.unwrap();
    assert_eq!(authorized.status(), 200);
    let channel = Channel::from_shared(running.url("")).unwrap().connect().await.unwrap();
    let request = HealthCheckRequest { service: wire::SERVICE.to_owned() };
    let status = HealthClient::new(channel).check(request).await.unwrap().into_inner().status();
    assert_eq!(status, tonic_health::pb::health_check_response::ServingStatus::Serving);
}

#[tokio::test]
async fn reflection_tells_the_services() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    };
    let running = Running::start(settings()).await;
    let channel = Channel::from_shared(running.url("")).unwrap().connect().await.unwrap();
    let mut client = ServerReflectionClient::new(channel);
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let mut answers = client.server_reflection_info(tokio_stream::once(request)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response.unwrap();
    let MessageResponse::ListServicesResponse(list) = answer else { panic!("{answer:?}") };
    assert!(list.service.iter().any(|service| service.name == wire::SERVICE), "{list:?}");
}

#[tokio::test]
async fn without_a_client_certificate_nobody_gets_in() {
    let pems = pems();
    let running = Running::start(Settings { tls: Some(pems.files.clone()), ..settings() }).await;
    let roots = || {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(pems.server.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
    };
    let stranger = roots().with_no_client_auth();
    let key = PrivateKeyDer::try_from(pems.client.1.serialize_der()).unwrap();
    let known = roots().with_client_auth_cert(vec![pems.client.0.der().clone()], key).unwrap();
    assert!(health(&running, stranger).await.is_err());
    let answer = health(&running, known).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

/// In TLS 1.3 a refused certificate shows when the answer is read.
async fn health(running: &Running, config: rustls::ClientConfig) -> std::io::Result<String> {
    let stream = tokio::net::TcpStream::connect(running.address).await?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
