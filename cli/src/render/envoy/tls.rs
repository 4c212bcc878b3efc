//! TLS to a backend or a service: the certificate is verified always, against the name that was asked for.

use fingerpost_core::config::Tls;
use serde_json::{Map, Value, json};

use super::{Options, resolved};

/// The version of HTTP that is spoken inside.
#[derive(Debug, Clone, Copy)]
pub(super) enum Http {
    One,
    Two,
}

pub(super) fn transport_socket(tls: &Tls, http: Http, options: &Options) -> Value {
    let alpn = match http {
        Http::One => "http/1.1",
        Http::Two => "h2",
    };
    let ca = tls.ca_file.as_ref().map_or_else(|| options.system_ca.clone(), |path| resolved(path, options));
    let mut context = Map::from_iter([
        ("@type".to_owned(), json!("type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext")),
        // The certificate must name the SNI that was sent, whichever way that was found.
        ("auto_sni_san_validation".to_owned(), json!(true)),
        (
            "common_tls_context".to_owned(),
            json!({
                "alpn_protocols": [alpn],
                "validation_context": {"trusted_ca": {"filename": ca}},
            }),
        ),
    ]);
    match &tls.sni {
        Some(sni) => context.insert("sni".to_owned(), json!(sni)),
        None => context.insert("auto_host_sni".to_owned(), json!(true)),
    };
    json!({"name": "envoy.transport_sockets.tls", "typed_config": context})
}
