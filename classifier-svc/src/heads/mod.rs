//! The heads: small trained networks over the shared encoder's layer states.

pub mod features;
pub mod label;
pub mod mlp;
pub mod names;

use std::path::PathBuf;

use thiserror::Error;

/// Why a head could not be loaded or saved.
#[derive(Debug, Error)]
pub enum HeadError {
    /// A file cannot be read or written.
    #[error("{}: {source}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is not what a head's should be.
    #[error("{}: {message}", file.display())]
    Content {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// The head was trained on another encoder.
    #[error(
        "{}: trained on encoder {wanted}, but {loaded} is loaded; load that encoder, or train the head anew with `train`",
        file.display()
    )]
    OtherEncoder {
        /// `head.json`.
        file: PathBuf,
        /// The encoder that the head was trained on.
        wanted: String,
        /// The encoder that is loaded.
        loaded: String,
    },
    /// candle refused.
    #[error("the head's weights do not load: {0}")]
    Candle(#[from] candle_core::Error),
}
