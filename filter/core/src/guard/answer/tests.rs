#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic,
    clippy::cast_possible_truncation,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::classifier::{PiiEntity, PiiVerdict, SegmentAnalysis};
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::Value;

use super::*;

const LIMIT: usize = 1 << 20;

fn policy(action: ResponseAction, on_error: FailurePolicy) -> ResponsePiiGuard {
    ResponsePiiGuard { action, on_error, ..ResponsePiiGuard::default() }
}

fn guard(kind: Kind, action: ResponseAction) -> AnswerGuard {
    AnswerGuard::new(&policy(action, FailurePolicy::Closed), kind, Placeholders::default(), LIMIT)
}

fn is_ssn(word: &str) -> bool {
    word.len() == 11 && word.char_indices().all(|(i, c)| if i == 3 || i == 6 { c == '-' } else { c.is_ascii_digit() })
}

/// Every word with an `@`, and every social security number.
pub(crate) fn find(text: &str) -> Vec<PiiEntity> {
    let words = text.split_inclusive([' ', '\n']).scan(0, |at, word| {
        let start = *at;
        *at += word.len();
        Some((start, word.trim_end_matches([' ', '\n'])))
    });
    let kinds = words.filter_map(|(start, word)| {
        let kind = if word.contains('@') { Some("EMAIL_ADDRESS") } else { is_ssn(word).then_some("US_SSN") };
        Some((start, start + word.len(), kind?))
    });
    let entity = |(start, end, kind): (usize, usize, &str)| PiiEntity {
        r#type: kind.to_owned(),
        start: start as u32,
        end: end as u32,
        score: 1.0,
    };
    kinds.map(entity).collect()
}

/// What the classifier answers.
pub(crate) fn classify(message: &[u8]) -> Vec<u8> {
    let request = AnalyzeRequest::decode(message).unwrap();
    let analysis = |segment: &Segment| SegmentAnalysis {
        pii: Some(PiiVerdict { entities: find(&segment.text) }),
        ..SegmentAnalysis::default()
    };
    let segments = request.segments.iter().map(analysis).collect();
    AnalyzeResponse { segments, ..AnalyzeResponse::default() }.encode_to_vec()
}

/// The stream's bytes through the guard, chunk by chunk; and how often the classifier was asked. Where `busy`, the next chunk comes
/// before the classifier has answered.
fn run(mut guard: AnswerGuard, stream: &str, at: &[usize], busy: bool) -> (String, usize) {
    let mut at: Vec<usize> = at.iter().copied().chain([0, stream.len()]).collect();
    at.sort_unstable();
    let (mut out, mut asked, mut question) = (Vec::new(), 0, None);
    let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream.as_bytes()[pair[0]..pair[1]]).collect();
    for (i, chunk) in chunks.iter().enumerate() {
        let last = i + 1 == chunks.len();
        let mut step = guard.push(chunk, last);
        loop {
            match step {
                Step::Pass { bytes, .. } => {
                    out.extend_from_slice(&bytes);
                    break;
                }
                Step::Ask(message) => {
                    asked += 1;
                    question = Some(message);
                }
                Step::Wait => {}
                Step::Refuse(error, _) => panic!("{error}"),
            }
            if busy && !last && asked % 2 == 1 && question.is_some() && i % 3 != 0 {
                break;
            }
            step = guard.result(Ok(&classify(&question.take().unwrap())));
        }
    }
    (String::from_utf8(out).unwrap(), asked)
}

fn delta(text: &str) -> String {
    format!("data: {}\n\n", json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]}))
}

const STOP: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

fn said(stream: &str) -> String {
    let events = stream.lines().filter_map(|line| line.strip_prefix("data: {"));
    let events = events.map(|data| serde_json::from_str::<Value>(&format!("{{{data}")).unwrap());
    events.filter_map(|event| Some(event["choices"][0]["delta"]["content"].as_str()?.to_owned())).collect()
}

/// What the text becomes when all of it is seen at once.
fn expected(text: &str) -> String {
    let (mut placeholders, mut out, mut at) = (Placeholders::default(), String::new(), 0);
    for PiiEntity { r#type, start, end, .. } in find(text) {
        out.push_str(&text[at..start as usize]);
        out.push_str(&placeholders.assign(&r#type, &text[start as usize..end as usize], [0; 16]));
        at = end as usize;
    }
    out + &text[at..]
}

fn pieces<'a>(text: &'a str, cuts: &[Index]) -> Vec<&'a str> {
    let borders: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let mut at: Vec<usize> = cuts.iter().map(|cut| *cut.get(&borders)).chain([0, text.len()]).collect();
    at.sort_unstable();
    at.windows(2).map(|pair| &text[pair[0]..pair[1]]).collect()
}

#[test]
fn a_whole_answer_is_redacted_and_nothing_else_changes() {
    let body = r#"{"id":"a@b","choices":[{"index":0,"message":{"role":"assistant","content":"Caf\u00e9: a@b.c or 123-45-6789, not b@c.d ","reasoning_content":"a@b.c","tool_calls":[{"id":"call_1","type":"function","function":{"name":"mail","arguments":"{\"to\": \"x a@b.c \"}"}}]},"logprobs":{"content":[{"token":"a@b"}]},"finish_reason":"stop"}],"usage":{"n":1.0}}"#;
    let mut guard = guard(Kind::Whole, ResponseAction::Redact);
    let Step::Ask(message) = guard.push(body.as_bytes(), true) else { panic!() };
    let request = AnalyzeRequest::decode(message.as_slice()).unwrap();
    assert_eq!((request.segments.len(), request.tasks.as_slice()), (3, [Task::Pii.into()].as_slice()));
    let Step::Pass { bytes, end: true, said: Some(Said::Found) } = guard.result(Ok(&classify(&message))) else {
        panic!()
    };
    let expected = body
        .replace("a@b.c", "[EMAIL_ADDRESS_1]")
        .replace("b@c.d", "[EMAIL_ADDRESS_2]")
        .replace(r#"{"content":[{"token":"a@b"}]}"#, "null");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected, "123-45-6789, with its comma is none to this classifier");
}

#[test]
fn a_whole_answer_is_blocked_by_its_types() {
    let body =
        br#"{"output":[{"type":"message","content":[{"type":"output_text","text":"b@c.d 123-45-6789 a@b.c"}]}]}"#;
    let mut guard = guard(Kind::Whole, ResponseAction::Block);
    let Step::Ask(message) = guard.push(body, true) else { panic!() };
    let Step::Refuse(error, Some(Said::Found)) = guard.result(Ok(&classify(&message))) else { panic!() };
    let error: Value = serde_json::from_slice(&error.body()).unwrap();
    let details = json!({"entities_found": ["EMAIL_ADDRESS", "US_SSN"], "action_taken": "block"});
    assert_eq!((&error["error"]["code"], &error["error"]["details"]), (&json!("pii_detected"), &details));
}

#[test]
fn what_says_nothing_is_not_asked_about() {
    for body in
        [r#"{"choices":[]}"#, r#"{"choices":[{"message":{"role":"assistant","content":""}}]}"#, r#"{"data":["a@b.c"]}"#]
    {
        let step = guard(Kind::Whole, ResponseAction::Block).push(body.as_bytes(), true);
        assert_eq!(step, Step::Pass { bytes: body.as_bytes().to_vec(), end: true, said: None });
    }
}

#[test]
fn without_a_verdict_the_policy_speaks() {
    let failures: [Result<&[u8], GuardFailure>; 3] = [Err(GuardFailure::Limit), Ok(b"\xff"), Ok(b"")];
    for failure in failures {
        for on_error in [FailurePolicy::Closed, FailurePolicy::Open] {
            let policy = policy(ResponseAction::Redact, on_error);
            let new = |kind| AnswerGuard::new(&policy, kind, Placeholders::default(), LIMIT);
            let (body, stream) = (br#"{"choices":[{"message":{"content":"a@b.c"}}]}"#, delta("a@b.c") + STOP);
            let (mut whole, mut chat) = (new(Kind::Whole), new(Kind::Chat));
            assert!(matches!(whole.push(body, true), Step::Ask(_)));
            assert!(matches!(chat.push(stream.as_bytes(), true), Step::Ask(_)));
            match (on_error, whole.result(failure), chat.result(failure)) {
                (
                    FailurePolicy::Closed,
                    Step::Refuse(error, Some(Said::Failed(_))),
                    Step::Pass { bytes, end: true, .. },
                ) => {
                    assert_eq!((error.status, error.code), (503, Some("guard_unavailable")));
                    let stream = String::from_utf8(bytes).unwrap();
                    assert!(
                        stream.contains("guard_unavailable")
                            && stream.ends_with("data: [DONE]\n\n")
                            && !stream.contains('@')
                    );
                }
                (
                    FailurePolicy::Open,
                    Step::Pass { bytes: whole, .. },
                    Step::Pass { bytes, said: Some(Said::Failed(_)), .. },
                ) => {
                    assert_eq!((whole.as_slice(), bytes.as_slice()), (body.as_slice(), stream.as_bytes()));
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[test]
fn a_stream_is_blocked_before_the_first_byte_of_it_leaves() {
    let words = "word ".repeat(200);
    let text = format!("{words}123-45-6789 {words}");
    let stream: String = text.as_bytes().chunks(7).map(|piece| delta(std::str::from_utf8(piece).unwrap())).collect();
    let mut guard = guard(Kind::Chat, ResponseAction::Block);
    let mut out = Vec::new();
    for chunk in stream.as_bytes().chunks(50) {
        let mut step = guard.push(chunk, false);
        if let Step::Ask(message) = &step {
            step = guard.result(Ok(&classify(message)));
        }
        let Step::Pass { bytes, .. } = step else { panic!() };
        out.extend_from_slice(&bytes);
    }
    let out = String::from_utf8(out).unwrap();
    let (said_before, error) = (said(&out), out.rsplit("data: ").nth(1).unwrap());
    assert!(said_before.len() > 500 && !said_before.contains("123"), "{said_before}");
    assert!(error.contains("\"pii_detected\"") && error.contains("US_SSN") && out.ends_with("data: [DONE]\n\n"));
    assert_eq!(guard.push(b"data: {}\n\n", true), Step::Pass { bytes: Vec::new(), end: true, said: None });
}

#[test]
fn a_response_stream_says_everything_the_same() {
    let event = |kind: &str, n: u64, more: Value| {
        let mut event =
            json!({"type": kind, "sequence_number": n, "item_id": "m", "output_index": 0, "content_index": 0});
        event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        format!("event: {kind}\ndata: {event}\n\n")
    };
    let text = format!("{}write to a@b.c today {}", "word ".repeat(80), "word ".repeat(80));
    let item = json!({"type": "message", "id": "m", "role": "assistant", "content": [{"type": "output_text", "text": text, "logprobs": [1]}]});
    let mut stream = event(
        "response.created",
        0,
        json!({"response": {"id": "r", "status": "in_progress", "instructions": "to q@r.s", "output": []}}),
    );
    for (i, piece) in text.as_bytes().chunks(9).enumerate() {
        let piece = std::str::from_utf8(piece).unwrap();
        stream += &event("response.output_text.delta", i as u64 + 1, json!({"delta": piece, "logprobs": [1]}));
    }
    let done = stream.clone()
        + &event("response.output_text.done", 500, json!({"text": text}))
        + &event("response.output_item.done", 501, json!({"item": item}))
        + &event(
            "response.completed",
            502,
            json!({"response": {"id": "r", "instructions": "to q@r.s", "output": [item]}}),
        );
    let (out, asked) = run(guard(Kind::Responses, ResponseAction::Redact), &done, &[100, 2_000, 9_000], false);
    let hidden = text.replace("a@b.c", "[EMAIL_ADDRESS_1]");
    let events: Vec<Value> =
        out.lines().filter_map(|l| l.strip_prefix("data: ")).map(|d| serde_json::from_str(d).unwrap()).collect();
    let deltas: String = events.iter().filter_map(|e| e["delta"].as_str()).collect();
    assert_eq!(deltas, hidden);
    let last = &events[events.len() - 1]["response"];
    assert_eq!(
        (&events[events.len() - 3]["text"], &last["output"][0]["content"][0]["text"]),
        (&json!(hidden), &json!(hidden))
    );
    assert_eq!((&last["output"][0]["content"][0]["logprobs"], &last["instructions"]), (&json!([]), &json!("to q@r.s")));
    assert!(asked <= 5, "what is known already is not asked again: {asked}");

    let mut guard = guard(Kind::Responses, ResponseAction::Block);
    let Step::Ask(message) = guard.push(stream.as_bytes(), false) else { panic!() };
    let Step::Pass { bytes, end: false, said: Some(Said::Found) } = guard.result(Ok(&classify(&message))) else {
        panic!()
    };
    let out = String::from_utf8(bytes).unwrap();
    let events: Vec<Value> =
        out.lines().filter_map(|l| l.strip_prefix("data: ")).map(|d| serde_json::from_str(d).unwrap()).collect();
    let [created, error, failed] = events.as_slice() else { panic!("{out}") };
    assert_eq!(
        (&created["type"], &error["code"], &error["sequence_number"]),
        (&json!("response.created"), &json!("pii_detected"), &json!(1))
    );
    assert_eq!(
        (&failed["type"], &failed["response"]["status"], &failed["response"]["id"]),
        (&json!("response.failed"), &json!("failed"), &json!("r"))
    );
    assert_eq!((&failed["response"]["error"]["code"], &failed["sequence_number"]), (&json!("pii_detected"), &json!(2)));
}

#[test]
fn placeholders_of_the_request_are_no_personal_data() {
    let mut placeholders = Placeholders::default();
    placeholders.assign("EMAIL_ADDRESS", "me@x.y", [0; 16]);
    let policy = policy(ResponseAction::Redact, FailurePolicy::Closed);
    let mut guard = AnswerGuard::new(&policy, Kind::Whole, placeholders, LIMIT);
    let body = r#"{"choices":[{"message":{"content":"[EMAIL_ADDRESS_1] and a@b.c and me@x.y"}}]}"#;
    let Step::Ask(_) = guard.push(body.as_bytes(), true) else { panic!() };
    let entity = |kind: &str, start, end| PiiEntity { r#type: kind.to_owned(), start, end, score: 1.0 };
    let entities = vec![entity("PERSON", 1, 14), entity("EMAIL_ADDRESS", 22, 27), entity("EMAIL_ADDRESS", 32, 38)];
    let segment = SegmentAnalysis { pii: Some(PiiVerdict { entities }), ..SegmentAnalysis::default() };
    let reply = AnalyzeResponse { segments: vec![segment], ..AnalyzeResponse::default() };
    let Step::Pass { bytes, .. } = guard.result(Ok(&reply.encode_to_vec())) else { panic!() };
    let expected = body.replace("a@b.c", "[EMAIL_ADDRESS_2]").replace("me@x.y", "[EMAIL_ADDRESS_1]");
    assert_eq!(String::from_utf8(bytes).unwrap(), expected);
}

#[test]
fn what_is_held_is_bounded() {
    let policy = policy(ResponseAction::Redact, FailurePolicy::Open);
    let mut guard = AnswerGuard::new(&policy, Kind::Chat, Placeholders::default(), 4_096);
    let mut step = guard.push(delta(&"x ".repeat(200)).as_bytes(), false);
    assert!(matches!(step, Step::Ask(_)));
    while matches!(step, Step::Ask(_) | Step::Wait) {
        step = guard.push(delta(&"x ".repeat(200)).as_bytes(), false);
    }
    let Step::Pass { bytes, .. } = step else { panic!() };
    assert!(String::from_utf8(bytes).unwrap().contains("upstream_bad_answer"));
}

fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "[a-z]{1,12} ",
        1 => "[a-z]{1,10}@[a-z]{1,20}\\.com ",
        1 => "[0-9]{3}-[0-9]{2}-[0-9]{4}\n",
        1 => "é😀\"\\\\ ",
        1 => Just("a@b.c ".to_owned()),
        1 => Just("[US_SSN_1] ".to_owned()),
    ];
    vec(word, 0..200).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_cut_lets_an_entity_through(text in words(), deltas in vec(any::<Index>(), 0..60), cuts in vec(any::<Index>(), 0..40), busy: bool) {
        let stream = pieces(&text, &deltas).into_iter().map(delta).collect::<String>() + STOP;
        let at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        let (out, _) = run(guard(Kind::Chat, ResponseAction::Redact), &stream, &at, busy);
        let out = said(&out);
        prop_assert_eq!(find(&out), vec![]);
        if !text.contains("[US_SSN") {
            prop_assert_eq!(out, expected(&text));
        }
    }
}
