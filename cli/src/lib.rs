//! Check, render, run and ask: the command line of Fingerpost, and the pieces of it that the testbed uses.

pub mod ask;
pub mod commands;
pub mod document;
pub mod environment;
mod locate;
pub mod render;
pub mod supervise;
pub mod up;
