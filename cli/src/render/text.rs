//! A rendered document as text. Keys stand in alphabetical order, so the same configuration gives the same bytes.

use serde_json::Value;

/// How a rendered document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// YAML, for people.
    #[default]
    Yaml,
    /// JSON, indented.
    Json,
}

/// A document that cannot be written as text.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The YAML writer refused it.
    #[error("cannot write YAML: {0}")]
    Yaml(#[from] serde_saphyr::SerializeError),
    /// The JSON writer refused it.
    #[error("cannot write JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Writes a document, with a line break at its end.
///
/// # Errors
/// Where the writer refuses the document.
pub fn to_text(document: &Value, format: Format) -> Result<String, RenderError> {
    let mut text = match format {
        Format::Yaml => {
            serde_saphyr::to_string_with_options(document, serde_saphyr::ser_options! { prefer_block_scalars: false })?
        }
        Format::Json => serde_json::to_string_pretty(document)?,
    };
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}
