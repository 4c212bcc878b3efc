//! The Responses API for backends that only speak Chat Completions: both translations, whole and streamed, and the objects of
//! the API that they need. Pure: time and ids come in as arguments, and nothing here knows where a conversation is stored.
//!
//! A turn: [`CreateRequest::parse`], [`CreateRequest::resolve`] where it has item references, [`chat_request::translate`],
//! then [`response::from_chat`] or a [`stream::StreamTranslator`]. What is to be stored is [`input::input_items`] and the
//! answer's `output`.

mod assemble;
mod chat;
pub mod chat_request;
mod check;
mod collect;
mod events;
pub mod failure;
pub mod input;
mod item;
mod json;
mod messages;
mod minted;
mod params;
pub mod replay;
pub mod request;
pub mod response;
pub mod sse;
pub mod stream;
mod template;
pub mod tokens;
mod tools;

pub use self::{
    minted::{Minted, Turn},
    request::CreateRequest,
};

#[cfg(test)]
mod tests;
