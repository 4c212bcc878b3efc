//! Responses and conversations that are there already: to the endpoint that has them, or to the state service.

use super::{
    Effects, State,
    native::{Native, What},
    pipeline::Routed,
    refuse,
    request::{self, Sent},
    response::Return,
    screen::Screening,
    turn,
};
use crate::{
    headers::{self as names, Headers},
    ids::{self, Owner, ResponseId},
    native::{Action, Target, upstream_path},
    plugin::{Plugin, Scope},
    responses::failure,
};

/// Who asks.
pub(super) struct Asker<'a> {
    pub headers: &'a Headers,
    pub owners: Vec<Owner>,
}

/// A request that needs no body read. What it is about belongs to the owner, or is not found.
pub(super) fn request(plugin: &Plugin, target: Target<'_>, asker: Asker<'_>) -> (State, Effects) {
    let Target::Stored { id, action, query } = target else { return to_state(&asker) };
    match turn::response_id(plugin, &asker.owners, &id) {
        None => refuse(&failure::response_not_found(&id)),
        Some(ResponseId::Memory(_)) => to_state(&asker),
        Some(ResponseId::Native(native)) => to_endpoint(plugin, &native, Asked { action, query }, asker),
    }
}

/// The state service knows whose it is, and looks for itself.
fn to_state(asker: &Asker<'_>) -> (State, Effects) {
    let mut effects = Effects::default();
    effects.headers.push((names::SERVICE, Some(b"state".to_vec())));
    let (owner, older) = turn::by_age(&asker.owners);
    effects.headers.push((names::OWNER, Some(owner.into_bytes())));
    // Only owners by credential have older forms, and those are hexadecimal: no comma is part of one.
    effects.headers.extend((!older.is_empty()).then(|| (names::OLDER_OWNERS, Some(older.join(",").into_bytes()))));
    if asker.headers.find("authorization").is_some() {
        effects.headers.push(("authorization", None));
    }
    (State::Done, effects)
}

struct Asked<'a> {
    action: Action,
    query: Option<&'a str>,
}

fn to_endpoint(plugin: &Plugin, native: &ids::Native, asked: Asked<'_>, asker: Asker<'_>) -> (State, Effects) {
    let place = plugin.within(Scope::Pool(native.pool)).find_map(|index| {
        let backend = plugin.backend(index)?;
        let (name, cluster) = backend.pinned(native.endpoint)?;
        Some((index, backend, name, cluster))
    });
    let Some((index, backend, name, cluster)) = place else { return refuse(&turn::gone()) };
    let mut effects = Effects::default();
    let path = upstream_path(&native.upstream_id, asked.action, asked.query);
    effects.headers.push((":path", Some(path.into_bytes())));
    effects.headers.push((names::PINNED, Some(cluster.as_bytes().to_vec())));
    effects.headers.push(("accept-encoding", Some(b"identity".to_vec())));
    request::address(&mut effects, backend, asker.headers);
    let what = match asked.action {
        Action::Retrieve | Action::Cancel => Some(What::Response),
        Action::Delete => Some(What::Deleted),
        Action::InputItems => None,
    };
    let routed = Routed { backend: index, ..Routed::default() };
    // What was said then is guarded now too: the backend holds it as it came.
    let screening = Screening::new(plugin, &routed, asker.headers).filter(|_| what == Some(What::Response));
    let back = match what.zip(asker.owners.into_iter().next()) {
        Some((what, owner)) => {
            Return::Native(Native { owner, pool: native.pool, key: native.key, endpoint: Some(native.endpoint), what })
        }
        None => Return::Untouched,
    };
    let endpoint = Some(name.to_owned());
    request::sent(effects, routed, Sent { back, screening, endpoint })
}
