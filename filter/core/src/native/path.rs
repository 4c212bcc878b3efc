//! Paths of the Responses and Conversations APIs: what they ask for, and the same path with the backend's own id.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const RESPONSES: &str = "/v1/responses";
const CONVERSATIONS: &str = "/v1/conversations";

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What a request wants, by method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target<'a> {
    /// `POST /v1/responses`.
    Create,
    /// `POST /v1/responses/input_tokens`.
    InputTokens,
    /// A response that is there already.
    Stored {
        /// Its id as the client gave it, percent-encoding undone; it may be no id at all.
        id: Cow<'a, str>,
        /// What is to be done with it.
        action: Action,
        /// What stands behind `?`, as it stands.
        query: Option<&'a str>,
    },
    /// Anything under `/v1/conversations`.
    Conversations,
    /// A known path, another method; those that it takes.
    WrongMethod(&'static str),
    /// No path of these APIs.
    Unknown,
}

/// What can be done with a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// `GET /v1/responses/{id}`.
    Retrieve,
    /// `DELETE /v1/responses/{id}`.
    Delete,
    /// `POST /v1/responses/{id}/cancel`.
    Cancel,
    /// `GET /v1/responses/{id}/input_items`.
    InputItems,
}

/// Recognises a request. `target` is the `:path`, normalised by Envoy, with its query.
#[must_use]
pub fn recognise<'a>(method: &[u8], target: &'a str) -> Target<'a> {
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    if let Some(rest) = path.strip_prefix(CONVERSATIONS) {
        return if rest.is_empty() || rest.starts_with('/') { Target::Conversations } else { Target::Unknown };
    }
    let post = |target| if method == b"POST" { target } else { Target::WrongMethod("POST") };
    match path.strip_prefix(RESPONSES) {
        Some("") => post(Target::Create),
        Some("/input_tokens") => post(Target::InputTokens),
        // A path of OpenAI's own that is not served: its name is no id.
        Some("/compact") | None => Target::Unknown,
        Some(rest) => rest.strip_prefix('/').map_or(Target::Unknown, |rest| stored(method, rest, query)),
    }
}

fn stored<'a>(method: &[u8], rest: &'a str, query: Option<&'a str>) -> Target<'a> {
    let (id, what) = rest.split_once('/').map_or((rest, None), |(id, what)| (id, Some(what)));
    if id.is_empty() {
        return Target::Unknown;
    }
    let action = match (what, method) {
        (None, b"GET") => Action::Retrieve,
        (None, b"DELETE") => Action::Delete,
        (None, _) => return Target::WrongMethod("GET, DELETE"),
        (Some("cancel"), b"POST") => Action::Cancel,
        (Some("cancel"), _) => return Target::WrongMethod("POST"),
        (Some("input_items"), b"GET") => Action::InputItems,
        (Some("input_items"), _) => return Target::WrongMethod("GET"),
        _ => return Target::Unknown,
    };
    // What does not decode stands for no id either, so a loss there loses nothing.
    Target::Stored { id: percent_decode_str(id).decode_utf8_lossy(), action, query }
}

/// The path that the backend gets for a response of its own.
#[must_use]
pub fn upstream_path(upstream_id: &str, action: Action, query: Option<&str>) -> String {
    let mut path = format!("{RESPONSES}/{}", utf8_percent_encode(upstream_id, SEGMENT));
    path.push_str(match action {
        Action::Retrieve | Action::Delete => "",
        Action::Cancel => "/cancel",
        Action::InputItems => "/input_items",
    });
    if let Some(query) = query {
        path.push('?');
        path.push_str(query);
    }
    path
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stored<'a>(id: &'a str, action: Action, query: Option<&'a str>) -> Target<'a> {
        Target::Stored { id: Cow::Borrowed(id), action, query }
    }

    #[test]
    fn recognises_paths() {
        use Action::{Cancel, Delete, InputItems, Retrieve};
        for (method, target, wanted) in [
            ("POST", "/v1/responses", Target::Create),
            ("POST", "/v1/responses?x=/y", Target::Create),
            ("GET", "/v1/responses", Target::WrongMethod("POST")),
            ("POST", "/v1/responses/input_tokens", Target::InputTokens),
            ("GET", "/v1/responses/input_tokens", Target::WrongMethod("POST")),
            ("POST", "/v1/responses/compact", Target::Unknown),
            ("GET", "/v1/responses/compact", Target::Unknown),
            ("GET", "/v1/responses/r_1", stored("r_1", Retrieve, None)),
            ("GET", "/v1/responses/r%5F1?stream=true&x=%zz", stored("r_1", Retrieve, Some("stream=true&x=%zz"))),
            ("GET", "/v1/responses/r?", stored("r", Retrieve, Some(""))),
            ("DELETE", "/v1/responses/r", stored("r", Delete, None)),
            ("POST", "/v1/responses/r", Target::WrongMethod("GET, DELETE")),
            ("POST", "/v1/responses/r/cancel", stored("r", Cancel, None)),
            ("GET", "/v1/responses/r/cancel", Target::WrongMethod("POST")),
            ("GET", "/v1/responses/r/input_items?after=m?n", stored("r", InputItems, Some("after=m?n"))),
            ("POST", "/v1/responses/r/input_items", Target::WrongMethod("GET")),
            ("GET", "/v1/responses/", Target::Unknown),
            ("GET", "/v1/responses//cancel", Target::Unknown),
            ("GET", "/v1/responses/r/", Target::Unknown),
            ("GET", "/v1/responses/r/cancel/", Target::Unknown),
            ("GET", "/v1/responsesx", Target::Unknown),
            ("GET", "/V1/responses/r", Target::Unknown),
            ("POST", "/v1/conversations", Target::Conversations),
            ("GET", "/v1/conversations/conv_1/items?limit=1", Target::Conversations),
            ("GET", "/v1/conversationsx", Target::Unknown),
            ("POST", "/v1/chat/completions", Target::Unknown),
        ] {
            assert_eq!(recognise(method.as_bytes(), target), wanted, "{method} {target}");
        }
    }

    #[test]
    fn an_upstream_id_cannot_leave_its_segment() {
        for (id, query, path) in [
            ("resp_1-a.~", None, "/v1/responses/resp_1-a.~/cancel"),
            ("a/../b?c#d%", Some("x=%2F?"), "/v1/responses/a%2F..%2Fb%3Fc%23d%25/cancel?x=%2F?"),
        ] {
            assert_eq!(upstream_path(id, Action::Cancel, query), path);
        }
    }

    proptest! {
        #[test]
        fn a_path_says_what_it_was_made_of(id in "[!-~]{1,40}", query in prop::option::of("[!-~]{0,20}"), action in 0_usize..4) {
            let all = [("GET", Action::Retrieve), ("DELETE", Action::Delete), ("POST", Action::Cancel), ("GET", Action::InputItems)];
            let (method, action) = all.get(action).copied().unwrap_or(("GET", Action::Retrieve));
            prop_assume!(!["input_tokens", "compact"].contains(&id.as_str()));
            let path = upstream_path(&id, action, query.as_deref());
            prop_assert_eq!(recognise(method.as_bytes(), &path), stored(&id, action, query.as_deref()));
        }

        #[test]
        fn no_path_panics(method in "[A-Z]{0,6}", path in "(/v1/(responses|conversations))?\\PC{0,40}") {
            if let Target::Stored { id, .. } = recognise(method.as_bytes(), &path) {
                prop_assert!(!id.is_empty());
            }
        }
    }
}
