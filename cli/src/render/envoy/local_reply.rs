//! Envoy's own replies in OpenAI's error shape. The filter's replies are shaped already and match none of these: they carry
//! no details and no response flag.

use serde_json::{Map, Value, json};

use super::{routes::PINNED_ROUTES, state};

/// What a reply says.
pub(super) struct Reply {
    pub kind: &'static str,
    pub code: &'static str,
    pub message: &'static str,
}

/// What Envoy answers by itself, told by its response flags or by its details.
struct Case {
    on: On,
    when: When,
    /// The status where Envoy's own is not the right one.
    status: Option<u16>,
    reply: Reply,
}

/// The routes whose replies a case shapes. The headers that chose a route are gone once a host was: its name stays.
#[derive(Clone, Copy)]
enum On {
    Any,
    Pinned,
    State,
}

enum When {
    Flags(&'static [&'static str]),
    Details(&'static str),
}

const TIMEOUTS: &[&str] = &["UT", "SI", "DT", "UMSDR"];
const FAILURES: &[&str] = &["UH", "UF", "UC", "UR", "LR", "URX", "UPE", "NC", "DF"];

// In order: the first one that matches shapes the reply.
const CASES: &[Case] = &[
    Case {
        on: On::Any,
        when: When::Details("response.code_details == 'request_payload_too_large'"),
        status: Some(413),
        reply: Reply {
            kind: "invalid_request_error",
            code: "request_too_large",
            message: "The request body is larger than this gateway accepts.",
        },
    },
    Case {
        on: On::Any,
        when: When::Details("response.code_details == 'response_payload_too_large'"),
        status: Some(502),
        reply: Reply {
            kind: "server_error",
            code: "response_too_large",
            message: "The answer is larger than this gateway can hold. Ask for a stream.",
        },
    },
    Case {
        on: On::Any,
        when: When::Details("response.code_details.startsWith('wasm_fail')"),
        status: Some(503),
        reply: Reply {
            kind: "server_error",
            code: "filter_unavailable",
            message: "The gateway's filter failed on this request. Try again.",
        },
    },
    Case {
        on: On::State,
        when: When::Flags(TIMEOUTS),
        status: Some(504),
        reply: Reply {
            kind: "server_error",
            code: "state_unavailable",
            message: "The state service, which keeps conversations, did not answer in time. Try again.",
        },
    },
    Case {
        on: On::State,
        when: When::Flags(FAILURES),
        status: Some(503),
        reply: Reply {
            kind: "server_error",
            code: "state_unavailable",
            message: "The state service, which keeps conversations, is unavailable. Try again.",
        },
    },
    Case {
        on: On::Pinned,
        when: When::Flags(FAILURES),
        status: Some(503),
        reply: Reply {
            kind: "server_error",
            code: "endpoint_unavailable",
            message: "The backend instance that holds this conversation cannot be reached, and no other one can answer for it.",
        },
    },
    Case {
        on: On::Any,
        when: When::Flags(TIMEOUTS),
        status: Some(504),
        reply: Reply {
            kind: "server_error",
            code: "upstream_timeout",
            message: "The model's backend did not answer in time.",
        },
    },
    Case {
        on: On::Any,
        when: When::Flags(FAILURES),
        status: Some(503),
        reply: Reply {
            kind: "server_error",
            code: "upstream_unavailable",
            message: "No backend of the model could be reached, or it broke off before it answered.",
        },
    },
    Case {
        on: On::Any,
        when: When::Flags(&["UO", "OM", "LH"]),
        status: Some(503),
        reply: Reply {
            kind: "server_error",
            code: "overloaded",
            message: "The gateway has reached a limit. Try again in a moment.",
        },
    },
    Case {
        on: On::Any,
        when: When::Flags(&["NR"]),
        status: Some(404),
        reply: Reply { kind: "invalid_request_error", code: "not_found", message: "There is nothing at this path." },
    },
    // A path with escaped slashes, headers that are too large or too slow, a broken request.
    Case {
        on: On::Any,
        when: When::Details("response.code < 500 && !(response.code_details in ['', 'direct_response'])"),
        status: None,
        reply: Reply {
            kind: "invalid_request_error",
            code: "bad_request",
            message: "The gateway refused the request: %RESPONSE_CODE_DETAILS%.",
        },
    },
    Case {
        on: On::Any,
        when: When::Details("response.code >= 500 && !(response.code_details in ['', 'direct_response'])"),
        status: None,
        reply: Reply {
            kind: "server_error",
            code: "gateway_error",
            message: "The gateway could not serve the request: %RESPONSE_CODE_DETAILS%.",
        },
    },
];

pub(super) fn config() -> Value {
    json!({"mappers": CASES.iter().map(mapper).collect::<Vec<_>>()})
}

fn mapper(case: &Case) -> Value {
    let mut mapper =
        Map::from_iter([("filter".to_owned(), filter(case)), ("body_format_override".to_owned(), body(&case.reply))]);
    if let Some(status) = case.status {
        mapper.insert("status_code".to_owned(), json!(status));
    }
    Value::Object(mapper)
}

fn filter(case: &Case) -> Value {
    let when = match case.when {
        When::Flags(flags) => json!({"response_flag_filter": {"flags": flags}}),
        When::Details(expression) => cel(expression),
    };
    let route = match case.on {
        On::Any => return when,
        On::Pinned => cel(&format!("xds.route_name.startsWith('{PINNED_ROUTES}')")),
        On::State => cel(&format!("xds.route_name == '{}'", state::ROUTE)),
    };
    json!({"and_filter": {"filters": [when, route]}})
}

fn cel(expression: &str) -> Value {
    json!({"extension_filter": {
        "name": "envoy.access_loggers.extension_filters.cel",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.filters.cel.v3.ExpressionFilter",
            "expression": expression,
        },
    }})
}

/// OpenAI's error object, with `content-type: application/json`.
pub(super) fn body(reply: &Reply) -> Value {
    json!({
        "json_format": {"error": {
            "message": reply.message,
            "type": reply.kind,
            "param": null,
            "code": reply.code,
        }},
    })
}
