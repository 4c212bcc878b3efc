//! A backend that speaks the Responses API itself: what it gets and what it gives pass byte for byte, but for the model's name
//! and the ids, which are wrapped on the way out and unwrapped on the way in ([`crate::ids`]).

mod edit;
mod path;
mod request;
mod response;
mod sse;

pub(crate) use self::{
    edit::write_all,
    sse::{Data, Frames, TooLarge},
};
pub use self::{
    edit::{Edit, EditError, splice_all},
    path::{Action, Target, recognise, upstream_path},
    request::{LastUser, Request},
    response::{Outward, RewriteError, deleted, response},
    sse::Sse,
};
