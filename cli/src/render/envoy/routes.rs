//! Routes: one a model, chosen by the header that the filter sets, before it one for requests that a single endpoint can answer,
//! one for the state service, and a last one for requests that no model got.

use fingerpost_core::{
    config::{Config, Model, RetryOn},
    headers::{AFFINITY, PINNED, PROCESSING_TIME, SELECTED_MODEL},
};
use serde_json::{Map, Value, json};

use super::{Pool, buffer_limit, duration, local_reply, pools, state};

// Tries of Envoy's to find a host that was not tried yet.
const HOST_ATTEMPTS: u64 = 8;

pub(super) fn config(config: &Config) -> Value {
    let mut routes = Vec::new();
    if config.response_api.enabled {
        routes.push(state::route(config));
    }
    for pool in pools(config) {
        if pool.is_pinned(config) {
            routes.push(pinned(&pool, config));
        }
        routes.push(model(&pool, config));
    }
    routes.push(unrouted());
    json!({
        "name": "data",
        "virtual_hosts": [{"name": "data", "domains": ["*"], "routes": routes}],
    })
}

/// What the names of the routes begin with whose requests only one endpoint can answer.
pub(super) const PINNED_ROUTES: &str = "pinned_";

fn model(pool: &Pool<'_>, config: &Config) -> Value {
    let mut action = reached(pool);
    action.insert("cluster".to_owned(), json!(pool.cluster));
    if pool.has_choice() {
        action.insert("hash_policy".to_owned(), json!([{"header": {"header_name": AFFINITY}}]));
    }
    if let Some(retry) = retry(pool) {
        action.insert("retry_policy".to_owned(), retry);
    }
    of_model(pool, config, Route { name: pool.cluster.clone(), matches: vec![], action })
}

/// To the cluster that the filter names: no other host, and no second try.
fn pinned(pool: &Pool<'_>, config: &Config) -> Value {
    let mut action = reached(pool);
    action.insert("cluster_header".to_owned(), json!(PINNED));
    let matches = vec![json!({"name": PINNED, "present_match": true})];
    of_model(pool, config, Route { name: format!("{PINNED_ROUTES}{}", pool.cluster), matches, action })
}

/// In what the routes of a model differ.
struct Route {
    name: String,
    /// What must match beside the model's name.
    matches: Vec<Value>,
    action: Map<String, Value>,
}

fn of_model(pool: &Pool<'_>, config: &Config, route: Route) -> Value {
    let mut matches = vec![json!({"name": SELECTED_MODEL, "string_match": {"exact": pool.model.name}})];
    matches.extend(route.matches);
    json!({
        "name": route.name,
        "match": {"prefix": "/", "headers": matches},
        "request_body_buffer_limit": buffer_limit(config),
        "response_headers_to_add": [
            header(SELECTED_MODEL, &pool.model.name.replace('%', "%%")),
            // The filter sets what a callout took: these headers stand before it sees the response.
            header(PROCESSING_TIME, "0"),
        ],
        "route": route.action,
    })
}

fn header(key: &str, value: &str) -> Value {
    json!({"header": {"key": key, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"})
}

/// What all routes of a model have in common: how its backends are spoken to.
fn reached(pool: &Pool<'_>) -> Map<String, Value> {
    let model = pool.model;
    let mut action = Map::from_iter([
        ("timeout".to_owned(), json!("0s")),
        ("idle_timeout".to_owned(), json!(duration(model.idle_timeout))),
    ]);
    if model.path_prefix != "/v1" {
        action.insert("regex_rewrite".to_owned(), rewrite(&model.path_prefix));
    }
    if let Some(host) = &model.host {
        action.insert("host_rewrite_literal".to_owned(), json!(host));
    } else if pool.is_named() {
        action.insert("auto_host_rewrite".to_owned(), json!(true));
    }
    action
}

/// The `/v1` of the path becomes the backend's own prefix; Envoy keeps the query out of it.
fn rewrite(prefix: &str) -> Value {
    json!({
        "pattern": {"regex": "^/v1(/.*)$"},
        "substitution": format!("{}\\1", prefix.replace('\\', "\\\\")),
    })
}

fn retry(pool: &Pool<'_>) -> Option<Value> {
    let on = match pool.model.retry.on {
        RetryOn::Never => return None,
        RetryOn::Connect => "connect-failure,refused-stream,reset-before-request",
        RetryOn::NoResponse => "connect-failure,refused-stream,reset-before-request,reset",
    };
    let tries = tries(pool.model);
    if tries == 0 {
        return None;
    }
    let mut policy = json!({
        "retry_on": on,
        "num_retries": tries,
        "retry_back_off": {"base_interval": "0.001s", "max_interval": "0.010s"},
    });
    if let (true, Some(policy)) = (pool.is_named(), policy.as_object_mut()) {
        policy.insert("retry_host_predicate".to_owned(), json!([previous_hosts()]));
        policy.insert("host_selection_retry_max_attempts".to_owned(), json!(HOST_ATTEMPTS));
    }
    Some(policy)
}

fn tries(model: &Model) -> u32 {
    let others = u32::try_from(model.endpoints.len()).unwrap_or(u32::MAX).saturating_sub(1);
    model.retry.attempts.min(others)
}

fn previous_hosts() -> Value {
    json!({
        "name": "envoy.retry_host_predicates.previous_hosts",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        },
    })
}

/// The route that a request has until the filter names a model; the filter's change of headers clears it.
fn unrouted() -> Value {
    json!({
        "name": "unrouted",
        "match": {"prefix": "/"},
        "direct_response": {
            "status": 404,
            "body_format": local_reply::body(&local_reply::Reply {
                kind: "invalid_request_error",
                code: "not_found",
                message: "There is nothing at this path.",
            }),
        },
    })
}
