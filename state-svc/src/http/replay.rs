//! A stored response as the stream that it once was.

use fingerpost_core::error::ApiError;

/// The events of a stored response, from the one after `starting_after`.
pub(super) fn replay(response_json: &[u8], starting_after: Option<u64>) -> Result<Vec<u8>, ApiError> {
    let _ = (response_json, starting_after);
    Err(ApiError::new(501, "server_error", "Streaming a stored response is not served yet.").param("stream"))
}
