#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use fingerpost_proto::classifier::{CategoryVerdict, JailbreakVerdict, PiiEntity};
use serde_json::json;

use super::*;
use crate::{config::GuardScope, guard::segments::Segments, route::Create};

fn segments() -> Segments {
    let message = |role: &str, content: &str| json!({"role": role, "content": content});
    let messages =
        [message("system", "é same"), message("user", "first"), message("tool", "é same"), message("user", "last")];
    Segments::of_body(&json!({"model": "m", "messages": messages}).to_string(), Create::ChatCompletion).unwrap()
}

const BOTH: Scopes = Scopes { pii: Some(GuardScope::AllInput), jailbreak: Some(GuardScope::LastUserMessage) };

fn ask(category: Option<&str>) -> (Segments, Question, AnalyzeRequest) {
    let mut found = segments();
    let (question, message) = Question::new(&mut found.segments, BOTH, category.map(ToOwned::to_owned)).unwrap();
    (found, question, AnalyzeRequest::decode(message.as_slice()).unwrap())
}

fn asked(request: &AnalyzeRequest) -> Vec<(&str, Vec<Task>)> {
    request.segments.iter().map(|segment| (segment.text.as_str(), segment.tasks().collect())).collect()
}

#[test]
fn every_text_is_asked_about_once_with_its_own_tasks() {
    let (found, _, request) = ask(Some("last"));
    assert_eq!(found, segments(), "the texts are lent");
    let expected = [
        ("é same", vec![Task::Pii]),
        ("first", vec![Task::Pii]),
        ("last", vec![Task::Category, Task::Jailbreak, Task::Pii]),
    ];
    assert_eq!(asked(&request), expected);
    let (_, _, request) = ask(Some("another"));
    assert_eq!(asked(&request).last().unwrap(), &("another", vec![Task::Category]));
    let mut none = Segments::default();
    assert!(Question::new(&mut none.segments, BOTH, None).is_none());
}

fn reply(change: impl FnOnce(&mut AnalyzeResponse)) -> (Analysis, Result<Verdict, Fallback>) {
    let (found, question, _) = ask(Some("last"));
    let entity = |start, end| PiiEntity { r#type: "PERSON".to_owned(), start, end, score: 0.9 };
    let said = |entities| SegmentAnalysis { pii: Some(PiiVerdict { entities }), ..SegmentAnalysis::default() };
    let mut last = said(vec![]);
    last.jailbreak = Some(JailbreakVerdict { score: 0.25, ..JailbreakVerdict::default() });
    last.category = Some(CategoryVerdict { label: "law".to_owned(), confidence: 0.5, scores: vec![] });
    let mut reply =
        AnalyzeResponse { segments: vec![said(vec![entity(0, 2)]), said(vec![]), last], ..AnalyzeResponse::default() };
    change(&mut reply);
    question.read(&found.segments, &reply.encode_to_vec())
}

#[test]
fn what_is_said_of_a_text_holds_for_every_segment_that_has_it() {
    let (analysis, category) = reply(|_| ());
    let pii: Vec<usize> = analysis.pii.unwrap().iter().map(Vec::len).collect();
    assert_eq!((pii, analysis.jailbreak.unwrap()), (vec![1, 0, 1, 0], vec![None, None, None, Some(0.25)]));
    assert_eq!(category.unwrap().category, "law");
}

#[test]
fn a_reply_that_makes_no_sense_fails_whoever_asked_for_it() {
    let entity = |change: fn(&mut PiiEntity)| {
        move |reply: &mut AnalyzeResponse| change(&mut reply.segments[0].pii.as_mut().unwrap().entities[0])
    };
    let bad = GuardFailure::Classifier(Fallback::BadReply);
    let pii_fails = |change: &dyn Fn(&mut AnalyzeResponse)| {
        let (analysis, category) = reply(change);
        assert_eq!(analysis.pii.unwrap_err(), bad);
        assert!(analysis.jailbreak.is_ok() && category.is_ok());
    };
    pii_fails(&entity(|entity| entity.end = 1));
    pii_fails(&entity(|entity| entity.end = 99));
    pii_fails(&entity(|entity| entity.start = 2));
    pii_fails(&entity(|entity| entity.score = f32::NAN));
    pii_fails(&entity(|entity| entity.score = 1.5));
    pii_fails(&entity(|entity| entity.r#type = "a]\"".to_owned()));
    pii_fails(&|reply| reply.segments[1].pii = None);

    let (analysis, category) = reply(|reply| reply.segments[2].jailbreak = None);
    assert!(analysis.pii.is_ok() && analysis.jailbreak.unwrap_err() == bad && category.is_ok());
    let (analysis, category) = reply(|reply| reply.segments[2].category = None);
    assert!(analysis.pii.is_ok() && analysis.jailbreak.is_ok() && category == Err(Fallback::BadReply));
    let (analysis, category) = reply(|reply| reply.segments.truncate(2));
    assert!(analysis.pii.is_err() && analysis.jailbreak.is_err() && category.is_err());
}
