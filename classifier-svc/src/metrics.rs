//! What the service counts. Names are the field's: they begin with `semantic_router_`.

use std::{sync::Mutex, time::Duration};

use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Outcome {
    outcome: &'static str,
}

/// The service's metrics; cheap to share and to update.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    duration: Histogram,
    inference: Histogram,
    batch_rows: Histogram,
    requests: Family<Outcome, Counter>,
    tokens: Counter,
    windows: Counter,
    skipped: Counter,
    queue: Gauge,
    verdicts: Family<Lookup, Counter>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Lookup {
    result: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.0005, 2.0, 16));
        let metrics = Self {
            registry: Mutex::default(),
            duration: seconds(),
            inference: seconds(),
            batch_rows: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            requests: Family::default(),
            tokens: Counter::default(),
            windows: Counter::default(),
            skipped: Counter::default(),
            queue: Gauge::default(),
            verdicts: Family::default(),
        };
        let mut registry = Registry::with_prefix("semantic_router");
        registry.register_with_unit(
            "classification_duration",
            "From a request's arrival to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register_with_unit(
            "classification_inference_duration",
            "One forward pass with its heads",
            Unit::Seconds,
            metrics.inference.clone(),
        );
        registry.register(
            "classification_batch_rows",
            "Windows that travelled in one forward pass",
            metrics.batch_rows.clone(),
        );
        registry.register(
            "classification_requests",
            "Requests by outcome: ok, or the gRPC code",
            metrics.requests.clone(),
        );
        registry.register("classification_tokens", "Tokens admitted, special ones not counted", metrics.tokens.clone());
        registry.register("classification_windows", "Windows admitted", metrics.windows.clone());
        registry.register(
            "classification_skipped",
            "Requests dropped before their work was done, because nobody waited any more",
            metrics.skipped.clone(),
        );
        registry.register(
            "classification_queue_depth",
            "Requests that wait for the model or are being tokenised",
            metrics.queue.clone(),
        );
        registry.register(
            "classification_verdicts",
            "Segments by whether their verdict was known: hit or miss",
            metrics.verdicts.clone(),
        );
        Self { registry: Mutex::new(registry), ..metrics }
    }
}

impl Metrics {
    /// A request ended: `ok`, or the name of a gRPC code.
    pub fn finished(&self, outcome: &'static str, took: Duration) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
        self.duration.observe(took.as_secs_f64());
    }

    /// A request was tokenised and queued.
    pub fn admitted(&self, tokens: usize, windows: usize) {
        self.tokens.inc_by(tokens as u64);
        self.windows.inc_by(windows as u64);
    }

    /// Segments whose verdicts were known, and those that were not.
    pub fn verdicts(&self, hits: usize, misses: usize) {
        for (result, count) in [("hit", hits), ("miss", misses)] {
            self.verdicts.get_or_create(&Lookup { result }).inc_by(count as u64);
        }
    }

    /// A forward pass ended.
    pub fn batch(&self, rows: usize, took: Duration) {
        self.batch_rows.observe(rows as f64);
        self.inference.observe(took.as_secs_f64());
    }

    /// A request was dropped before its work was done.
    pub fn skipped(&self) {
        self.skipped.inc();
    }

    /// How many requests wait now.
    pub fn queue_depth(&self, depth: usize) {
        self.queue.set(i64::try_from(depth).unwrap_or(i64::MAX));
    }

    /// The exposition text (OpenMetrics).
    ///
    /// # Errors
    /// [`std::fmt::Error`] when a metric cannot be written.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}
