//! Guards: what a request says is found ([`segments`]), judged by what the classifier says of it, and replaced where the
//! configuration says so. Nothing here is on the way of a request where no guard is configured.

pub mod placeholders;
