//! What a path asks for. Unknown paths are refused: an open door beside a guard is no guard.

use crate::config::Passthrough;

/// What a request wants, by method and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route<'a> {
    /// A body that names a model.
    Create(Create),
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{id}`; ids may hold slashes.
    Model(&'a str),
    /// `GET /health`.
    Health,
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
}

const CREATE: [(&str, Create); 3] = [
    ("/v1/chat/completions", Create::ChatCompletion),
    ("/v1/completions", Create::Completion),
    ("/v1/embeddings", Create::Embedding),
];
const MODELS: &str = "/v1/models";
const HEALTH: &str = "/health";

/// Recognises a request. `target` is the `:path`, normalised by Envoy, with its query.
#[must_use]
pub fn recognise<'a>(method: &[u8], target: &'a str, open: &[Passthrough]) -> Route<'a> {
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
    open.iter().position(|open| opens(&open.path, path)).map_or(Route::Unknown, Route::Passthrough)
}

fn opens(open: &str, path: &str) -> bool {
    open == path || (open.ends_with('/') && path.starts_with(open))
}

/// Whether opening `open` would open a path that is read here.
pub(crate) fn is_guarded(open: &str) -> bool {
    let guarded = CREATE.iter().map(|(path, _)| *path).chain([MODELS, HEALTH]);
    guarded.into_iter().any(|path| opens(open, path)) || open.starts_with("/v1/models/")
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
            ("POST", "/v1/responses", Route::Unknown),
        ] {
            assert_eq!(recognise(method.as_bytes(), target, &open), route, "{method} {target}");
        }
    }

    #[test]
    fn no_passthrough_opens_a_guarded_path() {
        for path in ["/", "/v1/", "/v1/chat/", "/v1/chat/completions", "/v1/models/", "/health"] {
            assert!(is_guarded(path), "{path}");
        }
        assert!(!is_guarded("/v1/audio/"));
    }
}
