//! Two thousand hostile bodies: every one is answered, no VM fails, and the stack serves on.

use std::sync::Arc;

use bytes::Bytes;
use fingerpost_testbed::{
    client::{Call, Framing, raw},
    harness::{Classifier, ModelSetup, Stack, StackError, StubBehaviour},
    suite::Suite,
};
use futures::{StreamExt as _, stream};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use crate::{
    common::{chat, served_by, through},
    suite,
};

const BODIES: usize = 2_000;

pub(crate) fn suite() -> Suite {
    suite!("hostile", boot, [two_thousand_hostile_bodies, hostile_heads, hostile_bytes])
}

async fn boot() -> Result<Stack, StackError> {
    Stack::builder()
        .model(ModelSetup::named("general").field("aliases", json!(["gpt-3.5-turbo"])))
        .decision(
            "category == 'math' && headers['x-tier'] == 'gold' && text.contains('x') && tokens > 1 && tools >= 0",
            "general",
        )
        .classifier(Classifier::Stub(StubBehaviour::verdict("math", 0.9)))
        .start()
        .await
}

/// Statistics and log lines that say a VM failed.
pub(crate) async fn crashes(stack: &Stack) -> Vec<String> {
    let stats = stack.stats().await.unwrap();
    let failed = |name: &str| {
        name.contains("wasm") && ["fail", "crash", "trap", "reload"].iter().any(|word| name.contains(word))
    };
    let counted = stats.iter().filter(|(name, value)| failed(name) && **value > 0);
    let mut crashes: Vec<String> = counted.map(|(name, value)| format!("{name} = {value}")).collect();
    let log = stack.envoy().log().text();
    let said = |line: &&str| {
        ["panicked", "Function: ", "in-VM", "RuntimeError", "unreachable"].iter().any(|word| line.contains(word))
    };
    crashes.extend(log.lines().filter(said).map(str::to_owned));
    crashes
}

fn seeds() -> Vec<Vec<u8>> {
    let parts =
        json!([{ "type": "text", "text": "x \u{1F600}" }, { "type": "image_url", "image_url": { "url": "data:," } }]);
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }]);
    [
        chat("auto", "what is x?"),
        chat("general", "what is \"x\"\\?"),
        json!({ "model": "auto", "stream": true, "tools": tools, "messages": [{ "role": "system", "content": "s" }, { "role": "user", "content": parts }] }),
        json!({ "model": "auto", "prompt_cache_key": "k", "messages": [{ "role": "user", "content": null }, { "role": "tool", "content": "t" }] }),
    ]
    .iter()
    .map(|json| json.to_string().into_bytes())
    .collect()
}

/// Bodies that break parsers, each in its own way.
fn crafted() -> Vec<Vec<u8>> {
    let message = |content: &str| {
        format!(r#"{{"model":"auto","messages":[{{"role":"user","content":{content}}}]}}"#).into_bytes()
    };
    let field = |json: &str| {
        format!(r#"{{"x":{json},"model":"auto","messages":[{{"role":"user","content":"x"}}]}}"#).into_bytes()
    };
    let mut bodies = Vec::new();
    for depth in [100, 127, 128, 129, 1_000, 100_000] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let nested = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            bodies.push(field(&nested));
            bodies.push(message(&nested));
            bodies.push(nested.into_bytes());
            bodies.push(open.repeat(depth).into_bytes());
        }
    }
    for string in [
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\ud83d""#,
        r#""\u0000""#,
        r#""\uZZZZ""#,
        r#""\x""#,
        "\"\u{0}\"",
        "\"\n\"",
        r#"["\ud800"]"#,
        r#"[{"type":"text","text":"\ud800"}]"#,
    ] {
        bodies.push(message(string));
        bodies.push(field(string));
        bodies.push(format!(r#"{{"model":{string},"messages":[{{"role":{string},"content":"x"}}]}}"#).into_bytes());
        bodies.push(format!(r#"{{{string}:1,"model":"auto","messages":[{{{string}:2}}]}}"#).into_bytes());
    }
    for number in [
        "1e999999999",
        "-1e-999999999",
        "99999999999999999999999999999999",
        "0x10",
        "01",
        "1.",
        ".5",
        "-",
        "NaN",
        "Infinity",
        "1e",
        "--1",
    ] {
        bodies.push(field(number));
        bodies.push(message(number));
        bodies.push(format!(r#"{{"model":"auto","stream":{number},"messages":[]}}"#).into_bytes());
    }
    bodies.push(field(&"9".repeat(1_000_000)));
    bodies.push(format!(r#"{{"{}":1}}"#, "k".repeat(1_000_000)).into_bytes());
    bodies.push(
        format!(r#"{{"model":"{}","messages":[{{"role":"user","content":"x"}}]}}"#, "m".repeat(1_000_000)).into_bytes(),
    );
    bodies.push(format!("{{{}\"model\":\"auto\"}}", "\"k\":0,".repeat(100_000)).into_bytes());
    bodies.push(format!(r#"{{"model":"auto","messages":[{}{{}}]}}"#, "{},".repeat(100_000)).into_bytes());
    bodies.push(message(&format!("[{}{{}}]", "{\"type\":\"text\",\"text\":\"a\"},".repeat(50_000))));
    bodies.push(message(&format!("\"{}\"", "\\u0000".repeat(100_000))));
    bodies.push(vec![0; 100_000]);
    bodies.push(vec![0xff; 1_000]);
    bodies.push(b" ".repeat(1_000_000));
    bodies.push("\u{feff}{}".as_bytes().to_vec());
    bodies.push("{\"model\":\"auto\"}".encode_utf16().flat_map(u16::to_le_bytes).collect());
    bodies
}

fn mutate(rng: &mut StdRng, seed: &[u8]) -> Vec<u8> {
    const TOKENS: [&[u8]; 14] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b"\"",
        b",",
        b":",
        b"null",
        b"\\",
        b"\\ud800",
        b"\xff",
        b"\x00",
        b"1e400",
        b"\"model\":\"auto\",",
    ];
    let mut body = seed.to_vec();
    for _ in 0..rng.random_range(1..6) {
        let at = rng.random_range(0..=body.len());
        let token = TOKENS[rng.random_range(0..TOKENS.len())];
        match rng.random_range(0..6) {
            0 => body.truncate(at),
            1 if at < body.len() => body[at] ^= 1 << rng.random_range(0..8),
            2 if at < body.len() => drop(body.remove(at)),
            3 => {
                let piece = body[at..(at + 20).min(body.len())].to_vec();
                body.splice(at..at, piece);
            }
            _ => drop(body.splice(at..at, token.iter().copied())),
        }
        if body.is_empty() {
            body.push(b'{');
        }
    }
    body
}

async fn two_thousand_hostile_bodies(stack: Arc<Stack>) {
    let mut rng = StdRng::seed_from_u64(42);
    let (seeds, mut bodies) = (seeds(), crafted());
    while bodies.len() < BODIES {
        let seed = &seeds[rng.random_range(0..seeds.len())];
        bodies.push(mutate(&mut rng, seed));
    }
    let framings = [Framing::Sized, Framing::Chunked, Framing::H2];
    let outcomes: Vec<(u16, Bytes)> = stream::iter(bodies.into_iter().enumerate())
        .map(|(index, body)| {
            let (stack, body) = (Arc::clone(&stack), Bytes::from(body));
            async move {
                let path = if index % 7 == 6 { "/v1/embeddings" } else { "/v1/chat/completions" };
                let call = Call::post(path, body.clone()).framed(framings[index % framings.len()]);
                let reply = stack.send(call).await;
                let shown = String::from_utf8_lossy(&body).chars().take(300).collect::<String>();
                let reply = reply.unwrap_or_else(|error| panic!("body {index} got no answer: {error}; {shown}"));
                assert!(
                    [200, 400, 404].contains(&reply.status),
                    "body {index}: {} {}; {shown}",
                    reply.status,
                    reply.text()
                );
                if reply.status != 200 {
                    assert!(reply.json()["error"]["message"].is_string(), "body {index}: {}; {shown}", reply.text());
                }
                (reply.status, body)
            }
        })
        .buffer_unordered(16)
        .collect()
        .await;
    assert!(outcomes.iter().any(|(status, _)| *status == 200) && outcomes.iter().any(|(status, _)| *status == 400));
    assert_sound(&stack).await;
}

async fn assert_sound(stack: &Stack) {
    let crashed = crashes(stack).await;
    assert!(crashed.is_empty(), "{crashed:?}");
    for model in ["auto", "general"] {
        let (reply, _) = through(stack, Call::chat(&chat(model, "still there?"))).await;
        assert_eq!(served_by(&reply), "general");
        assert_eq!(reply.header("x-routing-fallback"), None);
    }
}

async fn hostile_heads(stack: Arc<Stack>) {
    let body = chat("auto", "x").to_string();
    for value in [&b"\xff\xfe"[..], b"\xc3\x28", "é".as_bytes(), b"", &[b'a'; 8_000]] {
        for name in [
            "x-tier",
            "content-type",
            "content-encoding",
            "authorization",
            "x-request-id",
            "traceparent",
            "x-session",
            "x-semantic-\u{61}",
        ] {
            let call = Call::post("/v1/chat/completions", body.clone()).header(name, value);
            let reply = stack.send(call).await.unwrap_or_else(|error| panic!("{name}: {value:?}: {error}"));
            assert!(reply.status < 500, "{name}: {value:?}: {} {}", reply.status, reply.text());
        }
    }
    let mut call = Call::post("/v1/chat/completions", body.clone());
    for n in 0..80 {
        call = call.header(&format!("x-routing-{n}"), "x");
    }
    assert!(stack.send(call).await.unwrap().status < 500);
    for path in ["/v1/models/%ff%fe", "/v1/models/a%00b", "/v1/models/\u{61}?x=%ff", "/v1/models/..;/x"] {
        assert!(stack.send(Call::get(path)).await.unwrap().status < 500, "{path}");
    }
    assert_sound(&stack).await;
}

async fn hostile_bytes(stack: Arc<Stack>) {
    let head = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    for (name, tail) in [
        ("a body that stops", "content-length: 100\r\n\r\n{\"model\":"),
        ("a chunk that stops", "transfer-encoding: chunked\r\n\r\nff\r\n{\"model\":"),
        ("a chunk size that is none", "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
        ("both framings", "content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n{}"),
        ("two lengths", "content-length: 2\r\ncontent-length: 3\r\n\r\n{}x"),
        ("a null in a header", "x-a: \0\r\n\r\n"),
        ("no end of the head", "x-a: 1"),
    ] {
        let answer = raw(stack.address(), format!("{head}{tail}").as_bytes(), true).await;
        let answer = answer.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(answer.as_ref().map_or(true, |text| !text.starts_with("HTTP/1.1 5")), "{name}: {answer:?}");
        assert!(!matches!(answer, Err(fingerpost_testbed::client::ClientError::Hung(_))), "{name} hangs");
    }
    assert_sound(&stack).await;
}
