//! Backends that keep responses: a turn passes with its model and ids changed, to the one endpoint that has what it continues.

use super::{
    Effects, State,
    pipeline::{Awaiting, Routed},
    refuse,
    request::{self, Sent},
    response::Return,
    screen::Screening,
    turn::{self, Previous, Turn},
};
use crate::{
    affinity::Key,
    body, headers as names,
    ids::{EndpointTag, Owner, PoolTag, ResponseId, Wrapping},
    native::{Edit, Outward, RewriteError, splice_all},
    plugin::{Backend, Plugin},
    route::Create,
};

/// What is known of a native answer's ids.
#[derive(Debug)]
pub(super) struct Native {
    pub owner: Owner,
    pub pool: PoolTag,
    pub key: Key,
    /// The endpoint that the request was pinned to; the one that served is read from the answer.
    pub endpoint: Option<EndpointTag>,
    pub what: What,
}

/// What a native answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A response object, or a stream of events about one.
    Response,
    /// What is said of a deleted one.
    Deleted,
}

impl Native {
    /// Calls `read` with what ids and model become.
    pub(super) fn outward<T>(
        &self,
        plugin: &Plugin,
        backend: &Backend,
        read: impl FnOnce(&Outward<'_>) -> Result<T, RewriteError>,
    ) -> Result<T, RewriteError> {
        let endpoint = self.endpoint.unwrap_or_else(|| EndpointTag::of(""));
        let wrapping = Wrapping { keys: &plugin.keys, owner: &self.owner, pool: self.pool, endpoint, key: self.key };
        read(&Outward { wrap: &|id| wrapping.wrap(id), model: &backend.name })
    }
}

/// Writes the request that the backend gets.
pub(super) fn forward(plugin: &Plugin, awaiting: Awaiting, turn: Turn, routed: Routed) -> (State, Effects) {
    let Awaiting { head, body, parsed, rewritten, .. } = awaiting;
    let Some(backend) = plugin.backend(routed.backend) else { return refuse(&request::unconfigured()) };
    let mut effects = Effects::default();
    let mut edits = vec![Edit::string(parsed.model_span, &backend.upstream_name)];
    let (mut endpoint, mut pinned) = (None, None);
    if let Some(Previous { id: ResponseId::Native(native), span, .. }) = turn.previous {
        let Some((name, cluster)) = backend.pinned(native.endpoint) else { return refuse(&turn::gone()) };
        edits.push(Edit::string(span, &native.upstream_id));
        effects.headers.push((names::PINNED, Some(cluster.as_bytes().to_vec())));
        (endpoint, pinned) = (Some(name.to_owned()), Some(native.endpoint));
    } else {
        let placement = backend.place(parsed.key);
        request::place(&mut effects, &placement);
        endpoint = endpoint.or(placement.endpoint);
    }
    edits.sort_by_key(|edit| edit.span.start);
    let Some(edit) = edited(&body, &edits, rewritten) else { return refuse(&request::unconfigured()) };
    let length = if rewritten { edit.bytes.len() } else { edit.length(body.len()) };
    request::set_length(&mut effects, &head.headers, length);
    effects.body = Some(edit);
    effects.headers.push(("accept-encoding", Some(b"identity".to_vec())));
    request::address(&mut effects, backend, &head.headers);
    let screening = Screening::new(plugin, &routed, &head.headers).filter(|_| turn.create == Create::Response);
    let back = match (turn.create, head.owners.into_iter().next()) {
        (Create::Response, Some(owner)) => {
            let (pool, key) = (backend.pool, parsed.key);
            Return::Native(Native { owner, pool, key, endpoint: pinned, what: What::Response })
        }
        _ => Return::Untouched,
    };
    request::sent(effects, routed, Sent { back, screening, endpoint })
}

/// The edits as one change at the body's start: what stands behind the last of them is not written back, unless the body is not
/// the one that came.
fn edited(body: &[u8], edits: &[Edit], rewritten: bool) -> Option<body::Edit> {
    if rewritten {
        return splice_all(body, edits).ok().map(body::Edit::whole);
    }
    let replaced = edits.last().map_or(0, |edit| edit.span.end);
    let bytes = splice_all(body.get(..replaced)?, edits).ok()?;
    Some(body::Edit { replaced, bytes })
}
