//! Clusters: how each model's endpoints and the classifier are reached.

use fingerpost_core::{
    config::{Config, Endpoint, Target},
    headers::{DESTINATION, GATEWAY_DESTINATION},
};
use serde_json::{Map, Value, json};

use super::{Error, MAX_CONNECTIONS, Options, Pool, buffer_limit, credentials::Token, duration, target, tls};

pub(super) const PROTOCOL_OPTIONS: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
// Under the 5 s after which uvicorn and Node close an idle connection: a request must not meet the closing one.
const UPSTREAM_IDLE: &str = "4s";
// Requests and retries at once; Envoy's own default of 3 retries would fail requests when a busy endpoint dies.
const MAX_REQUESTS: u64 = 65_536;

/// All endpoints of a model.
pub(super) fn model(pool: &Pool<'_>, options: &Options) -> Value {
    let endpoints = pool.model.endpoints.iter().map(lb_endpoint).collect();
    of_model(pool, options, Hosts { name: pool.cluster.clone(), endpoints, policy: load_balancing(pool) })
}

/// One cluster for each endpoint of a model whose backends keep the conversations: what this one has, no other one can answer
/// for.
pub(super) fn pinned(pool: &Pool<'_>, options: &Options) -> Vec<Value> {
    let hosts = pool.model.endpoints.iter().map(|endpoint| Hosts {
        name: pool.model.pinned_cluster(endpoint),
        endpoints: vec![lb_endpoint(endpoint)],
        policy: policies(round_robin()),
    });
    hosts.map(|hosts| of_model(pool, options, hosts)).collect()
}

/// In what the clusters of a model differ.
struct Hosts {
    name: String,
    endpoints: Vec<Value>,
    policy: Value,
}

fn of_model(pool: &Pool<'_>, options: &Options, hosts: Hosts) -> Value {
    let model = pool.model;
    let mut cluster = Map::from_iter([
        ("name".to_owned(), json!(hosts.name)),
        ("connect_timeout".to_owned(), json!(duration(model.connect_timeout))),
        ("circuit_breakers".to_owned(), circuit_breakers()),
        ("load_balancing_policy".to_owned(), hosts.policy),
        (
            "load_assignment".to_owned(),
            json!({"cluster_name": hosts.name, "endpoints": [{"lb_endpoints": hosts.endpoints}]}),
        ),
        ("typed_extension_protocol_options".to_owned(), json!({PROTOCOL_OPTIONS: http1(pool)})),
    ]);
    discovery(&mut cluster, pool.is_named());
    if let Some(tls) = &model.tls {
        cluster.insert("transport_socket".to_owned(), tls::transport_socket(tls, tls::Http::One, options));
    }
    Value::Object(cluster)
}

fn lb_endpoint(endpoint: &Endpoint) -> Value {
    let mut host = Map::from_iter([("address".to_owned(), target(&endpoint.address))]);
    if let Target::Host { name, .. } = &endpoint.address {
        host.insert("hostname".to_owned(), json!(name));
    }
    json!({
        "endpoint": host,
        "load_balancing_weight": endpoint.weight,
        "metadata": {"filter_metadata": {"fingerpost": {"endpoint": endpoint.name()}}},
    })
}

/// Addresses stand as they are; names are resolved, every address of each, as long as the answer says it holds.
pub(super) fn discovery(cluster: &mut Map<String, Value>, named: bool) {
    if !named {
        cluster.insert("type".to_owned(), json!("STATIC"));
        return;
    }
    cluster.insert(
        "cluster_type".to_owned(),
        json!({
            "name": "envoy.clusters.dns",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster",
                "dns_lookup_family": "V4_PREFERRED",
                "respect_dns_ttl": true,
                // The other name's hosts must not wait long for one that does not resolve at first.
                "dns_failure_refresh_rate": {"base_interval": "1s", "max_interval": "5s"},
            },
        }),
    );
}

/// The filter's ordered list where there is one to follow, the affinity key's host else.
fn load_balancing(pool: &Pool<'_>) -> Value {
    let policy = match (pool.has_choice(), pool.is_named()) {
        (false, _) => round_robin(),
        (true, true) => maglev(),
        (true, false) => json!({
            "name": "envoy.load_balancing_policies.override_host",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.override_host.v3.OverrideHost",
                "override_host_sources": [{"header": GATEWAY_DESTINATION}],
                "fallback_policy": policies(maglev()),
            },
        }),
    };
    policies(policy)
}

pub(super) fn policies(policy: Value) -> Value {
    json!({"policies": [{"typed_extension_config": policy}]})
}

fn maglev() -> Value {
    json!({
        "name": "envoy.load_balancing_policies.maglev",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.maglev.v3.Maglev"},
    })
}

pub(super) fn round_robin() -> Value {
    json!({
        "name": "envoy.load_balancing_policies.round_robin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.load_balancing_policies.round_robin.v3.RoundRobin",
        },
    })
}

pub(super) fn circuit_breakers() -> Value {
    json!({"thresholds": [{
        "max_connections": MAX_CONNECTIONS,
        "max_pending_requests": MAX_REQUESTS,
        "max_requests": MAX_REQUESTS,
        "max_retries": MAX_REQUESTS,
    }]})
}

fn http1(pool: &Pool<'_>) -> Value {
    let injector = Token::of_model(pool).map(|token| token.injector());
    let filters: Vec<Value> =
        [Some(header_mutation()), injector, Some(upstream_codec())].into_iter().flatten().collect();
    json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "common_http_protocol_options": {"idle_timeout": UPSTREAM_IDLE},
        "explicit_http_config": {"http_protocol_options": {}},
        "http_filters": filters,
    })
}

/// Runs once the host is chosen, for every try: hides what chose it and whose request it is, and names the endpoint that serves this try to the backend
/// and to the client.
fn header_mutation() -> Value {
    let served_by = json!({"append": {
        "header": {"key": DESTINATION, "value": "%UPSTREAM_METADATA(fingerpost:endpoint)%"},
        "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
    }});
    json!({
        "name": "envoy.filters.http.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {
                "request_mutations": [
                    {"remove": GATEWAY_DESTINATION},
                    {"remove_on_match": {"key_matcher": {"prefix": "x-fingerpost-"}}},
                    {"remove_on_match": {"key_matcher": {"prefix": "x-envoy-"}}},
                    served_by,
                ],
                "response_mutations": [served_by],
            },
        },
    })
}

pub(super) fn upstream_codec() -> Value {
    json!({
        "name": "envoy.filters.http.upstream_codec",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.upstream_codec.v3.UpstreamCodec",
        },
    })
}

/// The classifier: HTTP/2, every replica behind its name, a ping that finds a dead connection.
pub(super) fn classifier(config: &Config) -> Result<Value, Error> {
    let callout = &config.callouts.classifier;
    let bad = |_| Error::Address { path: "callouts.classifier.address", value: callout.address.clone() };
    let address: Target = callout.address.parse().map_err(bad)?;
    let mut cluster = Map::from_iter([
        ("name".to_owned(), json!(callout.cluster)),
        ("connect_timeout".to_owned(), json!(duration(callout.timeout))),
        ("per_connection_buffer_limit_bytes".to_owned(), json!(buffer_limit(config))),
        ("circuit_breakers".to_owned(), circuit_breakers()),
        ("load_balancing_policy".to_owned(), policies(round_robin())),
        (
            "load_assignment".to_owned(),
            json!({
                "cluster_name": callout.cluster,
                "endpoints": [{"lb_endpoints": [{"endpoint": {"address": target(&address)}}]}],
            }),
        ),
        ("typed_extension_protocol_options".to_owned(), json!({PROTOCOL_OPTIONS: http2(&[])})),
    ]);
    discovery(&mut cluster, matches!(address, Target::Host { .. }));
    Ok(Value::Object(cluster))
}

/// HTTP/2 with a ping; `filters` are upstream filters, none where empty.
pub(super) fn http2(filters: &[Value]) -> Value {
    let mut options = json!({
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {
            "connection_keepalive": {"interval": "10s", "timeout": "2s"},
        }},
    });
    if let (false, Some(options)) = (filters.is_empty(), options.as_object_mut()) {
        options.insert("http_filters".to_owned(), json!(filters));
    }
    options
}
