//! The data plane's listener: what Envoy itself refuses, bounds and rewrites before and after the filter.

use fingerpost_core::config::{Config, Millis};
use serde_json::{Value, json};

use super::{Error, Options, buffer_limit, duration, listen, local_reply, routes, socket, wasm};

// Between the first byte of a request's headers and their last.
const HEADERS_TIMEOUT: Millis = Millis(15_000);

pub(super) fn data(config: &Config, options: &Options) -> Result<Value, Error> {
    Ok(json!({
        "name": "data",
        "address": socket(listen("listen.data", &config.listen.data)?),
        "per_connection_buffer_limit_bytes": buffer_limit(config),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager(config, options)?,
        }]}],
    }))
}

fn connection_manager(config: &Config, options: &Options) -> Result<Value, Error> {
    let mut manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "data",
        "codec_type": "AUTO",
        // Trailers reach the filter, which refuses them, instead of vanishing.
        "http_protocol_options": {"enable_trailers": true},
        "normalize_path": true,
        "merge_slashes": true,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "use_remote_address": true,
        // No client is internal: `x-envoy-*` of every one of them is removed.
        "internal_address_config": {"unix_sockets": false},
        "generate_request_id": true,
        "preserve_external_request_id": true,
        "always_set_request_id_in_response": true,
        "server_name": "fingerpost",
        "request_headers_timeout": duration(HEADERS_TIMEOUT),
        "stream_idle_timeout": duration(longest_idle(config)),
        "local_reply_config": local_reply::config(),
        "route_config": routes::config(config),
        "http_filters": [wasm::filter(config, options)?, router()],
    });
    if let (Some(header), Some(manager)) = (&config.owner.header, manager.as_object_mut()) {
        manager.insert("early_header_mutation_extensions".to_owned(), json!([without(header)]));
    }
    Ok(manager)
}

/// Before any filter: a client that names the owner itself would be whoever it likes.
fn without(header: &str) -> Value {
    json!({
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"remove": header}],
        },
    })
}

/// The stream's own limit must not cut a model's longer one, which stands on its route.
fn longest_idle(config: &Config) -> Millis {
    config.models.iter().map(|model| model.idle_timeout).max().unwrap_or(Millis(300_000))
}

fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": true,
        },
    })
}
