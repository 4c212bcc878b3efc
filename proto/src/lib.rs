//! Protobuf messages of Fingerpost's callouts. Messages alone by default, so that the wasm filter
//! stays small; the tonic client and server stubs come with the `grpc` feature.

/// `fingerpost.classifier.v1`: the signals of a text.
pub mod classifier {
    #[allow(missing_docs, clippy::missing_errors_doc, unused_qualifications, reason = "generated code")]
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/fingerpost.classifier.v1.rs"));
    }
    pub use generated::*;

    /// The gRPC service's full name, as callouts and health checks spell it.
    pub const SERVICE: &str = "fingerpost.classifier.v1.Classifier";
    /// The method that a filter calls.
    pub const ANALYZE: &str = "Analyze";
}

/// `fingerpost.state.v1`: stored responses and conversations.
pub mod state {
    #[allow(missing_docs, clippy::missing_errors_doc, unused_qualifications, reason = "generated code")]
    mod generated {
        include!(concat!(env!("OUT_DIR"), "/fingerpost.state.v1.rs"));
    }
    pub use generated::*;

    /// The gRPC service's full name, as callouts and health checks spell it.
    pub const SERVICE: &str = "fingerpost.state.v1.State";
    /// Loads what a turn continues.
    pub const LOAD: &str = "LoadConversation";
    /// Stores a finished response.
    pub const SAVE: &str = "SaveResponse";
}

/// The encoded `FileDescriptorSet` of every service here, for gRPC server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
