//! Fake LLM backends, the harness that boots the real stack on free ports, and what end-to-end tests and benches share.

pub mod bench;
pub mod client;
pub mod fake;
pub mod harness;
pub mod pki;
pub mod suite;
