//! Answers, guarded: what a model says is judged before it leaves.

pub(crate) mod held;
pub(crate) mod texts;
