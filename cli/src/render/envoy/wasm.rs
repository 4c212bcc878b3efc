//! The filter in Envoy: its code, and the whole configuration as its plugin configuration.

use fingerpost_core::config::Config;
use serde_json::{Value, json};

use super::{Error, Options};

pub(super) fn filter(config: &Config, options: &Options) -> Result<Value, Error> {
    Ok(json!({
        "name": "envoy.filters.http.wasm",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {
                "name": "fingerpost",
                "root_id": "fingerpost",
                // The request whose VM broke fails closed; the next one gets a fresh VM instead of a dead worker.
                "failure_policy": "FAIL_RELOAD",
                "reload_config": {"backoff": {"base_interval": "0.1s", "max_interval": "1s"}},
                // Pausing in the header callback holds the headers and still delivers the body.
                "allow_on_headers_stop_iteration": true,
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": serde_json::to_string(config)?,
                },
                "vm_config": {
                    "vm_id": "fingerpost",
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": options.wasm}},
                },
            },
        },
    }))
}
