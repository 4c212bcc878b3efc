//! Fingerpost's state service: keeps responses and conversations, for the filter over gRPC and for clients over HTTP.
//!
//! Inside stands [`domain`]: turns, conversation objects, what deletes and expires, behind the ports `ConversationStore` and
//! `Clock`. Outside stand the stores in [`engine`], [`grpc`] on tonic and [`http`] on axum. [`management`] stands apart: it asks the
//! classifier, for operators, on a port of its own. [`serve`](serve::serve) wires them.

pub mod auth;
pub mod config;
pub mod domain;
mod door;
pub mod engine;
pub mod grpc;
pub mod http;
pub mod management;
pub mod metrics;
pub mod serve;
pub mod tls;
