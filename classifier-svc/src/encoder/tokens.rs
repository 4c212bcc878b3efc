//! The tokeniser: whole texts, never truncated, never padded.

use std::path::Path;

use tokenizers::Tokenizer;

use super::EncoderError;
use crate::domain::{ModelError, Special, Token, Tokenize};

/// `tokenizer.json` of the encoder.
#[derive(Debug)]
pub struct WordTokenizer {
    inner: Tokenizer,
    special: Special,
}

impl WordTokenizer {
    /// Loads `tokenizer.json` and switches its truncation and padding off.
    ///
    /// # Errors
    /// [`EncoderError::Content`] when it does not parse or has no `[CLS]` and `[SEP]`.
    pub fn load(file: &Path) -> Result<Self, EncoderError> {
        let content = |message: String| EncoderError::Content { file: file.to_owned(), message };
        let bytes = super::read(&file.to_owned())?;
        let mut inner = Tokenizer::from_bytes(bytes).map_err(|e| content(e.to_string()))?;
        inner.with_padding(None);
        inner.with_truncation(None).map_err(|e| content(e.to_string()))?;
        let id = |token: &str| inner.token_to_id(token).ok_or_else(|| content(format!("has no `{token}` token")));
        let special = Special { open: id("[CLS]")?, close: id("[SEP]")? };
        // A text that spells a special token is text, not structure.
        inner.set_encode_special_tokens(true);
        Ok(Self { inner, special })
    }
}

impl Tokenize for WordTokenizer {
    fn tokenize(&self, text: &str) -> Result<Vec<Token>, ModelError> {
        // `encode` counts offsets in bytes; `encode_fast` has none, `encode_char_offsets` counts characters.
        let encoding = self.inner.encode(text, false);
        // The cause may quote the text, so it is not repeated.
        let encoding = encoding.map_err(|_| ModelError("the tokeniser refused a text".to_owned()))?;
        let places = encoding.get_offsets().iter().map(|&(start, end)| start..end);
        Ok(encoding.get_ids().iter().zip(places).map(|(&id, range)| Token { id, range }).collect())
    }

    fn special(&self) -> Special {
        self.special
    }
}
