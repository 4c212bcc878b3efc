//! Undoing what hides an attack from a model.

/// What was undone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disguise {
    /// Characters that nobody sees.
    ZeroWidth,
}

impl Disguise {
    /// Its name on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ZeroWidth => "zero_width",
        }
    }
}

/// A text without a disguise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What was undone.
    pub disguise: Disguise,
    /// What was hidden.
    pub text: String,
}

/// The forms that differ from the text as written.
#[must_use]
pub const fn undo(_text: &str) -> Vec<Form> {
    Vec::new()
}
