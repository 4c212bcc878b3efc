//! The stores: memory, a file of our own (redb), and Redis. One contract suite runs over all of them.

pub mod embedded;
pub mod memory;
pub mod redis;
