//! The routing brain of Fingerpost: pure and sans-IO. A host (the Wasm filter, a test, an ext_proc server) turns its callbacks
//! into [`exchange::Event`]s and carries out the [`exchange::Effects`] that come back. Time comes in with the event.

pub mod affinity;
pub mod body;
pub mod classify;
pub mod config;
pub mod error;
pub mod exchange;
pub mod guard;
pub mod headers;
pub mod ids;
pub mod metadata;
pub mod native;
pub mod plugin;
pub mod responses;
pub mod route;
pub mod rules;
