//! Guards: what a request says is found ([`segments`]), asked about ([`analyze`]), judged ([`judge`]) and, where the configuration
//! says so, replaced ([`redact`]); and answers likewise ([`answer`], [`restore`]). Nothing here is on the way of a request where no guard is configured.

pub mod analyze;
pub(crate) mod answer;
pub mod checks;
pub(crate) mod judge;
mod keys;
pub mod placeholders;
pub(crate) mod policy;
pub(crate) mod redact;
pub mod restore;
pub(crate) mod segments;
mod strings;
pub(crate) mod unread;
