//! Fingerpost's classifier: says over gRPC what texts mean, with a small encoder and trained heads
//! on candle.
//!
//! Inside stands [`domain`]: windows, batches, the queue and the merging of verdicts, behind the
//! ports `Model` and `Tokenize`. Outside stand [`encoder`] and [`heads`] on candle, [`grpc`] on
//! tonic, [`http`] on axum. [`serve`](serve::serve) wires them; [`train`] makes heads.

pub mod bundle;
pub mod config;
pub mod domain;
pub mod encoder;
pub mod eval;
pub mod grpc;
pub mod heads;
pub mod http;
pub mod metrics;
pub mod pii;
pub mod serve;
pub mod train;
