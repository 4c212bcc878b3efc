//! Analyzer and engine with a model that the test holds by the hand.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::{
    sync::{Arc, Mutex, mpsc},
    time::{Duration, Instant},
};

use super::{
    analyzer::{AnalyzeRequest, Analyzer, AnalyzerLimits, Segment},
    window::WindowShape,
    *,
};
use crate::metrics::Metrics;

/// Waits for a permit before each batch, and tells what it ran.
struct HeldModel {
    info: ModelInfo,
    permits: mpsc::Receiver<()>,
    ran: Arc<Mutex<Vec<Vec<usize>>>>,
    entered: mpsc::Sender<()>,
}

impl Model for HeldModel {
    fn info(&self) -> &ModelInfo {
        &self.info
    }

    fn run(&self, rows: &[Row<'_>], _: Wanted) -> Result<Vec<RowOutput>, ModelError> {
        self.ran.lock().unwrap().push(rows.iter().map(|row| row.ids.len()).collect());
        self.entered.send(()).unwrap();
        self.permits.recv().unwrap();
        if rows.iter().any(|row| row.ids.contains(&666)) {
            return Err(ModelError("boom".to_owned()));
        }
        let output = |row: &Row<'_>| RowOutput {
            log_probs: Some(vec![0.75_f32.ln(), 0.25_f32.ln()]),
            pooled: Some(vec![3.0, 4.0]),
            attack: Some(if row.ids.contains(&13) { 2.0 } else { -3.0 }),
            tags: None,
        };
        Ok(rows.iter().map(output).collect())
    }
}

/// A token a word; its id is its number.
struct Words;

impl Tokenize for Words {
    fn tokenize(&self, text: &str) -> Result<Vec<Token>, ModelError> {
        let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
        let token = |word: &str| Token { id: word.parse().unwrap(), range: start(word)..start(word) + word.len() };
        Ok(text.split_whitespace().map(token).collect())
    }

    fn special(&self) -> Special {
        Special { open: 0, close: 1 }
    }
}

struct Bench {
    analyzer: Arc<Analyzer>,
    permits: mpsc::Sender<()>,
    entered: mpsc::Receiver<()>,
    ran: Arc<Mutex<Vec<Vec<usize>>>>,
}

fn bench(queue: usize) -> Bench {
    caching(queue, 0)
}

fn caching(queue: usize, cache: usize) -> Bench {
    let (permits, waits) = mpsc::channel();
    let (tell, entered) = mpsc::channel();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let model = HeldModel {
        info: ModelInfo {
            version: "v".into(),
            labels: Some(["a", "b"].map(str::to_owned).to_vec().into()),
            background: None,
            jailbreak: true,
            names: false,
            max_row_tokens: 10,
        },
        permits: waits,
        ran: Arc::clone(&ran),
        entered: tell,
    };
    let analyzer = start(model, queue, cache);
    Bench { analyzer: Arc::new(analyzer), permits, entered, ran }
}

fn start(model: HeldModel, queue: usize, cache: usize) -> Analyzer {
    let limits = AnalyzerLimits {
        max_tokens: 30,
        max_segments: 3,
        queue,
        batch_tokens: 20,
        windows: WindowShape::new(10, 2).unwrap(),
        verdict_cache_bytes: cache,
    };
    let metrics = Arc::new(Metrics::default());
    Analyzer::start(Box::new(model), Arc::new(Words), limits, metrics).unwrap().0
}

fn request(texts: &[&str]) -> AnalyzeRequest {
    asking(texts, &[Task::Category])
}

fn asking(texts: &[&str], tasks: &[Task]) -> AnalyzeRequest {
    let segments = texts.iter().map(|text| Segment { text: (*text).to_owned(), tasks: tasks.to_vec() });
    AnalyzeRequest { segments: segments.collect(), deadline: None }
}

type Running = tokio::task::JoinHandle<Result<Analysis, AnalyzeError>>;

impl Bench {
    fn send(&self, request: AnalyzeRequest) -> Running {
        let analyzer = Arc::clone(&self.analyzer);
        tokio::spawn(async move { analyzer.analyze(request).await })
    }

    /// Sends one request and waits until the model has it.
    fn occupy(&self) -> Running {
        let running = self.send(request(&["2"]));
        tokio::task::block_in_place(|| self.entered.recv().unwrap());
        running
    }

    /// Waits until so many requests are in the queue.
    async fn queued(&self, count: usize) {
        while self.analyzer.queued() != count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_together_travels_together() {
    let bench = bench(8);
    let first = bench.occupy();
    let others = [bench.send(request(&["2 3", "2"])), bench.send(request(&["2 3"]))];
    bench.queued(2).await;
    // A place is taken before tokenisation; the jobs themselves are queued once both have been sent.
    while bench.analyzer.waiting() != 2 {
        tokio::task::yield_now().await;
    }
    bench.permits.send(()).unwrap();
    bench.permits.send(()).unwrap();
    first.await.unwrap().unwrap();
    for other in others {
        other.await.unwrap().unwrap();
    }
    let ran = bench.ran.lock().unwrap().clone();
    assert_eq!(ran.len(), 2);
    assert_eq!(ran[1], [4, 4, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_that_nobody_waits_for_is_skipped() {
    let bench = bench(8);
    let first = bench.occupy();
    let late = bench.send(AnalyzeRequest { deadline: Some(Instant::now()), ..request(&["2 3 4"]) });
    let gone = bench.send(request(&["2 3 4 5"]));
    while bench.analyzer.waiting() != 2 {
        tokio::task::yield_now().await;
    }
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    bench.permits.send(()).unwrap();
    first.await.unwrap().unwrap();
    assert!(matches!(late.await.unwrap(), Err(AnalyzeError::DeadlinePassed)));
    assert_eq!(*bench.ran.lock().unwrap(), [[3]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_sheds() {
    let bench = bench(1);
    let first = bench.occupy();
    let waiting = bench.send(request(&["2"]));
    bench.queued(1).await;
    let shed = bench.send(request(&["2"])).await.unwrap();
    assert!(matches!(shed, Err(AnalyzeError::QueueFull(1))));
    bench.permits.send(()).unwrap();
    bench.permits.send(()).unwrap();
    first.await.unwrap().unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn ceilings_and_unserved_tasks_are_refused_before_the_queue() {
    let bench = bench(8);
    let words = "2 ".repeat(31);
    let refused = bench.send(request(&[&words])).await.unwrap();
    assert!(matches!(refused, Err(AnalyzeError::TooManyTokens { count: 31, ceiling: 30 })));
    let refused = bench.send(request(&["2"; 4])).await.unwrap();
    assert!(matches!(refused, Err(AnalyzeError::TooManySegments { count: 4, ceiling: 3 })));
    assert!(matches!(bench.send(request(&[])).await.unwrap(), Err(AnalyzeError::NoSegment)));
    assert!(bench.ran.lock().unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_batch_fails_its_requests_and_no_other() {
    let bench = bench(8);
    for _ in 0..2 {
        bench.permits.send(()).unwrap();
    }
    let failed = bench.send(request(&["666"])).await.unwrap();
    assert!(matches!(failed, Err(AnalyzeError::Model(_))), "{failed:?}");
    assert!(bench.send(request(&["2"])).await.unwrap().is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn long_texts_travel_whole_and_come_back_as_one() {
    let bench = bench(8);
    for _ in 0..4 {
        bench.permits.send(()).unwrap();
    }
    let words = "2 ".repeat(25);
    let analysis = bench.send(asking(&[&words, ""], &[Task::Category, Task::Embedding])).await.unwrap().unwrap();
    assert_eq!((analysis.segments[0].tokens, analysis.segments[0].windows), (25, 4));
    assert_eq!((analysis.segments[1].tokens, analysis.segments[1].windows), (0, 1));
    let embedding = analysis.segments[0].embedding.clone().unwrap();
    assert!((embedding[0] - 0.6).abs() < 1e-6 && (embedding[1] - 0.8).abs() < 1e-6);
    assert_eq!(analysis.segments[1].category.clone().unwrap().scores[0].0, "a");
    assert!(analysis.inference < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_not_there_is_named() {
    let (_hold, waits) = mpsc::channel();
    let info = ModelInfo {
        version: "v".into(),
        labels: None,
        background: None,
        jailbreak: false,
        names: false,
        max_row_tokens: 10,
    };
    let model = HeldModel { info, permits: waits, ran: Arc::default(), entered: mpsc::channel().0 };
    let analyzer = start(model, 1, 0);
    for task in [Task::Category, Task::Jailbreak] {
        let refused = analyzer.analyze(asking(&["2"], &[Task::Embedding, task])).await;
        assert!(matches!(refused, Err(AnalyzeError::UnservedTask(name)) if name == task.name()), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_worst_window_speaks_for_the_text() {
    let bench = bench(8);
    for _ in 0..4 {
        bench.permits.send(()).unwrap();
    }
    let words = format!("{}13 {}", "2 ".repeat(12), "2 ".repeat(9));
    let analysis = bench.send(asking(&[&words, "2 2 2", "13 13"], &[Task::Jailbreak])).await.unwrap().unwrap();
    let verdicts: Vec<_> = analysis.segments.iter().map(|segment| segment.jailbreak.unwrap()).collect();
    assert_eq!((verdicts[0].window, verdicts[0].disguise), (2, None));
    assert!(verdicts[0].score > 0.5 && (0.01..0.1).contains(&verdicts[1].score), "{verdicts:?}");
    // Two tokens are no instruction.
    assert_eq!(verdicts[2].score, 0.0);
    assert!(analysis.segments[0].category.is_none() && analysis.segments[0].pii.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_segment_seen_before_costs_no_queue_and_equal_ones_are_computed_once() {
    let bench = caching(8, 1 << 20);
    for _ in 0..2 {
        bench.permits.send(()).unwrap();
    }
    let first = bench.send(asking(&["2 3", "2 3", "2 13"], &[Task::Jailbreak])).await.unwrap().unwrap();
    assert_eq!(*bench.ran.lock().unwrap(), [[4, 4]]);
    // No permit is needed: the model is not asked.
    let again = bench.send(asking(&["2 13", "2 3"], &[Task::Jailbreak])).await.unwrap().unwrap();
    assert_eq!(again.segments[0], first.segments[2]);
    assert_eq!(again.segments[1], first.segments[0]);
    assert_eq!(again.inference, Duration::ZERO);
    // Another question is another verdict.
    let other = bench.send(asking(&["2 3"], &[Task::Category])).await.unwrap().unwrap();
    assert!(other.segments[0].category.is_some());
    assert_eq!(bench.ran.lock().unwrap().len(), 2);
    // What is known counts for the ceiling.
    let words = "2 ".repeat(29);
    let refused = bench.send(asking(&["2 3", &words], &[Task::Jailbreak])).await.unwrap();
    assert!(matches!(refused, Err(AnalyzeError::TooManyTokens { count: 31, ceiling: 30 })), "{refused:?}");
}
