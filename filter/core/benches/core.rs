//! What the filter's core adds to skipping the same body: parse, decide and splice against `serde_json` reading [`IgnoredAny`].

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark fails by panicking")]

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fingerpost_core::{
    config::Config,
    exchange::{Call, CalloutError, Event, Exchange, Micros, Moment},
    headers::Headers,
    plugin::Plugin,
};
use serde::de::IgnoredAny;
use serde_json::json;

const SIZES: [usize; 3] = [1, 32, 400];

/// A conversation of about that many KiB: prose with escapes, code, a tool call now and then.
fn body(kib: usize, model: &str) -> Vec<u8> {
    let texts = [
        "Can you explain why the second approach is faster? I measured both, and the \"naive\" one took 3.2 s.\nThanks!",
        "fn main() {\n    let total: u64 = (1..=10).map(|n| n * n).sum();\n    println!(\"{total}\");\n}\n",
        "Sí, claro: la diferencia está en la caché — el segundo recorre la memoria en orden, así que falla menos. 内存局部性很重要。",
    ];
    let mut messages = vec![json!({"role": "system", "content": "You are a careful assistant."})];
    let mut size = 0;
    while size < kib * 1024 - 200 {
        let turn = messages.len();
        let text = texts.get(turn % texts.len()).unwrap().repeat(1 + turn % 4);
        size += text.len() + 40;
        messages.push(json!({"role": if turn % 2 == 1 { "user" } else { "assistant" }, "content": text}));
    }
    messages.push(json!({"role": "user", "content": "And what is the derivative of x^2?"}));
    json!({"model": model, "messages": messages, "temperature": 0.7, "max_tokens": 150}).to_string().into_bytes()
}

fn plugin(guards: &serde_json::Value) -> Plugin {
    let config = json!({
        "guards": guards,
        "default_model": "general",
        "models": [
            {"name": "general", "upstream_name": "org/general-7b", "endpoints": [
                {"address": "10.0.0.1:80"}, {"address": "10.0.0.2:80"}, {"address": "10.0.0.3:80"}]},
            {"name": "math", "endpoints": [{"address": "10.0.0.4:80"}]},
        ],
        "decisions": [{"name": "maths", "when": "category == 'math' && confidence > 0.6", "model": "math"}],
    });
    Plugin::new(Config::from_json(config.to_string().as_bytes()).unwrap(), &["0123456789abcdef"], 0).unwrap()
}

fn headers() -> Headers {
    [
        (":method", "POST"),
        (":path", "/v1/chat/completions"),
        ("content-type", "application/json"),
        ("content-length", "1000"),
    ]
    .into_iter()
    .collect()
}

#[derive(Debug)]
struct Still;

impl Moment for Still {
    fn unix_seconds(&self) -> u64 {
        0
    }

    fn random(&self) -> Option<u64> {
        Some(0)
    }
}

fn exchange(plugin: &Plugin, body: Vec<u8>) {
    let mut exchange = Exchange::default();
    black_box(exchange.on(plugin, Event::RequestHeaders { headers: headers(), claim: None, end: false }));
    black_box(exchange.on(plugin, Event::RequestBody { body, moment: &Still }));
    if exchange.is_awaiting() {
        let outcome = Err(CalloutError::Status(14));
        black_box(exchange.on(plugin, Event::CalloutResult { call: Call::Analyze, outcome, waited: Micros(900) }));
    }
}

fn bench(c: &mut Criterion) {
    let open = plugin(&json!({}));
    let guarded = plugin(&json!({"pii": {"on_error": "open"}, "jailbreak": {"on_error": "open"}}));
    for size in SIZES {
        let mut group = c.benchmark_group(format!("{size}KiB"));
        let named = body(size, "general");
        group.throughput(Throughput::Bytes(named.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter("ignored_any"), &named, |b, body| {
            // The same copy is paid on both sides.
            b.iter_batched(
                || body.clone(),
                |body| drop(black_box(serde_json::from_slice::<IgnoredAny>(black_box(&body)))),
                BatchSize::LargeInput,
            );
        });
        for (name, model, plugin) in
            [("named", "general", &open), ("auto", "auto", &open), ("guarded", "auto", &guarded)]
        {
            let body = body(size, model);
            group.bench_with_input(BenchmarkId::from_parameter(name), &body, |b, body| {
                b.iter_batched(|| body.clone(), |body| exchange(plugin, black_box(body)), BatchSize::LargeInput);
            });
        }
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
