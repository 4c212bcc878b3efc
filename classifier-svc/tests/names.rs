//! The committed names head over the served path, without its ports; needs `make setup`.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use std::{path::Path, sync::Arc};

use fingerpost_classifier::{
    bundle::Bundle,
    config::Config,
    domain::{
        Task,
        analyzer::{AnalyzeRequest, Analyzer, AnalyzerLimits, Segment},
        window::WindowShape,
    },
    metrics::Metrics,
    pii::Kind,
    train::names::NamesReport,
};

fn analyzer() -> Analyzer {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::load(&here.join("classifier.yaml")).unwrap();
    let (bundle, tokenizer) = Bundle::load(&config).unwrap();
    let limits = AnalyzerLimits {
        max_tokens: config.limits.max_tokens,
        max_segments: config.limits.max_segments,
        queue: config.limits.queue,
        batch_tokens: config.limits.batch_tokens,
        verdict_cache_bytes: 0,
        windows: WindowShape::new(config.limits.window_tokens, config.limits.window_overlap).unwrap(),
    };
    Analyzer::start(Box::new(bundle), tokenizer, limits, Arc::new(Metrics::default())).unwrap().0
}

async fn persons(analyzer: &Analyzer, text: &str) -> Vec<String> {
    let segment = Segment { text: text.to_owned(), tasks: vec![Task::Pii] };
    let analysis = analyzer.analyze(AnalyzeRequest { segments: vec![segment], deadline: None }).await.unwrap();
    let entities = analysis.segments[0].pii.clone().unwrap();
    let persons = entities.into_iter().filter(|e| e.kind == Kind::Person && e.score >= 0.5);
    persons.map(|e| text[e.range].to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_found_with_their_exact_bytes() {
    let analyzer = analyzer();
    assert_eq!(persons(&analyzer, "Grüße! My sister is called Zoë Müller.").await, ["Zoë Müller"]);
    assert!(persons(&analyzer, "How do I install the update before the end of the month?").await.is_empty());
    assert!(persons(&analyzer, "").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_at_any_window_border_comes_out_whole() {
    let analyzer = analyzer();
    let filler = "the printer on the second floor was slow again and nobody knew why, so we waited for a while. ";
    // Windows of 126 tokens that share 32: the first border is at 94 to 126.
    for words in 85..130 {
        let before: String = filler.split_inclusive(' ').cycle().take(words).collect();
        let after: String = filler.split_inclusive(' ').cycle().take(60).collect();
        let text = format!("{before}Then I met Jennifer Anderson from accounting. {after}");
        assert_eq!(persons(&analyzer, &text).await, ["Jennifer Anderson"], "after {words} words");
    }
}

#[test]
fn the_committed_head_is_as_good_as_the_docs_say_and_small() {
    let head = Path::new(env!("CARGO_MANIFEST_DIR")).join("heads/names");
    let report: NamesReport = serde_json::from_slice(&std::fs::read(head.join("report.json")).unwrap()).unwrap();
    assert!(report.test.by_type["PERSON"].f1 >= 0.82, "{:?}", report.test.by_type["PERSON"]);
    let weights = std::fs::metadata(head.join("head.safetensors")).unwrap().len();
    assert!(weights < 2_000_000, "{weights} bytes");
}
