//! Fingerpost's state service: keeps responses and conversations, for the filter over gRPC and for clients over HTTP.

pub mod domain;
pub mod engine;
