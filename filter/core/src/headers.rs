//! Header names that Fingerpost sets or reads, and those that only it may set.

/// The model that serves. Also what Envoy's routes match.
pub const SELECTED_MODEL: &str = "x-selected-model";
/// The classifier's confidence, three decimals, where there is a verdict.
pub const CONFIDENCE: &str = "x-routing-confidence";
/// The endpoint: on requests the chosen one, on responses the one that served.
pub const DESTINATION: &str = "x-semantic-destination-endpoint";
/// The endpoints in fail-over order (Gateway API Inference Extension, endpoint picker protocol); read by Envoy's override_host policy.
pub const GATEWAY_DESTINATION: &str = "x-gateway-destination-endpoint";
/// The affinity key's hash, for Envoy's maglev policy.
pub const AFFINITY: &str = "x-fingerpost-affinity";
/// Milliseconds that Fingerpost took before the request went to the backend.
pub const PROCESSING_TIME: &str = "x-processing-time";
/// Milliseconds of them that the classifier took.
pub const CLASSIFICATION_TIME: &str = "x-classification-time";
/// Why the default model serves a request that asked to be routed.
pub const FALLBACK: &str = "x-routing-fallback";

/// Whether a client that sends this header would be speaking in Fingerpost's name. `name` is in lower case, as Envoy gives it.
#[must_use]
pub fn is_internal(name: &str) -> bool {
    const EXACT: [&str; 7] = [
        SELECTED_MODEL,
        GATEWAY_DESTINATION,
        PROCESSING_TIME,
        CLASSIFICATION_TIME,
        "x-cache-status",
        "x-tools-selected",
        "x-security-checks",
    ];
    const PREFIXES: [&str; 3] = ["x-semantic-", "x-fingerpost-", "x-routing-"];
    name.starts_with("x-") && (EXACT.contains(&name) || PREFIXES.iter().any(|p| name.starts_with(p)))
}

/// The first value of a header, by its lower-case name.
#[must_use]
pub fn find<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a [u8]> {
    headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
}

/// A header's value as text, where it is UTF-8.
#[must_use]
pub fn find_str<'a>(headers: &'a [(String, Vec<u8>)], name: &str) -> Option<&'a str> {
    find(headers, name).and_then(|value| std::str::from_utf8(value).ok())
}

/// Whether a media type is JSON: `application/json` or `application/*+json`, parameters aside (RFC 9110, 8.3.1; RFC 6839, 3.1).
#[must_use]
pub fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"application/json")
        || (essence.len() > 17
            && essence.to_ascii_lowercase().starts_with(b"application/")
            && essence.to_ascii_lowercase().ends_with(b"+json"))
}
