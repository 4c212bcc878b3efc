#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use proptest::prelude::*;

use super::*;

fn wrap(id: &str) -> Result<String, IdError> {
    if id.contains(' ') { Err(IdError::Upstream) } else { Ok(format!("W({id})")) }
}

const OUTWARD: Outward<'static> = Outward { wrap: &wrap, model: "ours" };

fn rewritten(body: &str) -> String {
    String::from_utf8(response(body.as_bytes(), &OUTWARD).unwrap().into_owned()).unwrap()
}

#[test]
fn ids_and_the_model_change_and_nothing_else() {
    let body = r#" {"model" : "llama", "output":[{"id":"msg_1","model":"x","previous_response_id":"y"}], "i\u0064":"resp_\u0031",
        "n": 1.0, "previous_response_id":"resp_0", "object":"response","reasoning":{"id":"z"},"response_id":"q"}"#;
    let expected = body
        .replace(r#""llama""#, r#""ours""#)
        .replace(r#""resp_\u0031""#, r#""W(resp_1)""#)
        .replace(r#""resp_0""#, r#""W(resp_0)""#);
    assert_eq!(rewritten(body), expected);
    assert_eq!(rewritten(r#"{"id":"a"}"#), r#"{"id":"W(a)"}"#);
}

#[test]
fn what_is_nothing_to_change_is_not_copied() {
    for body in [
        r#"{"object":"response","id":null,"previous_response_id":null,"model":null}"#,
        r#"{"model":"\u006furs"}"#,
        r#"{"error":{"id":"x","message":"m"}}"#,
        r#"{"object":"list","id":"x","model":"y","data":[]}"#,
        r#"{"id":"x","object":"response.input_tokens","input_tokens":3}"#,
    ] {
        assert!(
            matches!(response(body.as_bytes(), &OUTWARD), Ok(Cow::Borrowed(same)) if same == body.as_bytes()),
            "{body}"
        );
    }
}

#[test]
fn a_delete_names_the_id_whatever_it_calls_itself() {
    for object in ["response", "response.deleted"] {
        let body = format!(r#"{{"id":"a","object":"{object}","deleted":true}}"#);
        let expected = body.replace(r#""a""#, r#""W(a)""#);
        assert_eq!(deleted(body.as_bytes(), &OUTWARD).unwrap().as_ref(), expected.as_bytes());
    }
}

#[test]
fn what_is_no_response_is_an_error() {
    for (body, at) in [("", 0), ("[]", 0), (r#"{"id":"a""#, 9), (r#"{"id":"a"} x"#, 11), ("{\"id\":\"\u{1}\"}", 7)] {
        let error = response(body.as_bytes(), &OUTWARD).expect_err(body);
        assert!(matches!(error, RewriteError::Malformed { at: found, .. } if found == at), "{body}: {error}");
    }
    assert_eq!(response(b"{\"id\":\"\xff\"}", &OUTWARD), Err(RewriteError::Malformed { at: 7, expected: "UTF-8" }));
    for id in ["a b", "\\ud800"] {
        let body = format!(r#"{{"id":"{id}"}}"#);
        assert_eq!(response(body.as_bytes(), &OUTWARD), Err(RewriteError::Id(IdError::Upstream)), "{id}");
    }
}

proptest! {
    #[test]
    fn mutated_bodies_never_panic(at: prop::sample::Index, byte: u8) {
        let mut body = br#"{"id":"resp_1","object":"response","model":"m","output":[{"id":"x"}],"previous_response_id":"r"}"#.to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        if let Ok(out) = response(&body, &OUTWARD) {
            let before: Result<serde_json::Value, _> = serde_json::from_slice(&body);
            let after: Result<serde_json::Value, _> = serde_json::from_slice(&out);
            prop_assert_eq!(before.is_ok(), after.is_ok());
        }
    }
}
