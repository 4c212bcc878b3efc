//! What a path asks for. Unknown paths are refused: an open door beside a guard is no guard.

use crate::{
    config::Passthrough,
    native::{self, Target},
};

/// What a request wants, by method and path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route<'a> {
    /// A body that names a model.
    Create(Create),
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{id}`; ids may hold slashes.
    Model(&'a str),
    /// `GET /health`.
    Health,
    /// A response or conversation that is there already.
    Stored(Target<'a>),
    /// A path that the configuration opens; the index into its list.
    Passthrough(usize),
    /// A known path, another method; the one that it takes.
    WrongMethod(&'static str),
    /// Nothing that is served here.
    Unknown,
}

/// The APIs whose requests carry a model in a JSON body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// `POST /v1/chat/completions`: routed by meaning.
    ChatCompletion,
    /// `POST /v1/completions`: a named model only.
    Completion,
    /// `POST /v1/embeddings`: a named model only.
    Embedding,
    /// `POST /v1/responses`: routed by meaning, and part of a conversation.
    Response,
    /// `POST /v1/responses/input_tokens`: a named model only.
    InputTokens,
}

const CREATE: [(&str, Create); 3] = [
    ("/v1/chat/completions", Create::ChatCompletion),
    ("/v1/completions", Create::Completion),
    ("/v1/embeddings", Create::Embedding),
];
const MODELS: &str = "/v1/models";
const HEALTH: &str = "/health";

/// What the configuration opens.
#[derive(Debug, Clone, Copy)]
pub struct Doors<'a> {
    /// Paths that are let through unread.
    pub open: &'a [Passthrough],
    /// Whether the Responses API is served.
    pub responses: bool,
}

/// Recognises a request. `target` is the `:path`, normalised by Envoy, with its query.
#[must_use]
pub fn recognise<'a>(method: &[u8], target: &'a str, doors: Doors<'_>) -> Route<'a> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if let Some((_, create)) = CREATE.iter().find(|(known, _)| *known == path) {
        return if method == b"POST" { Route::Create(*create) } else { Route::WrongMethod("POST") };
    }
    let read = |route| if method == b"GET" { route } else { Route::WrongMethod("GET") };
    if path == MODELS {
        return read(Route::Models);
    }
    if path == HEALTH {
        return read(Route::Health);
    }
    if let Some(id) = path.strip_prefix(MODELS).and_then(|rest| rest.strip_prefix('/'))
        && !id.is_empty()
    {
        return read(Route::Model(id));
    }
    if doors.responses {
        match native::recognise(method, target) {
            Target::Unknown => {}
            Target::Create => return Route::Create(Create::Response),
            Target::InputTokens => return Route::Create(Create::InputTokens),
            Target::WrongMethod(allow) => return Route::WrongMethod(allow),
            stored => return Route::Stored(stored),
        }
    }
    doors.open.iter().position(|open| opens(&open.path, path)).map_or(Route::Unknown, Route::Passthrough)
}

fn opens(open: &str, path: &str) -> bool {
    open == path || (open.ends_with('/') && path.starts_with(open))
}

/// Whether opening `open` would open a path that is read here.
pub(crate) fn is_guarded(open: &str) -> bool {
    const READ: [&str; 4] = [MODELS, HEALTH, "/v1/responses", "/v1/conversations"];
    let mut guarded = CREATE.iter().map(|(path, _)| *path).chain(READ);
    guarded.any(|path| opens(open, path))
        || ["/v1/models/", "/v1/responses/", "/v1/conversations/"].iter().any(|below| open.starts_with(below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recognises_paths() {
        let open = [Passthrough { path: "/v1/audio/".to_owned(), model: "m".to_owned() }];
        for (method, target, route) in [
            ("POST", "/v1/chat/completions", Route::Create(Create::ChatCompletion)),
            ("POST", "/v1/chat/completions?x=1", Route::Create(Create::ChatCompletion)),
            ("GET", "/v1/chat/completions", Route::WrongMethod("POST")),
            ("POST", "/v1/chat/completions/", Route::Unknown),
            ("POST", "/V1/chat/completions", Route::Unknown),
            ("GET", "/v1/models", Route::Models),
            ("GET", "/v1/models/openai/gpt-oss-120b", Route::Model("openai/gpt-oss-120b")),
            ("GET", "/v1/models/", Route::Unknown),
            ("DELETE", "/v1/models/x", Route::WrongMethod("GET")),
            ("GET", "/health", Route::Health),
            ("POST", "/v1/audio/speech", Route::Passthrough(0)),
            ("POST", "/v1/audio", Route::Unknown),
            ("POST", "/v1/responses", Route::Create(Create::Response)),
            ("POST", "/v1/responses/input_tokens", Route::Create(Create::InputTokens)),
            ("PUT", "/v1/responses", Route::WrongMethod("POST")),
            ("GET", "/v1/conversations/x", Route::Stored(Target::Conversations)),
        ] {
            let doors = Doors { open: &open, responses: true };
            assert_eq!(recognise(method.as_bytes(), target, doors), route, "{method} {target}");
        }
        let doors = Doors { open: &open, responses: false };
        assert_eq!(recognise(b"POST", "/v1/responses", doors), Route::Unknown);
    }

    #[test]
    fn no_passthrough_opens_a_guarded_path() {
        for path in [
            "/",
            "/v1/",
            "/v1/chat/",
            "/v1/chat/completions",
            "/v1/models/",
            "/health",
            "/v1/responses/x",
            "/v1/conversations",
        ] {
            assert!(is_guarded(path), "{path}");
        }
        assert!(!is_guarded("/v1/audio/"));
    }
}
