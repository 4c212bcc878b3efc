//! `/v1/conversations` and what is below it.

use std::collections::BTreeMap;

use axum::{
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    http::StatusCode,
    response::Response,
};
use fingerpost_core::error::ApiError;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::Value;

use super::{
    App, Owner, Path, Refusal, items, json,
    page::{Page, Query, list as list_object, only_include},
};
use crate::domain::{Error, Object, document::item_id, ids::ConversationId};

/// A request body, as far as it could be read.
type Body = Result<Bytes, BytesRejection>;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Create {
    metadata: Option<Value>,
    items: Option<Vec<Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Update {
    metadata: Value,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Append {
    items: Vec<Value>,
}

/// An id that is none of ours names nothing that is stored.
fn parse(id: &str) -> Result<ConversationId, Refusal> {
    ConversationId::parse(id).map_err(|_| Error::ConversationNotFound(id.to_owned()).into())
}

fn read<T: DeserializeOwned>(app: &App, body: Body) -> Result<T, Refusal> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let message = format!("The request body is larger than {} bytes.", app.max_body);
            ApiError::new(413, "invalid_request_error", message).code("request_too_large")
        }
        _ => ApiError::invalid("The request body could not be read."),
    })?;
    let text: &[u8] = if body.is_empty() { b"{}" } else { &body };
    serde_json::from_slice(text)
        .map_err(|error| ApiError::invalid(format!("The request body does not read: {error}.")).into())
}

/// OpenAI's bounds: 16 pairs, keys of 64 characters, values of 512.
fn metadata(value: Option<Value>) -> Result<BTreeMap<String, String>, ApiError> {
    let bad = |message: String, param: &str| ApiError::invalid(message).param(param).code("invalid_value");
    let pairs = match value {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(pairs)) => pairs,
        Some(_) => return Err(bad("Invalid 'metadata': expected an object of strings.".to_owned(), "metadata")),
    };
    if pairs.len() > 16 {
        return Err(bad(format!("Invalid 'metadata': {} pairs, at most 16.", pairs.len()), "metadata"));
    }
    let mut out = BTreeMap::new();
    for (key, value) in pairs {
        let param = format!("metadata.{key}");
        if key.chars().count() > 64 {
            return Err(bad("Invalid 'metadata': a key is longer than 64 characters.".to_owned(), "metadata"));
        }
        match value {
            Value::String(value) if value.chars().count() <= 512 => drop(out.insert(key, value)),
            Value::String(_) => return Err(bad(format!("Invalid '{param}': longer than 512 characters."), &param)),
            _ => return Err(bad(format!("Invalid '{param}': expected a string."), &param)),
        }
    }
    Ok(out)
}

fn object(object: &Object) -> Response {
    let body = serde_json::json!({
        "id": object.id,
        "object": "conversation",
        "created_at": object.created_at,
        "metadata": object.metadata,
    });
    json(body.to_string().into_bytes())
}

pub(super) async fn create(State(app): State<App>, owner: Owner, body: Body) -> Result<Response, Refusal> {
    let body: Create = read(&app, body)?;
    let metadata = metadata(body.metadata)?;
    let id = ConversationId::mint();
    let items = items::prepare(body.items.unwrap_or_default(), &id)?;
    let work = app.conversations.create(&owner.current, &id, metadata, &items);
    Ok(object(&app.metrics.observe("create_conversation", work).await?))
}

pub(super) async fn get(State(app): State<App>, owner: Owner, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    Ok(object(&app.metrics.observe("get_conversation", app.conversations.object(owner, &id)).await?))
}

pub(super) async fn update(
    State(app): State<App>,
    owner: Owner,
    Path(id): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let body: Update = read(&app, body)?;
    let work = app.conversations.update(owner, &id, metadata(Some(body.metadata))?);
    Ok(object(&app.metrics.observe("update_conversation", work).await?))
}

pub(super) async fn delete(State(app): State<App>, owner: Owner, Path(id): Path<String>) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    app.metrics.observe("delete_conversation", app.conversations.delete_object(owner, &id)).await?;
    let body = serde_json::json!({"id": id.as_str(), "object": "conversation.deleted", "deleted": true});
    Ok(json(body.to_string().into_bytes()))
}

pub(super) async fn list(
    State(app): State<App>,
    owner: Owner,
    Path(id): Path<String>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    let page = Page::read(&query)?;
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let items = app.metrics.observe("list_items", app.conversations.items(owner, &id)).await?;
    Ok(json(page.of(items)?))
}

pub(super) async fn append(
    State(app): State<App>,
    owner: Owner,
    Path(id): Path<String>,
    Query(query): Query,
    body: Body,
) -> Result<Response, Refusal> {
    only_include(&query)?;
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let body: Append = read(&app, body)?;
    if body.items.is_empty() {
        return Err(ApiError::invalid("Invalid 'items': expected at least one.").param("items").into());
    }
    let items = items::prepare(body.items, &id)?;
    app.metrics.observe("append_items", app.conversations.append(owner, &id, &items)).await?;
    Ok(json(list_object(&items, false)))
}

pub(super) async fn item(
    State(app): State<App>,
    owner: Owner,
    Path((id, item)): Path<(String, String)>,
    Query(query): Query,
) -> Result<Response, Refusal> {
    only_include(&query)?;
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    let work = async {
        let items = app.conversations.items(owner, &id).await?;
        let found = items.into_iter().find(|one| item_id(one).as_ref() == Some(&item));
        found.ok_or(Error::ItemNotFound(item))
    };
    Ok(json(app.metrics.observe("get_item", work).await?))
}

pub(super) async fn delete_item(
    State(app): State<App>,
    owner: Owner,
    Path((id, item)): Path<(String, String)>,
) -> Result<Response, Refusal> {
    let id = parse(&id)?;
    let owner = owner.of(&app, id.conversation).await?;
    Ok(object(&app.metrics.observe("delete_item", app.conversations.delete_item(owner, &id, &item)).await?))
}
