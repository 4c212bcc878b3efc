#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::*;
use crate::ids::IdError;

fn wrap(id: &str) -> Result<String, IdError> {
    if id.contains(' ') { Err(IdError::Upstream) } else { Ok(format!("W({id})")) }
}

const OUTWARD: Outward<'static> = Outward { wrap: &wrap, model: "ours" };

/// A stream as a backend sends it, `\n` for every line end.
const STREAM: &str = "\u{feff}data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"model\":\"llama\",\"previous_response_id\":\"resp_0\",\"output\":[]},\"sequence_number\":0}\nevent: response.created\n\n\
: a comment\nid: 7\nretry: 10\nevent: response.output_text.delta\ndata:{\"type\":\"response.output_text.delta\",\"item_id\":\"msg_1\",\"delta\":\"h\u{e9} \u{1f600} \\\"response\\\"\",\"response_id\":\"resp_1\",\"x\": 1.0}\n\n\n\
data: {\"type\":\"response.completed\",\ndata: \"response\":{\"output\":[{\"id\":\"msg_1\",\"model\":\"llama\"}],\"i\\u0064\":\"resp_1\"\ndata\ndata:,\"model\" :\"llama\"}}\n\n\
database: {\"response_id\":\"x\"}\ndata: [DONE]\n\n";

fn expected() -> String {
    STREAM
        .replace("\"resp_1\"", "\"W(resp_1)\"")
        .replace("\"resp_0\"", "\"W(resp_0)\"")
        .replace("\"model\":\"llama\",\"prev", "\"model\":\"ours\",\"prev")
        .replace("\"model\" :\"llama\"", "\"model\" :\"ours\"")
}

fn run<'a>(chunks: impl IntoIterator<Item = &'a [u8]>, limit: usize) -> (Vec<u8>, Sse, Result<(), RewriteError>) {
    let (mut sse, mut out) = (Sse::new(limit), Vec::new());
    for chunk in chunks {
        if let Err(error) = sse.push(chunk, &OUTWARD, &mut out) {
            return (out, sse, Err(error));
        }
    }
    let end = sse.finish(&OUTWARD, &mut out);
    (out, sse, end)
}

fn cut<'a>(stream: &'a [u8], at: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut at: Vec<usize> = at.iter().map(|i| i.index(stream.len() + 1)).collect();
    at.extend([0, stream.len()]);
    at.sort_unstable();
    at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect()
}

#[test]
fn cut_at_every_byte_it_is_the_same_stream() {
    for end in ["\n", "\r\n", "\r"] {
        let (stream, expected) = (STREAM.replace('\n', end), expected().replace('\n', end));
        for at in 0..=stream.len() {
            let (head, tail) = stream.as_bytes().split_at(at);
            let (out, sse, result) = run([head, tail], 1024);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{end:?} {at}");
            assert_eq!((result, sse.response_id(), sse.unread()), (Ok(()), Some("resp_1"), 0));
        }
        let (out, ..) = run(stream.as_bytes().chunks(1), 1024);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{end:?}");
    }
}

#[test]
fn a_frame_leaves_as_soon_as_it_is_whole() {
    let (mut sse, mut out) = (Sse::new(100), Vec::new());
    for (chunk, leaves) in [
        ("data: {\"response\":{\"id\":\"a\"}}\r\n", ""),
        ("\r", "data: {\"response\":{\"id\":\"W(a)\"}}\r\n\r"),
        ("\n", "\n"),
        ("data: 1\n", ""),
        ("\ndata: {\"response_id\":\"b\"}", "data: 1\n\n"),
    ] {
        out.clear();
        sse.push(chunk.as_bytes(), &OUTWARD, &mut out).unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), leaves, "{chunk:?}");
    }
    out.clear();
    sse.finish(&OUTWARD, &mut out).unwrap();
    assert_eq!(out, b"data: {\"response_id\":\"W(b)\"}");
    assert_eq!((sse.response_id(), sse.unread()), (Some("a"), 1));
}

#[test]
fn what_cannot_be_read_passes_and_is_counted() {
    for (frame, unread) in [
        ("data: {\"response\":{\"id\":\"a\"}\n\n", 1),
        ("data: nonsense\n\n", 1),
        ("data: [{\"response_id\":\"a\"}]\n\n", 1),
        ("data: {\"response\":\"a\",\"response_id\":null,\"id\":\"b\",\"model\":\"m\"}\n\n", 0),
        ("data:\n\n", 0),
        (": ping\n\n", 0),
        ("data:  [DONE] \n\n", 0),
    ] {
        let (out, sse, result) = run([frame.as_bytes()], 100);
        assert_eq!((std::str::from_utf8(&out).unwrap(), result), (frame, Ok(())));
        assert_eq!((sse.unread(), sse.response_id()), (unread, None), "{frame:?}");
    }
    let (out, sse, _) = run([b"data: {\"response_id\":\"\xff\"}\n\n".as_slice()], 100);
    assert_eq!((out.as_slice(), sse.unread()), (b"data: {\"response_id\":\"\xff\"}\n\n".as_slice(), 1));
}

#[test]
fn an_id_that_cannot_be_wrapped_ends_the_stream_after_what_was_good() {
    let stream = b"data: {\"response_id\":\"a\"}\n\ndata: {\"response_id\":\"a b\"}\n\ndata: {}\n\n";
    let (out, mut sse, result) = run([stream.as_slice()], 100);
    assert_eq!(out, b"data: {\"response_id\":\"W(a)\"}\n\n");
    assert_eq!(result, Err(RewriteError::Id(IdError::Upstream)));
    let mut out = Vec::new();
    assert_eq!(sse.push(b"data: {}\n\n", &OUTWARD, &mut out), result);
    assert_eq!((sse.finish(&OUTWARD, &mut out), out.len()), (result, 0));
}

#[test]
fn a_frame_over_the_limit_is_named_however_it_is_cut() {
    let frame = "data: {\"x\":\"yyyyyyyyy\"}\r\n\r\n";
    let content = frame.len() - 2;
    let stream = frame.repeat(3);
    for size in 1..=stream.len() {
        let (out, _, result) = run(stream.as_bytes().chunks(size), content);
        assert_eq!((std::str::from_utf8(&out).unwrap(), result), (stream.as_str(), Ok(())), "{size}");
        let (out, _, result) = run(stream.as_bytes().chunks(size), content - 1);
        assert_eq!((out.len(), result), (0, Err(RewriteError::TooLarge { limit: content - 1 })), "{size}");
    }
    // Nor may a frame that never ends fill the memory.
    for chunk in ["data: 6789", "data: \r\n9x"] {
        let (_, _, result) = run([chunk.as_bytes()], chunk.len());
        assert_eq!(result, Ok(()), "{chunk:?}");
        let (_, _, result) = run([chunk.as_bytes()], chunk.len() - 1);
        assert_eq!(result, Err(RewriteError::TooLarge { limit: chunk.len() - 1 }), "{chunk:?}");
    }
}

/// Lines as streams have them, whole and broken.
fn soup() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"\n".to_vec()),
        Just(b"\r".to_vec()),
        Just(b"\r\n".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(b"data".to_vec()),
        Just(b"data: ".to_vec()),
        Just(b"\xef\xbb\xbf".to_vec()),
        Just(b": comment".to_vec()),
        Just(b"data: [DONE]".to_vec()),
        Just(br#"{"response":{"id":"a","model":"m"},"#.to_vec()),
        Just(br#""response_id":"b"}"#.to_vec()),
        Just(br#"data: {"response":{"id":"a","previous_response_id":"b","model":"c"},"response_id":"d"}"#.to_vec()),
        Just(br#"data: {"response_id":"a b"}"#.to_vec()),
        prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_chunking_gives_the_same(stream in soup(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..12), limit in 20_usize..400) {
        let (whole, sse, result) = run([stream.as_slice()], limit);
        let (cut, other, other_result) = run(cut(&stream, &at), limit);
        prop_assert_eq!(whole, cut);
        prop_assert_eq!(result, other_result);
        prop_assert_eq!(sse.response_id(), other.response_id());
        prop_assert_eq!(sse.unread(), other.unread());
    }

    #[test]
    fn bytes_without_members_of_ours_pass(stream in prop::collection::vec(any::<u8>(), 0..300), at in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let (out, _, result) = run(cut(&stream, &at), 1024);
        prop_assert_eq!((out, result), (stream, Ok(())));
    }

    #[test]
    fn json_without_members_of_ours_passes(text in "\\PC{0,30}", number in any::<f64>(), at in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let data = serde_json::json!({"type": text, "delta": text, "n": number, "item": {"id": text, "response": {"id": text}}});
        let stream = format!("event: x\r\ndata: {data}\r\n\r\n");
        let (out, sse, result) = run(cut(stream.as_bytes(), &at), 1024);
        prop_assert_eq!((out, result, sse.unread()), (stream.into_bytes(), Ok(()), 0));
    }
}
