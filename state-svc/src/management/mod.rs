//! The management API: what the classifier says of a text, and what the gateway would do with it. For operators, not for clients:
//! it has a port of its own, and nothing that it does reaches a backend.

mod classifier;
mod classify;
mod eval;
mod gate;
mod info;
mod masks;
mod views;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
    time::Instant,
};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, rejection::BytesRejection},
    http::{StatusCode, header},
    middleware,
    response::{IntoResponse as _, Response},
    routing::{MethodRouter, get, post},
};
use fingerpost_core::{
    config::{Config, JailbreakGuard, PiiGuard},
    error::ApiError,
    plugin::{Plugin, PluginError},
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;

use self::classifier::Classifier;
use crate::{
    auth::Token,
    http::{Refusal, method_not_allowed, unknown},
};

/// Requests that are worked on at once; beyond it 503. With the bound on bodies it bounds memory.
const AT_ONCE: usize = 32;

/// What the management API needs to know.
#[derive(Clone)]
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The token that callers must show.
    pub token: Option<String>,
    /// The gateway's configuration.
    pub gateway: Config,
}

/// Why it does not start.
#[derive(Debug, thiserror::Error)]
pub enum ManagementError {
    /// The gateway's configuration cannot serve.
    #[error(transparent)]
    Plugin(#[from] PluginError),
    /// The classifier's address is none.
    #[error("callouts.classifier.address: {0}")]
    Address(String),
}

/// What all handlers share.
struct Inner {
    plugin: Plugin,
    classifier: Classifier,
    /// The configured guards; where one is not, its defaults, by which its verdicts are still told.
    pii: PiiGuard,
    jailbreak: JailbreakGuard,
    show_values: bool,
    max_body: usize,
    token: Token,
    slots: Semaphore,
    started: Instant,
    draining: Arc<AtomicBool>,
}

type App = Arc<Inner>;

/// Every path, and who answers there.
fn routes() -> [(&'static str, MethodRouter<App>); 11] {
    [
        ("/api/v1/classify/intent", post(classify::intent)),
        ("/api/v1/classify/pii", post(classify::pii)),
        ("/api/v1/classify/security", post(classify::security)),
        ("/api/v1/classify/combined", post(classify::combined)),
        ("/api/v1/classify/batch", post(classify::batch)),
        ("/api/v1/embeddings", post(classify::embeddings)),
        ("/api/v1/eval", post(eval::eval)),
        ("/info/models", get(info::models)),
        ("/health", get(info::health)),
        ("/openapi.json", get(info::openapi)),
        ("/docs", get(info::docs)),
    ]
}

/// All of its paths, behind its gate. The classifier need not be there yet. Must be called on a runtime.
///
/// # Errors
/// [`ManagementError`].
pub fn router(settings: Settings, draining: Arc<AtomicBool>) -> Result<Router, ManagementError> {
    let config = settings.gateway;
    let guards = config.guards.clone();
    let app = Arc::new(Inner {
        classifier: Classifier::new(&config.callouts.classifier.address, guards.timeout.duration())?,
        pii: guards.pii.unwrap_or_default(),
        jailbreak: guards.jailbreak.unwrap_or_default(),
        show_values: config.management.as_ref().is_some_and(|management| management.show_values),
        max_body: config.limits.max_body.bytes(),
        token: Token(settings.token.as_deref().map(Arc::from)),
        slots: Semaphore::new(AT_ONCE),
        started: Instant::now(),
        draining,
        // Ids and owners have no part in this: no key is needed.
        plugin: Plugin::new::<&str>(config, &[], 0)?,
    });
    let router = routes().into_iter().fold(Router::new(), |router, (path, route)| router.route(path, route));
    Ok(router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(unknown)
        .layer(DefaultBodyLimit::max(app.max_body))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate::bounds))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), gate::admit))
        .with_state(app))
}

/// A request body, as far as it could be read.
type Body = Result<Bytes, BytesRejection>;

/// Reads a body. What is wrong with it is said without repeating it: it may hold what a guard would keep from a log.
fn read<T: DeserializeOwned>(app: &Inner, body: Body, expected: &str) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("The request body is larger than {} bytes (`limits.max_body`).", app.max_body);
            ApiError::new(413, "invalid_request_error", message).code("request_too_large")
        }
        _ => ApiError::invalid("The request body could not be read."),
    })?;
    serde_json::from_slice(&body).map_err(|error| {
        let message = format!(
            "The request body does not read at line {}, column {}: expected {expected}, and no other member.",
            error.line(),
            error.column()
        );
        ApiError::invalid(message).code("invalid_body").into()
    })
}

fn json(value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Err(error) => Refusal::from(ApiError::new(500, "server_error", error.to_string())).into_response(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_names_every_path_and_no_other() {
        let document: serde_json::Value = serde_json::from_str(include_str!("openapi.json")).unwrap();
        let described: BTreeSet<String> = document["paths"].as_object().unwrap().keys().cloned().collect();
        let served: BTreeSet<String> = routes().into_iter().map(|(path, _)| path.to_owned()).collect();
        assert_eq!(described, served);
        assert_eq!(document["openapi"], "3.1.0");
    }
}
