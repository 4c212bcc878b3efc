//! The HTTP edge, for clients: what is stored, in the shapes of OpenAI's API. Envoy brings requests here after the filter has
//! checked their ids and named their owner.

mod conversations;
pub mod items;
mod page;
mod responses;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, FromRequestParts, State},
    http::{HeaderMap, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use fingerpost_core::error::ApiError;
use serde::de::DeserializeOwned;

use crate::{
    domain::{Conversations, Error, Owners, StoreError},
    metrics::Metrics,
};

/// The header in which the filter names the owner; clients' own are stripped before.
pub const OWNER: &str = "x-fingerpost-owner";

/// The header in which the filter names the owner as older keys made it, parted by commas.
pub const OLDER_OWNERS: &str = "x-fingerpost-older-owners";

/// What all handlers share.
#[derive(Clone)]
pub struct App {
    /// What is stored.
    pub conversations: Arc<Conversations>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Set once a shutdown has begun.
    pub draining: Arc<AtomicBool>,
    /// Set while the store takes no writes.
    pub store_failed: Arc<AtomicBool>,
    /// Largest request body.
    pub max_body: usize,
}

/// All of our paths, added to those of gRPC.
pub fn router(app: App, grpc: Router) -> Router {
    let max_body = app.max_body;
    let ours = Router::new()
        .route("/health", get(health))
        .route("/metrics", get(metrics))
        .route("/v1/responses/{id}", get(responses::get).delete(responses::delete))
        .route("/v1/responses/{id}/cancel", post(responses::cancel))
        .route("/v1/responses/{id}/input_items", get(responses::input_items))
        .route("/v1/conversations", post(conversations::create))
        .route(
            "/v1/conversations/{id}",
            get(conversations::get).post(conversations::update).delete(conversations::delete),
        )
        .route("/v1/conversations/{id}/items", get(conversations::list).post(conversations::append))
        .route("/v1/conversations/{id}/items/{item}", get(conversations::item).delete(conversations::delete_item))
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(max_body))
        .with_state(app);
    grpc.merge(ours).fallback(unknown)
}

pub(crate) async fn unknown(headers: HeaderMap, uri: axum::http::Uri) -> Response {
    if crate::auth::is_grpc(&headers) {
        return tonic::Status::unimplemented("no such method").into_http::<axum::body::Body>().into_response();
    }
    answer(&ApiError::new(404, "invalid_request_error", format!("Invalid URL ({})", uri.path())))
}

pub(crate) async fn method_not_allowed() -> Response {
    answer(&ApiError::new(405, "invalid_request_error", "Not allowed on this URL.").code("method_not_supported"))
}

async fn health(State(app): State<App>) -> Response {
    if app.draining.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n").into_response()
    } else if app.store_failed.load(Ordering::Relaxed) {
        (StatusCode::SERVICE_UNAVAILABLE, "the store takes no writes\n").into_response()
    } else {
        (StatusCode::OK, "ok\n").into_response()
    }
}

async fn metrics(State(app): State<App>) -> Response {
    match app.conversations.totals().await {
        Ok(totals) => app.metrics.totals(totals),
        Err(error) => tracing::warn!(%error, "the store's totals cannot be had; the gauges are old"),
    }
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    match app.metrics.render() {
        Ok(text) => ([(header::CONTENT_TYPE, kind)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// An error as a response.
#[must_use]
pub fn answer(error: &ApiError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], error.body()).into_response()
}

/// A JSON body, made already.
fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// What a handler refuses with.
pub(crate) struct Refusal(ApiError);

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        answer(&self.0)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(error)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        Self(match error {
            Error::ResponseNotFound(_) | Error::ConversationNotFound(_) | Error::ItemNotFound(_) => missing(message),
            Error::Limit { .. } => ApiError::invalid(message).code("conversation_limit_reached"),
            Error::DuplicateItem(_) => ApiError::invalid(message).param("items"),
            Error::Invalid(_) => ApiError::invalid(message),
            Error::Exists(_) => ApiError::new(409, "invalid_request_error", message),
            Error::Store(StoreError::Damaged { .. }) => {
                ApiError::new(500, "server_error", "What is stored does not read.")
            }
            Error::Store(_) => ApiError::new(503, "server_error", "The store of conversations cannot be reached.")
                .code("store_unavailable"),
        })
    }
}

/// As OpenAI's API answers for what is not there: no code.
fn missing(message: impl Into<String>) -> ApiError {
    ApiError::new(404, "invalid_request_error", message)
}

/// What stands in the path's variable places.
struct Path<T>(T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(values)) => Ok(Self(values)),
            Err(error) => Err(ApiError::invalid(format!("The URL does not read: {error}.")).into()),
        }
    }
}

/// Whose request it is.
struct Owner {
    /// As of today.
    current: String,
    /// As older keys made it.
    older: Vec<String>,
}

impl Owner {
    /// The form that has the conversation.
    async fn of(&self, app: &App, conversation: u64) -> Result<&str, Refusal> {
        let owners = Owners { current: &self.current, older: &self.older };
        Ok(app.conversations.owning(owners, conversation).await?)
    }
}

impl<S: Sync> FromRequestParts<S> for Owner {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        let header = |name| parts.headers.get(name).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
        let older = header(OLDER_OWNERS).into_iter().flat_map(|value| value.split(',')).map(str::to_owned).collect();
        match header(OWNER).filter(|value| !value.is_empty()) {
            Some(value) => Ok(Self { current: value.to_owned(), older }),
            None => {
                let message = "The request names no owner: it must come through the router.";
                Err(Refusal(ApiError::new(401, "authentication_error", message)))
            }
        }
    }
}
