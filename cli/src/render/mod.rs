//! What other programs read, made from the one configuration document.

pub mod envoy;
mod text;

pub use self::text::{Format, RenderError, to_text};
