//! The filter in Envoy: its code, and the whole configuration as its plugin configuration.

use std::collections::BTreeSet;

use fingerpost_core::config::{Config, id_key_variable};
use serde_json::{Value, json};

use super::{Error, Options};

pub(super) fn filter(config: &Config, options: &Options) -> Result<Value, Error> {
    let mut vm = json!({
        "vm_id": "fingerpost",
        "runtime": "envoy.wasm.runtime.v8",
        "code": {"local": {"filename": options.wasm}},
    });
    if let (false, Some(vm)) = (config.id_keys.is_empty(), vm.as_object_mut()) {
        vm.insert("environment_variables".to_owned(), json!({"host_env_keys": id_keys(config)}));
    }
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
                "vm_config": vm,
            },
        },
    }))
}

/// The variables that hold the secrets of ids, each once: Envoy refuses a list with a name that stands twice.
fn id_keys(config: &Config) -> BTreeSet<String> {
    config.id_keys.iter().enumerate().map(|(index, secret)| id_key_variable(index, secret)).collect()
}
