//! `/metrics` and `/healthz`, on a port of their own.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};

use crate::{grpc::Slot, metrics::Metrics};

/// What the two pages show.
#[derive(Clone)]
pub struct Pages {
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Empty while the model loads.
    pub slot: Slot,
    /// Set once a shutdown has begun.
    pub draining: Arc<AtomicBool>,
}

/// The router of both pages.
pub fn router(pages: Pages) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(pages)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    pages.metrics.queue_depth(pages.slot.get().map_or(0, |analyzer| analyzer.queued()));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match pages.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn healthz(State(pages): State<Pages>) -> Response {
    if pages.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else if pages.slot.get().is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "loading\n").into_response()
    } else {
        (StatusCode::OK, "ok\n").into_response()
    }
}
