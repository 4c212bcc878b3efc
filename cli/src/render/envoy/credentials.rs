//! A backend's credentials: Envoy reads them where they are, and they stand in no rendered file and no config dump.

use fingerpost_core::config::Auth;
use serde_json::{Value, json};

use super::{Options, Pool, resolved};

fn secret_name(pool: &Pool<'_>) -> String {
    format!("bearer_{}", pool.cluster)
}

/// The static secret of a model that has a token.
pub(super) fn secret(pool: &Pool<'_>, options: &Options) -> Option<Value> {
    let source = match &pool.model.auth {
        Auth::None | Auth::Passthrough => return None,
        Auth::BearerEnv(variable) => json!({"environment_variable": variable}),
        Auth::BearerFile(path) => json!({"filename": resolved(path, options)}),
    };
    Some(json!({"name": secret_name(pool), "generic_secret": {"secret": source}}))
}

/// The upstream filter that writes `authorization: Bearer ...`, and refuses the request where there is no token.
pub(super) fn injector(pool: &Pool<'_>) -> Option<Value> {
    if matches!(pool.model.auth, Auth::None | Auth::Passthrough) {
        return None;
    }
    Some(json!({
        "name": "envoy.filters.http.credential_injector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.credential_injector.v3.CredentialInjector",
            "overwrite": true,
            "allow_request_without_credential": false,
            "credential": {
                "name": "envoy.http.injected_credentials.generic",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.http.injected_credentials.generic.v3.Generic",
                    "header": "authorization",
                    "header_value_prefix": "Bearer ",
                    "credential": {"name": secret_name(pool)},
                },
            },
        },
    }))
}
