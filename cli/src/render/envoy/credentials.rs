//! Tokens for backends and for the state service: Envoy reads them where they are, and they stand in no rendered file and no
//! config dump.

use std::path::Path;

use fingerpost_core::config::{Auth, Config, Secret};
use serde_json::{Value, json};

use super::{Options, Pool, resolved};

/// A token, and the name that Envoy knows it by.
pub(super) struct Token<'a> {
    name: String,
    source: Source<'a>,
}

enum Source<'a> {
    Variable(&'a str),
    File(&'a Path),
}

impl<'a> Token<'a> {
    /// What a model's backends get.
    pub(super) fn of_model(pool: &Pool<'a>) -> Option<Self> {
        let source = match &pool.model.auth {
            Auth::None | Auth::Passthrough => return None,
            Auth::BearerEnv(variable) => Source::Variable(variable),
            Auth::BearerFile(path) => Source::File(path),
        };
        Some(Self { name: format!("bearer_{}", pool.cluster), source })
    }

    /// What the state service gets.
    pub(super) fn of_state(config: &'a Config) -> Option<Self> {
        let state = &config.callouts.state;
        let source = match state.token.as_ref()? {
            Secret::Env(variable) => Source::Variable(variable),
            Secret::File(path) => Source::File(path),
        };
        Some(Self { name: format!("bearer_{}", state.cluster), source })
    }

    /// The static secret.
    pub(super) fn secret(&self, options: &Options) -> Value {
        let source = match self.source {
            Source::Variable(variable) => json!({"environment_variable": variable}),
            Source::File(path) => json!({"filename": resolved(path, options)}),
        };
        json!({"name": self.name, "generic_secret": {"secret": source}})
    }

    /// The upstream filter that writes `authorization: Bearer ...`, and refuses the request where there is no token.
    pub(super) fn injector(&self) -> Value {
        json!({
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
                        "credential": {"name": self.name},
                    },
                },
            },
        })
    }
}
