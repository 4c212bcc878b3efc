//! `/v1/responses/{id}` and what is below it.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse as _, Response},
};
use fingerpost_core::{error::ApiError, responses::replay::replay};

use super::{
    App, Owner, Path, Refusal, json,
    page::{Page, Query, include, unknown},
};
use crate::domain::{Error, ids::ResponseId};

/// An id that is none of ours names nothing that is stored.
fn parse(id: &str) -> Result<ResponseId, Refusal> {
    ResponseId::parse(id).map_err(|_| Error::ResponseNotFound(id.to_owned()).into())
}

/// How a stored response is asked for.
#[derive(Default)]
struct Asked {
    stream: bool,
    starting_after: Option<u64>,
}

fn asked(query: &[(String, String)]) -> Result<Asked, ApiError> {
    let mut asked = Asked::default();
    let bad = |name: &str, value: &str, expected: &str| {
        ApiError::invalid(format!("Invalid '{name}': '{value}'. Expected {expected}."))
            .param(name)
            .code("invalid_value")
    };
    let boolean = |name: &str, value: &str| value.parse::<bool>().map_err(|_| bad(name, value, "'true' or 'false'"));
    for (name, value) in query {
        match name.as_str() {
            "stream" => asked.stream = boolean(name, value)?,
            "starting_after" => {
                let number = value.parse().map_err(|_| bad(name, value, "an event's sequence number"))?;
                asked.starting_after = Some(number);
            }
            // A stored response is given without the padding that obfuscation adds.
            "include_obfuscation" => drop(boolean(name, value)?),
            name if name == "include" || name.starts_with("include[") => include(name, value)?,
            name => return Err(unknown(name)),
        }
    }
    if asked.starting_after.is_some() && !asked.stream {
        return Err(ApiError::invalid("'starting_after' needs 'stream=true'.").param("starting_after"));
    }
    Ok(asked)
}

pub(super) async fn get(
    State(app): State<App>,
    owner: Owner,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let asked = asked(&query)?;
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let response = app.metrics.observe("get_response", app.conversations.response(owner, &id)).await?;
    if !asked.stream {
        return Ok(json(response));
    }
    let events = replay(&response, asked.starting_after)?;
    let headers = [(header::CONTENT_TYPE, "text/event-stream; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, events).into_response())
}

pub(super) async fn delete(State(app): State<App>, owner: Owner, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    app.metrics.observe("delete_response", app.conversations.delete_response(owner, &id)).await?;
    let body = serde_json::json!({"id": id.as_str(), "object": "response", "deleted": true});
    Ok(json(body.to_string().into_bytes()))
}

/// What is stored here was finished before it was stored.
pub(super) async fn cancel(State(app): State<App>, owner: Owner, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    app.metrics.observe("cancel_response", app.conversations.response(owner, &id)).await?;
    Err(ApiError::invalid(
        "Cannot cancel a synchronous response: only a response created with background=true can be cancelled.",
    )
    .into())
}

pub(super) async fn input_items(
    State(app): State<App>,
    owner: Owner,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let page = Page::read(&query)?;
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let items = app.metrics.observe("list_input_items", app.conversations.input_items(owner, &id)).await?;
    Ok(json(page.of(items)?))
}
