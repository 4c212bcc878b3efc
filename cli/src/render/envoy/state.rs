//! The state service: one cluster for the filter's callouts and for the requests that it answers itself, and their route.

use fingerpost_core::{
    config::{Config, Millis, Target},
    headers::SERVICE,
};
use serde_json::{Map, Value, json};

use super::{
    Error, Options, buffer_limit,
    clusters::{PROTOCOL_OPTIONS, circuit_breakers, discovery, http2, policies, round_robin, upstream_codec},
    credentials::Token,
    duration, target, tls,
};

/// The name of its route, by which local replies know it.
pub(super) const ROUTE: &str = "state";

// A long conversation takes longer to read than what a callout waits for.
const LEAST_TIMEOUT: Millis = Millis(15_000);
const RETRIES: u64 = 2;

/// HTTP/2, every replica behind its name, a ping that finds a dead connection.
pub(super) fn cluster(config: &Config, options: &Options) -> Result<Value, Error> {
    let callout = &config.callouts.state;
    let bad = |_| Error::Address { path: "callouts.state.address", value: callout.address.clone() };
    let address: Target = callout.address.parse().map_err(bad)?;
    let mut host = Map::from_iter([("address".to_owned(), target(&address))]);
    if let Target::Host { name, .. } = &address {
        host.insert("hostname".to_owned(), json!(name));
    }
    let mut cluster = Map::from_iter([
        ("name".to_owned(), json!(callout.cluster)),
        ("connect_timeout".to_owned(), json!(duration(callout.timeout))),
        ("per_connection_buffer_limit_bytes".to_owned(), json!(buffer_limit(config))),
        ("circuit_breakers".to_owned(), circuit_breakers()),
        ("load_balancing_policy".to_owned(), policies(round_robin())),
        (
            "load_assignment".to_owned(),
            json!({"cluster_name": callout.cluster, "endpoints": [{"lb_endpoints": [{"endpoint": host}]}]}),
        ),
        (
            "typed_extension_protocol_options".to_owned(),
            json!({PROTOCOL_OPTIONS: http2(&[authorization(config), upstream_codec()])}),
        ),
    ]);
    discovery(&mut cluster, matches!(address, Target::Host { .. }));
    if let Some(tls) = &callout.tls {
        cluster.insert("transport_socket".to_owned(), tls::transport_socket(tls, tls::Http::Two, options));
    }
    Ok(Value::Object(cluster))
}

/// The shared token where there is one; the client's own `Authorization` is none of the service's business.
fn authorization(config: &Config) -> Value {
    let remove = || {
        json!({
            "name": "envoy.filters.http.header_mutation",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
                "mutations": {"request_mutations": [{"remove": "authorization"}]},
            },
        })
    };
    Token::of_state(config).map_or_else(remove, |token| token.injector())
}

/// The requests that the filter hands to the service.
pub(super) fn route(config: &Config) -> Value {
    let callout = &config.callouts.state;
    json!({
        "name": ROUTE,
        "match": {
            "prefix": "/",
            "headers": [{"name": SERVICE, "string_match": {"exact": "state"}}],
        },
        "request_body_buffer_limit": buffer_limit(config),
        "route": {
            "cluster": callout.cluster,
            "timeout": duration(callout.timeout.max(LEAST_TIMEOUT)),
            // Only what never reached the service: an append must not be done twice.
            "retry_policy": {
                "retry_on": "connect-failure,refused-stream,reset-before-request",
                "num_retries": RETRIES,
            },
        },
    })
}
