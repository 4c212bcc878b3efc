#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::classifier::{AnalyzeResponse, CategoryVerdict, LabelScore, SegmentAnalysis};
use prost::Message as _;
use serde_json::{Value, json};

use super::*;
use crate::{body::Edit, classify::Fallback, config::Config};

fn plugin(change: impl FnOnce(&mut Value)) -> Plugin {
    let mut config = json!({
        "default_model": "general",
        "models": [
            {"name": "general", "upstream_name": "org/general", "endpoints": [{"name": "g", "address": "10.0.0.1:80"}]},
            {"name": "math", "auth": "passthrough", "endpoints": [{"name": "a", "address": "10.0.0.2:80"}, {"name": "b", "address": "10.0.0.3:80"}]},
            {"name": "named", "endpoints": [{"address": "one.test:80"}, {"address": "two.test:80"}]},
        ],
        "decisions": [
            {"name": "vision", "when": "attachments > 0", "model": "named"},
            {"name": "maths", "when": "category == 'math' && confidence > 0.6", "model": "math"},
        ],
        "passthrough": [{"path": "/v1/audio/", "model": "general"}],
        "affinity": {"session_header": "x-session"},
        "limits": {"max_body": "1KiB"},
    });
    change(&mut config);
    Plugin::new(Config::from_json(config.to_string().as_bytes()).unwrap(), &["0123456789abcdef"], 7).unwrap()
}

fn head(extra: &[(&str, &str)]) -> Headers {
    let base =
        [(":method", "POST"), (":path", "/v1/chat/completions"), ("content-type", "application/json; charset=utf-8")];
    let overridden = |name: &str| extra.iter().any(|(n, _)| *n == name);
    let all = base.iter().filter(|(name, _)| !overridden(name)).chain(extra);
    all.copied().collect()
}

#[derive(Debug)]
pub(super) struct Fixed;

impl Moment for Fixed {
    fn unix_seconds(&self) -> u64 {
        1_700_000_000
    }

    fn random(&self) -> Option<u64> {
        Some(0xabcd)
    }
}

pub(super) struct Run {
    pub plugin: Plugin,
    pub exchange: Exchange,
}

impl Run {
    pub(super) fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self { plugin: plugin(change), exchange: Exchange::default() }
    }

    pub(super) fn headers(&mut self, extra: &[(&str, &str)]) -> Effects {
        self.exchange.on(&self.plugin, Event::RequestHeaders { headers: head(extra), claim: None, end: false })
    }

    pub(super) fn body(&mut self, body: &str) -> Effects {
        self.exchange.on(&self.plugin, Event::RequestBody { body: body.as_bytes().to_vec(), moment: &Fixed })
    }

    fn verdict(&mut self, outcome: Result<&[u8], CalloutError>, after_ms: u64) -> Effects {
        self.exchange
            .on(&self.plugin, Event::CalloutResult { call: Call::Analyze, outcome, waited: Micros(after_ms * 1_000) })
    }

    fn chat(&mut self, extra: &[(&str, &str)], body: &str) -> Effects {
        let effects = self.headers(extra);
        assert_eq!((effects.flow, &effects.reply), (Flow::Pause, &None));
        self.body(body)
    }
}

const AUTO: &str = r#"{"model":"auto","messages":[{"role":"user","content":"2+2?"}],"n":1.0}"#;

fn math(confidence: f32) -> Vec<u8> {
    let scores = vec![LabelScore { label: "math".to_owned(), score: confidence }];
    let category = CategoryVerdict { label: "math".to_owned(), confidence, scores };
    let segment = SegmentAnalysis { category: Some(category), ..SegmentAnalysis::default() };
    AnalyzeResponse { segments: vec![segment], ..AnalyzeResponse::default() }.encode_to_vec()
}

pub(super) fn header<'a>(effects: &'a Effects, name: &str) -> Option<&'a str> {
    let (_, value) = effects.headers.iter().find(|(n, _)| *n == name)?;
    value.as_deref().map(|value| std::str::from_utf8(value).unwrap())
}

/// What becomes of a body.
fn edited(effects: &Effects, body: &str) -> String {
    let Edit { replaced, bytes } = effects.body.as_ref().expect("an edit");
    String::from_utf8([bytes.as_slice(), &body.as_bytes()[*replaced..]].concat()).unwrap()
}

pub(super) fn error(effects: &Effects) -> (u16, String) {
    let reply = effects.reply.as_ref().expect("a reply");
    let body: Value = serde_json::from_slice(&reply.body).unwrap();
    let keys: Vec<_> = body["error"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(keys, ["code", "message", "param", "type"]);
    (reply.status, body["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[derive(Debug)]
pub(super) struct Backend(pub Vec<(&'static str, &'static str)>);

impl ResponseView for Backend {
    fn headers(&self) -> Headers {
        self.0.iter().copied().collect()
    }
}

#[test]
fn a_named_model_goes_on_at_once_with_its_upstream_name() {
    let mut run = Run::new(|_| {});
    let body = r#"{"n":1e400,"model":"general","messages":[{}]}"#;
    let effects = run.chat(&[("content-length", "50"), ("authorization", "Bearer x")], body);
    assert_eq!(effects.flow, Flow::Continue);
    assert_eq!(edited(&effects, body), r#"{"n":1e400,"model":"org/general","messages":[{}]}"#);
    assert_eq!(header(&effects, "content-length"), Some("49"));
    assert_eq!(header(&effects, "x-selected-model"), Some("general"));
    assert!(effects.headers.contains(&("authorization", None)));
    assert_eq!(header(&effects, "x-gateway-destination-endpoint"), None);
}

#[test]
fn a_body_that_needs_no_change_is_not_written_back() {
    let mut run = Run::new(|_| {});
    let effects = run.chat(&[("authorization", "Bearer x")], r#"{"model":"math","messages":[{}]}"#);
    assert_eq!(effects.body, None);
    assert!(!effects.headers.iter().any(|(name, _)| *name == "authorization"), "auth: passthrough");
    let order = header(&effects, "x-gateway-destination-endpoint").unwrap();
    assert!(["10.0.0.2:80,10.0.0.3:80", "10.0.0.3:80,10.0.0.2:80"].contains(&order), "{order}");
}

#[test]
fn host_names_are_left_to_maglev() {
    let mut run = Run::new(|_| {});
    let effects = run.chat(&[], r#"{"model":"named","messages":[{}]}"#);
    assert_eq!(header(&effects, "x-fingerpost-affinity").unwrap().len(), 16);
    assert_eq!(header(&effects, "x-gateway-destination-endpoint"), None);
}

#[test]
fn auto_waits_for_the_verdict_and_follows_the_rules() {
    let mut run = Run::new(|_| {});
    let effects = run.chat(&[("traceparent", "00-a-b-01")], AUTO);
    assert_eq!(effects.flow, Flow::Pause);
    let [callout] = effects.callouts.as_slice() else { panic!("one call") };
    assert_eq!(callout.metadata, [("traceparent", b"00-a-b-01".to_vec())]);
    let request = fingerpost_proto::classifier::AnalyzeRequest::decode(callout.message.as_slice()).unwrap();
    assert_eq!(request.segments[0].text, "2+2?");
    let effects = run.verdict(Ok(&math(0.9)), 12);
    assert_eq!(effects.flow, Flow::Resume);
    assert_eq!(edited(&effects, AUTO), AUTO.replace("auto", "math"));
    assert_eq!(header(&effects, "x-routing-confidence"), Some("0.900"));

    let backend = Backend(vec![
        (":status", "200"),
        ("content-type", "application/json"),
        ("x-semantic-destination-endpoint", "b"),
    ]);
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    assert_eq!(header(&effects, "x-processing-time"), Some("12"));
    assert_eq!(header(&effects, "x-classification-time"), Some("12"));
    assert_eq!(run.exchange.wanted(), Wanted::Start(64));
    let chunk = "{\"id\":1}";
    let effects = run
        .exchange
        .on(&run.plugin, Event::ResponseBody { chunk: chunk.as_bytes(), cut: false, end: true, moment: &Fixed });
    let body: Value = serde_json::from_str(&edited(&effects, chunk)).unwrap();
    assert_eq!(run.exchange.wanted(), Wanted::Nothing, "nothing more is looked at");
    assert_eq!(body["routing_metadata"]["decision"], "maths");
    assert_eq!(body["routing_metadata"]["confidence"], 0.9);
    assert_eq!(body["routing_metadata"]["endpoint"], "b", "who served, whoever was chosen");
}

#[test]
fn the_default_model_serves_where_no_rule_matches() {
    let mut run = Run::new(|_| {});
    run.chat(&[], AUTO);
    let effects = run.verdict(Ok(&math(0.5)), 1);
    assert_eq!(header(&effects, "x-selected-model"), Some("general"));
    assert!(effects.count.is_empty());
}

#[test]
fn every_failure_of_the_classifier_has_its_reason() {
    let garbage: &[u8] = b"\xff\xff";
    for (outcome, after, reason) in [
        (Err(CalloutError::Dispatch), 0, Fallback::Unavailable),
        (Err(CalloutError::Status(14)), 1, Fallback::Unavailable),
        (Err(CalloutError::Status(14)), 995, Fallback::Timeout),
        (Err(CalloutError::Status(4)), 1, Fallback::Timeout),
        (Err(CalloutError::Status(8)), 1, Fallback::Overloaded),
        (Err(CalloutError::Status(13)), 1, Fallback::Error),
        (Ok(garbage), 1, Fallback::BadReply),
        (Ok(b""), 1, Fallback::BadReply),
        (Ok(&math(f32::NAN)[..]), 1, Fallback::BadReply),
    ] {
        let mut run = Run::new(|_| {});
        run.chat(&[], AUTO);
        let effects = run.verdict(outcome, after);
        assert_eq!(effects.flow, Flow::Resume);
        assert_eq!(header(&effects, "x-selected-model"), Some("general"));
        assert_eq!(effects.count, [Counter::Fallback(reason)]);
        let backend = Backend(vec![(":status", "200")]);
        let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: true });
        assert_eq!(header(&effects, "x-routing-fallback"), Some(reason.name()));

        let mut closed = Run::new(|c| c["callouts"] = json!({"classifier": {"on_failure": "closed"}}));
        closed.chat(&[], AUTO);
        let effects = closed.verdict(outcome, after);
        assert_eq!(error(&effects), (503, "classifier_unavailable".to_owned()));
        assert_eq!(effects.count, [Counter::Fallback(reason)]);
    }
}

#[test]
fn without_text_only_rules_that_need_no_verdict_count() {
    let image = r#"{"model":"auto","messages":[{"role":"user","content":[{"type":"image_url","image_url":{}}]}]}"#;
    let effects = Run::new(|_| {}).chat(&[], image);
    assert_eq!((header(&effects, "x-selected-model"), effects.count.len()), (Some("named"), 0));
    let effects = Run::new(|_| {}).chat(&[], r#"{"model":"auto","messages":[{"role":"system","content":"x"}]}"#);
    assert_eq!(header(&effects, "x-selected-model"), Some("general"));
    assert_eq!(effects.count, [Counter::Fallback(Fallback::NoText)]);
}

#[test]
fn nobody_is_asked_where_no_rule_listens() {
    let effects = Run::new(|c| c["decisions"] = json!([])).chat(&[], AUTO);
    assert_eq!((effects.callouts, effects.flow), (vec![], Flow::Continue));
}

#[test]
fn turns_of_a_conversation_share_their_key() {
    let place = |extra: &[(&str, &str)], body: &str| {
        let effects = Run::new(|_| {}).chat(extra, body);
        header(&effects, "x-fingerpost-affinity").unwrap().to_owned()
    };
    let turn = |first: &str, more: &str| {
        format!(
            r#"{{"model":"named","messages":[{{"role":"system","content":"s"}},{{"role":"user","content":"{first}"}}{more}]}}"#
        )
    };
    let more = r#",{"role":"assistant","content":"x"},{"role":"user","content":"y"}"#;
    assert_eq!(place(&[], &turn("a", "")), place(&[], &turn("a", more)));
    assert_ne!(place(&[], &turn("a", "")), place(&[], &turn("b", "")));
    assert_eq!(place(&[("x-session", "7")], &turn("a", "")), place(&[("x-session", "7")], &turn("b", "")));
    let keyed = |first: &str| turn(first, "").replace("\"model\"", r#""prompt_cache_key":"k","model""#);
    assert_eq!(place(&[("x-session", "7")], &keyed("a")), place(&[], &keyed("b")));
}

#[test]
fn bad_requests_get_their_error() {
    for (extra, status, code) in [
        (&[("content-type", "text/plain")], 415, "unsupported_media_type"),
        (&[("content-encoding", "gzip")], 415, "unsupported_content_encoding"),
        (&[("content-length", "1025")], 413, "request_too_large"),
        (&[(":path", "/v1/x")], 404, "not_found"),
        (&[(":method", "GET")], 405, "method_not_allowed"),
    ] {
        assert_eq!(error(&Run::new(|_| {}).headers(extra)), (status, code.to_owned()));
    }
    for (body, status, code) in [
        ("", 400, "missing_body"),
        ("{", 400, "invalid_json"),
        (r#"{"model":"nope","messages":[{}]}"#, 404, "model_not_found"),
        (r#"{"model":"auto","messages":[{"role":"user","content":5}]}"#, 400, "invalid_content"),
    ] {
        assert_eq!(error(&Run::new(|_| {}).chat(&[], body)), (status, code.to_owned()), "{body}");
    }
    let mut run = Run::new(|_| {});
    run.headers(&[]);
    let effects = run.exchange.on(&run.plugin, Event::RequestBodyPart { size: 1_025 });
    assert_eq!(error(&effects), (413, "request_too_large".to_owned()));
    let mut run = Run::new(|_| {});
    run.headers(&[]);
    assert_eq!(error(&run.exchange.on(&run.plugin, Event::RequestTrailers)), (400, "unsupported_trailers".to_owned()));
    let mut run = Run::new(|_| {});
    let effects = run.exchange.on(&run.plugin, Event::RequestHeaders { headers: head(&[]), claim: None, end: true });
    assert_eq!(error(&effects), (400, "missing_body".to_owned()));
    let mut run = Run::new(|_| {});
    run.headers(&[(":path", "/v1/embeddings")]);
    assert_eq!(error(&run.body(r#"{"model":"auto","input":"x"}"#)), (400, "auto_not_supported".to_owned()));
}

#[test]
fn a_local_reply_is_not_touched_on_its_way_out() {
    let mut run = Run::new(|_| {});
    run.headers(&[(":path", "/v1/x")]);
    let backend = Backend(vec![(":status", "404"), ("content-type", "application/json")]);
    let effects = run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &backend, end: false });
    assert_eq!(effects, Effects::default());
    assert_eq!(run.exchange.wanted(), Wanted::Nothing);
}

#[test]
fn clients_cannot_speak_in_fingerposts_name() {
    let sent = [
        ("x-selected-model", "m"),
        ("x-semantic-anything", "1"),
        ("x-gateway-destination-endpoint", "1.2.3.4:5"),
        ("x-other", "stays"),
    ];
    let effects = Run::new(|_| {}).headers(&sent);
    assert_eq!(effects.remove, ["x-selected-model", "x-semantic-anything", "x-gateway-destination-endpoint"]);
    let mut open = sent.to_vec();
    open.push((":path", "/v1/audio/speech"));
    let effects = Run::new(|_| {}).headers(&open);
    assert_eq!(
        (effects.flow, effects.remove.len(), header(&effects, "x-selected-model")),
        (Flow::Continue, 3, Some("general"))
    );
}

#[test]
fn errors_streams_and_other_media_get_no_metadata() {
    for response in [
        vec![(":status", "429"), ("content-type", "application/json")],
        vec![(":status", "200"), ("content-type", "text/event-stream")],
        vec![(":status", "200"), ("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let mut run = Run::new(|_| {});
        run.chat(&[], r#"{"model":"math","messages":[{}]}"#);
        run.exchange.on(&run.plugin, Event::ResponseHeaders { response: &Backend(response), end: false });
        assert_eq!(run.exchange.wanted(), Wanted::Nothing);
    }
}

#[test]
fn lists_its_models() {
    let get = |path: &str| {
        let effects = Run::new(|_| {}).headers(&[(":method", "GET"), (":path", path)]);
        let reply = effects.reply.unwrap();
        (reply.status, serde_json::from_slice::<Value>(&reply.body).unwrap())
    };
    let (_, list) = get("/v1/models");
    let ids: Vec<_> = list["data"].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["auto", "general", "math", "named"]);
    assert_eq!(
        get("/v1/models/math"),
        (200, json!({"id": "math", "object": "model", "created": 7, "owned_by": "fingerpost"}))
    );
    assert_eq!(get("/v1/models/x").0, 404);
    assert_eq!(get("/health"), (200, json!({"status": "healthy"})));
}
