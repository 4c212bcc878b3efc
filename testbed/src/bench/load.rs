//! The load generator: closed loop (as fast as it goes) and open loop (at a rate, whatever the answers do).

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, client::conn::http1, header::HeaderMap};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, sync::mpsc, task::JoinSet};

use super::{
    BenchError,
    subject::{Subject, Target},
};
use crate::client::ClientError;

/// Longest latency told apart, in microseconds.
const LONGEST: u64 = 60_000_000;
/// Steps of at least this go by the runtime's timer, which counts in milliseconds.
const TIMER_STEP: Duration = Duration::from_millis(4);

/// What a run saw.
#[derive(Debug)]
pub(super) struct Outcome {
    /// Answers.
    pub requests: u64,
    /// Wall clock.
    pub elapsed: Duration,
    /// Microseconds from when a request was due to its answer's end.
    pub latency: Histogram<u64>,
    /// Sum of `x-classification-time`, in milliseconds, and how many answers had it.
    pub classification: (u64, u64),
}

impl Outcome {
    fn new() -> Result<Self, BenchError> {
        Ok(Self {
            requests: 0,
            elapsed: Duration::ZERO,
            latency: Histogram::new_with_bounds(1, LONGEST, 3)?,
            classification: (0, 0),
        })
    }

    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        // Both have the same bounds.
        let _added = self.latency.add(&other.latency);
        self.classification.0 += other.classification.0;
        self.classification.1 += other.classification.1;
    }
}

/// One keep-alive connection.
struct Connection {
    sender: http1::SendRequest<Full<Bytes>>,
    target: Target,
}

impl Connection {
    async fn open(target: Target) -> Result<Self, BenchError> {
        let wrong = |source: ClientError| BenchError::Request { kind: target.kind.name(), source };
        let stream = TcpStream::connect(target.address).await.map_err(|error| wrong(error.into()))?;
        stream.set_nodelay(true).map_err(|error| wrong(error.into()))?;
        let handshake = http1::handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.map_err(|error| wrong(error.into()))?;
        tokio::spawn(async { connection.await.is_ok() });
        Ok(Self { sender, target })
    }

    /// One exchange, counted from `due`.
    async fn exchange(&mut self, due: Instant, outcome: &mut Outcome) -> Result<(), BenchError> {
        let kind = self.target.kind.name();
        let headers = self.roundtrip().await.map_err(|source| BenchError::Request { kind, source })?;
        let (status, headers) = headers;
        if status != 200 {
            return Err(BenchError::Status { kind, status });
        }
        outcome.requests += 1;
        let micros = u64::try_from(due.elapsed().as_micros()).unwrap_or(u64::MAX);
        outcome.latency.saturating_record(micros);
        let time = headers.get("x-classification-time").and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if let Some(millis) = time {
            outcome.classification.0 += millis;
            outcome.classification.1 += 1;
        }
        Ok(())
    }

    async fn roundtrip(&mut self) -> Result<(u16, HeaderMap), ClientError> {
        // Bare Envoy routes by the header that the filter sets; the filter itself strips it and sets its own.
        let request = Request::post("/v1/chat/completions")
            .header("host", "bench")
            .header("content-type", "application/json")
            .header("authorization", "Bearer sk-bench")
            .header("x-selected-model", "general")
            .body(Full::new(self.target.body.clone()))?;
        self.sender.ready().await?;
        let (parts, mut body) = self.sender.send_request(request).await?.into_parts();
        while let Some(frame) = body.frame().await {
            frame?;
        }
        Ok((parts.status.as_u16(), parts.headers))
    }
}

/// As fast as so many connections go.
pub(super) struct Closed<'a> {
    pub subject: &'a Subject,
    pub bytes: usize,
    pub connections: usize,
}

impl Closed<'_> {
    pub(super) async fn run(&self, time: Duration) -> Result<Outcome, BenchError> {
        let target = self.subject.target(self.bytes);
        let mut workers = JoinSet::new();
        let started = Instant::now();
        for _ in 0..self.connections {
            let target = target.clone();
            workers.spawn(async move {
                let (mut connection, mut outcome) = (Connection::open(target).await?, Outcome::new()?);
                while started.elapsed() < time {
                    connection.exchange(Instant::now(), &mut outcome).await?;
                }
                Ok(outcome)
            });
        }
        gather(workers, started).await
    }
}

/// At a rate, in even steps, over so many connections. A request that finds none free waits, and its wait counts.
pub(super) struct Open {
    pub target: Target,
    pub rate: f64,
    pub connections: usize,
}

impl Open {
    pub(super) async fn run(&self, time: Duration) -> Result<Outcome, BenchError> {
        let mut workers = JoinSet::new();
        let idle = Arc::new(AtomicU64::new(0));
        // Requests that are due and not yet taken: bounded by the schedule's own length.
        let (due_in, due_out) = mpsc::channel::<Instant>(65_536);
        let due_out = Arc::new(tokio::sync::Mutex::new(due_out));
        for _ in 0..self.connections {
            let (target, due_out, idle) = (self.target.clone(), Arc::clone(&due_out), Arc::clone(&idle));
            workers.spawn(async move {
                let (mut connection, mut outcome) = (Connection::open(target).await?, Outcome::new()?);
                idle.fetch_add(1, Ordering::Relaxed);
                loop {
                    let due = due_out.lock().await.recv().await;
                    let Some(due) = due else { return Ok(outcome) };
                    connection.exchange(due, &mut outcome).await?;
                }
            });
        }
        while idle.load(Ordering::Relaxed) < self.connections as u64 && !workers.is_empty() {
            tokio::task::yield_now().await;
        }
        let started = Instant::now();
        self.pace(started, time, &due_in).await;
        drop(due_in);
        gather(workers, started).await
    }

    /// Short steps are yielded away instead of slept: a timer of milliseconds would let arrivals come in bursts.
    async fn pace(&self, started: Instant, time: Duration, due: &mpsc::Sender<Instant>) {
        let step = Duration::from_secs_f64(1.0 / self.rate.max(1.0));
        let mut next = started;
        while next < started + time {
            if step >= TIMER_STEP {
                tokio::time::sleep_until(next.into()).await;
            }
            while Instant::now() < next {
                tokio::task::yield_now().await;
            }
            if due.send(next).await.is_err() {
                return;
            }
            next += step;
        }
    }
}

async fn gather(mut workers: JoinSet<Result<Outcome, BenchError>>, started: Instant) -> Result<Outcome, BenchError> {
    let mut all = Outcome::new()?;
    while let Some(done) = workers.join_next().await {
        match done {
            Ok(outcome) => all.merge(&outcome?),
            Err(error) => {
                let source = ClientError::Io(std::io::Error::other(error));
                return Err(BenchError::Request { kind: "load generator", source });
            }
        }
    }
    all.elapsed = started.elapsed();
    Ok(all)
}
