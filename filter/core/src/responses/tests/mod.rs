//! Tests of both translations: by example, as golden files, and by property.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod chat_request;
mod fuzz;
mod input;
mod replay;
mod request;
mod response;
mod sse;
mod stream;

use serde_json::Value;

use super::{CreateRequest, Minted, Turn, sse::Reader};

fn minted() -> Minted {
    Minted {
        response_id: "resp_00000000000000aa00000000000000bb00000000000000cc".to_owned(),
        conversation_hex: "00000000000000bb".to_owned(),
        node_hex: "00000000000000cc".to_owned(),
    }
}

fn turn() -> Turn {
    Turn { minted: minted(), model: "qwen3-8b".to_owned(), created_at: 1_700_000_000 }
}

fn parse(body: &str) -> CreateRequest {
    CreateRequest::parse(body.as_bytes()).unwrap()
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// The events of frames, `[DONE]` left out; every frame must be whole and named as its type.
fn events(frames: &[u8]) -> Vec<Value> {
    let (mut reader, mut events) = (Reader::default(), Vec::new());
    reader.push(frames, &mut events).unwrap();
    assert_eq!(reader.finish().unwrap(), None, "the last frame is whole");
    let of = |event: super::sse::Event| {
        let value: Value = serde_json::from_str(&event.data).unwrap();
        assert_eq!(value["type"], event.name);
        value
    };
    events.into_iter().filter(|event| event.data != "[DONE]").map(of).collect()
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

/// What a client has that only adds deltas up: text by item and part, arguments by item.
fn accumulate(events: &[Value]) -> Value {
    let mut output: Vec<Value> = Vec::new();
    for event in events {
        let at = || event["output_index"].as_u64().unwrap() as usize;
        let part = || event["content_index"].as_u64().unwrap() as usize;
        let append = |value: &mut Value| {
            let text = format!("{}{}", value.as_str().unwrap(), event["delta"].as_str().unwrap());
            *value = Value::from(text);
        };
        match event["type"].as_str().unwrap() {
            "response.output_item.added" => {
                assert_eq!(at(), output.len());
                output.push(event["item"].clone());
            }
            "response.content_part.added" => {
                let content = output[at()]["content"].as_array_mut().unwrap();
                assert_eq!(part(), content.len());
                content.push(event["part"].clone());
            }
            "response.output_text.delta" => {
                let content = &mut output[at()]["content"][part()];
                append(&mut content["text"]);
                let fresh = event["logprobs"].as_array().unwrap().clone();
                content["logprobs"].as_array_mut().unwrap().extend(fresh);
            }
            "response.output_text.annotation.added" => {
                let annotations = output[at()]["content"][part()]["annotations"].as_array_mut().unwrap();
                assert_eq!(event["annotation_index"], annotations.len() as u64);
                annotations.push(event["annotation"].clone());
            }
            "response.reasoning_text.delta" => append(&mut output[at()]["content"][part()]["text"]),
            "response.refusal.delta" => append(&mut output[at()]["content"][part()]["refusal"]),
            "response.function_call_arguments.delta" => append(&mut output[at()]["arguments"]),
            "response.output_text.done" | "response.reasoning_text.done" => {
                assert_eq!(event["text"], output[at()]["content"][part()]["text"]);
            }
            "response.refusal.done" => assert_eq!(event["refusal"], output[at()]["content"][part()]["refusal"]),
            "response.function_call_arguments.done" => assert_eq!(event["arguments"], output[at()]["arguments"]),
            "response.content_part.done" => assert_eq!(event["part"], output[at()]["content"][part()]),
            "response.output_item.done" => {
                let status = event["item"]["status"].clone();
                output[at()]["status"] = status;
                assert_eq!(event["item"], output[at()]);
            }
            _ => {}
        }
    }
    Value::from(output)
}

/// A stream whose last answer equals what its deltas add up to, numbered from 0.
fn check_stream(frames: &[u8]) -> Value {
    let events = events(frames);
    for (i, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], i as u64);
    }
    let mut accumulated = accumulate(&events);
    let last = events.last().unwrap()["response"].clone();
    // A failed stream leaves items open; the final object calls them incomplete.
    for (i, item) in accumulated.as_array_mut().unwrap().iter_mut().enumerate() {
        if item["status"] == "in_progress" {
            assert_eq!(last["status"], "failed");
            item["status"] = last["output"][i]["status"].clone();
        }
    }
    assert_eq!(last["output"], accumulated);
    last
}
