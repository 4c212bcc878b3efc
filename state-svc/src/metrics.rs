//! What the service counts. Names are the field's: they begin with `semantic_router_`.

use std::{
    future::Future,
    sync::{Mutex, PoisonError},
    time::Instant,
};

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

use crate::domain::{Error, port::Totals};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Ended {
    operation: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Operation {
    operation: &'static str,
}

/// The service's metrics; cheap to share and to update.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    operations: Family<Ended, Counter>,
    durations: Family<Operation, Histogram>,
    conversations: Gauge,
    responses: Gauge,
    evicted: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self {
            registry: Mutex::default(),
            operations: Family::default(),
            durations: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.0001, 2.0, 18))),
            conversations: Gauge::default(),
            responses: Gauge::default(),
            evicted: Counter::default(),
        };
        let mut registry = Registry::with_prefix("semantic_router_state");
        registry.register("operations", "Operations by kind and outcome", metrics.operations.clone());
        registry.register_with_unit(
            "operation_duration",
            "From an operation's arrival to its answer",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        registry.register("conversations", "Conversations that are stored", metrics.conversations.clone());
        registry.register(
            "responses",
            "Responses that are stored; a conversation without any counts as one",
            metrics.responses.clone(),
        );
        registry.register("swept", "Conversations that a sweep let go", metrics.evicted.clone());
        Self { registry: Mutex::new(registry), ..metrics }
    }
}

/// Counts an operation when it ends, in whatever way: a dropped future is a caller that has gone.
struct Tally<'a> {
    metrics: &'a Metrics,
    operation: &'static str,
    outcome: &'static str,
    begun: Instant,
}

impl Drop for Tally<'_> {
    fn drop(&mut self) {
        let (operation, outcome) = (self.operation, self.outcome);
        self.metrics.operations.get_or_create(&Ended { operation, outcome }).inc();
        self.metrics.durations.get_or_create(&Operation { operation }).observe(self.begun.elapsed().as_secs_f64());
    }
}

const fn outcome(error: &Error) -> &'static str {
    match error {
        Error::ResponseNotFound(_) | Error::ConversationNotFound(_) | Error::ItemNotFound(_) => "not_found",
        Error::Limit { .. } => "limit",
        Error::DuplicateItem(_) | Error::Exists(_) | Error::Invalid(_) => "invalid",
        Error::Store(_) => "store_failed",
    }
}

impl Metrics {
    /// Does some work and counts it.
    ///
    /// # Errors
    /// The work's own.
    pub async fn observe<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let mut tally = Tally { metrics: self, operation, outcome: "cancelled", begun: Instant::now() };
        let result = work.await;
        tally.outcome = result.as_ref().map_or_else(outcome, |_| "ok");
        if let Err(Error::Store(error)) = &result {
            tracing::error!(%error, operation, "the store failed");
        }
        result
    }

    /// A sweep ended.
    pub fn swept(&self, conversations: u64) {
        self.evicted.inc_by(conversations);
    }

    /// What the store holds now.
    pub fn totals(&self, totals: Totals) {
        let gauge = |number| i64::try_from(number).unwrap_or(i64::MAX);
        self.conversations.set(gauge(totals.conversations));
        self.responses.set(gauge(totals.responses));
    }

    /// The exposition text (OpenMetrics).
    ///
    /// # Errors
    /// [`std::fmt::Error`] when a metric cannot be written.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        text::encode(&mut out, &registry)?;
        Ok(out)
    }
}
