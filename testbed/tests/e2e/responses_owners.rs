//! Whose a conversation is, where a filter before ours says so: a header that it sets, or the claim of a token that it verified.

use std::{net::SocketAddr, sync::Arc};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use fingerpost_testbed::{
    client::Call,
    harness::{Stack, StackError},
    suite::Suite,
};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::{
    common::assert_error,
    responses_common::{answered, ask, builder, create, follow, get, id},
    suite,
};

pub(crate) fn suite() -> Suite {
    suite!("responses_owners", boot, [by_a_header_that_a_filter_sets, by_a_verified_claim])
}

async fn boot() -> Result<Stack, StackError> {
    let owner = json!({ "header": "x-tenant", "jwt": { "payload": "token" } });
    builder().state(&json!({ "store_backend": "memory" })).field("owner", owner).start().await
}

/// Puts a filter before all others.
fn before_all(bootstrap: &mut Value, name: &str, config: Value) {
    let filters =
        bootstrap.pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters");
    let filters = filters.and_then(Value::as_array_mut).expect("http filters");
    filters.insert(0, json!({ "name": name, "typed_config": config }));
}

/// What `mine` says is found by nobody but `mine`.
async fn keep_apart(to: SocketAddr, mine: impl Fn(Call) -> Call + Sync, others: &[&(dyn Fn(Call) -> Call + Sync)]) {
    let first = answered(to, mine(create(&ask("chat", "my name is Ada")))).await;
    let second = answered(to, mine(create(&follow("chat", &first, "what is my name")))).await;
    assert_eq!(second["output"][0]["content"][0]["text"], "Your name is Ada.");
    for other in others {
        assert_eq!(other(get(id(&first))).send(to).await.unwrap().status, 404);
        let reply = other(create(&follow("chat", &first, "x"))).send(to).await.unwrap();
        assert_error(&reply, 400, "previous_response_not_found");
    }
    assert_eq!(answered(to, mine(get(id(&second)))).await, second);
}

async fn by_a_header_that_a_filter_sets(stack: Arc<Stack>) {
    // Without such a filter the client's own header says nothing.
    let said = |call: Call, name: &str| call.header("x-tenant", name);
    let first = answered(stack.address(), said(create(&ask("chat", "x")), "one")).await;
    assert_eq!(answered(stack.address(), said(get(id(&first)), "two")).await, first);
    let append = json!({ "header": { "key": "x-tenant", "value": "%REQ(x-user)%" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" });
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
        "mutations": { "request_mutations": [{ "append": append }] },
    });
    let envoy = stack.envoy_patched(|bootstrap| before_all(bootstrap, "tenant", config)).await.unwrap();
    let user =
        |name: &'static str| move |call: Call| call.header("x-user", name).header("authorization", "Bearer same");
    let forger = |call: Call| call.header("x-user", "bob").header("x-tenant", "ada");
    keep_apart(envoy.data, user("ada"), &[&user("bob"), &forger]).await;
}

/// A token signed with HS256.
fn token(secret: &[u8], subject: &str) -> String {
    let part = |json: Value| BASE64.encode(json.to_string());
    let signed = format!(
        "{}.{}",
        part(json!({ "alg": "HS256", "typ": "JWT" })),
        part(json!({ "iss": "tests", "sub": subject }))
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(signed.as_bytes());
    format!("Bearer {signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

async fn by_a_verified_claim(stack: Arc<Stack>) {
    const SECRET: &[u8] = b"a secret of this test's own, long enough";
    let keys = json!({ "keys": [{ "kty": "oct", "alg": "HS256", "k": BASE64.encode(SECRET) }] });
    let provider = json!({ "issuer": "tests", "payload_in_metadata": "token", "forward": true,
        "local_jwks": { "inline_string": keys.to_string() } });
    let config = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
        "providers": { "tests": provider },
        "rules": [{ "match": { "prefix": "/" }, "requires": { "provider_name": "tests" } }],
    });
    let envoy =
        stack.envoy_patched(|bootstrap| before_all(bootstrap, "envoy.filters.http.jwt_authn", config)).await.unwrap();
    let user = |name: &'static str| move |call: Call| call.header("authorization", token(SECRET, name));
    keep_apart(envoy.data, user("ada"), &[&user("bob")]).await;
    let forged = |call: Call| call.header("authorization", token(b"another secret, just as long as that", "ada"));
    assert_eq!(forged(create(&ask("chat", "x"))).send(envoy.data).await.unwrap().status, 401);
}
