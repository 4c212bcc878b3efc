//! Who may ask. Loopback is not private: every page that a browser on this machine shows can send requests to it, directly or under a
//! name that it makes point here (DNS rebinding). So without a token only loopback names are answered, and what a page of another
//! origin sends never is.

use std::{net::IpAddr, time::Duration};

use axum::{
    extract::{Request, State},
    http::{HeaderMap, Method, Uri, header},
    middleware::Next,
    response::Response,
};
use fingerpost_core::{error::ApiError, headers::is_json};

use super::App;
use crate::http::answer;

/// Longest time for a request, its body included: a slow one must not hold its place.
const LONGEST: Duration = Duration::from_secs(60);
/// What tells nothing of this installation but that it is there.
const OPEN: [&str; 3] = ["/health", "/docs", "/openapi.json"];

/// Lets in who may ask.
pub(super) async fn admit(State(app): State<App>, request: Request, next: Next) -> Response {
    match check(&app, &request) {
        Ok(()) => next.run(request).await,
        Err(error) => answer(&error),
    }
}

/// Bounds how many requests are worked on at once, and for how long.
pub(super) async fn bounds(State(app): State<App>, request: Request, next: Next) -> Response {
    let Ok(_slot) = app.slots.try_acquire() else {
        let message = "Too many requests at once; try again.";
        return answer(&ApiError::new(503, "server_error", message).code("overloaded"));
    };
    match tokio::time::timeout(LONGEST, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let message = format!("The request took longer than {} seconds.", LONGEST.as_secs());
            answer(&ApiError::new(503, "server_error", message).code("timeout"))
        }
    }
}

fn check(app: &App, request: &Request) -> Result<(), ApiError> {
    let (headers, path) = (request.headers(), request.uri().path());
    let host = host(headers, request.uri());
    if app.token.0.is_none() && !host.is_some_and(is_loopback) {
        return Err(forbidden("host_not_allowed", "Without a token only requests to a loopback address are answered."));
    }
    if !same_origin(headers, host) {
        return Err(forbidden("cross_origin", "Requests of other origins' pages are not answered."));
    }
    if !OPEN.contains(&path) && !app.token.admits(headers) {
        let message = "The management token is missing or wrong; send it as `Authorization: Bearer ...`.";
        return Err(ApiError::new(401, "authentication_error", message).code("invalid_token"));
    }
    if request.method() != Method::POST {
        return Ok(());
    }
    // A page may send other types to other origins without asking first.
    if !headers.get(header::CONTENT_TYPE).is_some_and(|value| is_json(value.as_bytes())) {
        let message = "Unsupported content type; send `application/json`.";
        return Err(ApiError::new(415, "invalid_request_error", message).code("unsupported_media_type"));
    }
    match headers.get(header::CONTENT_ENCODING) {
        Some(value) if !value.as_bytes().eq_ignore_ascii_case(b"identity") => {
            let message = "Unsupported content encoding; send the body uncompressed.";
            Err(ApiError::new(415, "invalid_request_error", message).code("unsupported_content_encoding"))
        }
        _ => Ok(()),
    }
}

fn forbidden(code: &'static str, message: &str) -> ApiError {
    ApiError::new(403, "permission_error", message).code(code)
}

/// The host and port that the client believes to talk to; none where it says none, or more than one.
fn host<'a>(headers: &'a HeaderMap, uri: &'a Uri) -> Option<&'a str> {
    let mut named = headers.get_all(header::HOST).iter().map(|value| value.to_str().ok());
    let authority = uri.authority().map(axum::http::uri::Authority::as_str);
    match (named.next(), named.next(), authority) {
        (Some(host), None, None) => host,
        (Some(host), None, Some(authority)) => host.filter(|host| host.eq_ignore_ascii_case(authority)),
        (None, _, authority) => authority,
        (Some(_), Some(_), _) => None,
    }
}

fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or("", |(address, _)| address),
        None => host.split_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Whether no page of another origin sent it, as far as a browser says (Fetch standard; Fetch Metadata).
fn same_origin(headers: &HeaderMap, host: Option<&str>) -> bool {
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().ok());
    let same = origin.is_none_or(|origin| {
        let named = origin.and_then(|origin| origin.split_once("://")).map(|(_, host)| host);
        named.zip(host).is_some_and(|(origin, host)| origin.eq_ignore_ascii_case(host))
    });
    let site =
        headers.get("sec-fetch-site").is_none_or(|site| [&b"same-origin"[..], b"none"].contains(&site.as_bytes()));
    // To follow a link from elsewhere to the documentation does no harm, and its page reads nothing.
    let follows = headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
    same && (site || (follows && origin.is_none()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_has_many_names_and_no_others() {
        for host in ["localhost", "LocalHost:8080", "127.0.0.1:8080", "127.9.9.9", "[::1]:8080", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["", "localhost.evil.test", "127.0.0.1.evil.test:8080", "10.0.0.1", "[::2]", "[::1", "evil.test"] {
            assert!(!is_loopback(host), "{host}");
        }
    }
}
