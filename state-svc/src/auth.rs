//! The shared token: who does not show it gets in nowhere but to the health checks.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, header},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use fingerpost_core::error::ApiError;
use subtle::ConstantTimeEq as _;

use crate::http::answer;

/// The token, where one is configured.
#[derive(Clone)]
pub struct Token(pub Option<Arc<str>>);

impl Token {
    /// Whether the headers show it. How long the comparison takes tells no more than the token's length.
    pub(crate) fn admits(&self, headers: &HeaderMap) -> bool {
        let Some(token) = &self.0 else { return true };
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).unwrap_or_default();
        let Some((scheme, shown)) = shown.split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && bool::from(shown.ct_eq(token.as_bytes()))
    }
}

/// Whether the request is a gRPC call.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Lets a request pass, or answers UNAUTHENTICATED or 401.
pub async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let open = path == "/health" || path.starts_with("/grpc.health.v1.Health/");
    if open || token.admits(request.headers()) {
        return next.run(request).await;
    }
    let message = "The shared token of the state service is missing or wrong.";
    if is_grpc(request.headers()) {
        return tonic::Status::unauthenticated(message).into_http::<axum::body::Body>().into_response();
    }
    answer(&ApiError::new(401, "authentication_error", message))
}
