//! Header maps as they come from the host, the names that Fingerpost sets or reads, and those that only it may set.

use std::fmt;

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
/// The cluster of one endpoint, for a request that only this endpoint can answer. Its route knows no other host and no retry.
pub const PINNED: &str = "x-fingerpost-cluster";
/// Where a request goes that no model answers: `state` for the state service.
pub const SERVICE: &str = "x-fingerpost-service";
/// Whose request it is, for the state service.
pub const OWNER: &str = "x-fingerpost-owner";
/// The owner as older keys made it, for the state service; several are parted by commas.
pub const OLDER_OWNERS: &str = "x-fingerpost-older-owners";
/// Why an answer could not be stored that is given out all the same.
pub const NOT_STORED: &str = "x-fingerpost-not-stored";
/// Milliseconds that Fingerpost took before the request went to the backend.
pub const PROCESSING_TIME: &str = "x-processing-time";
/// Milliseconds of them that the classifier took.
pub const CLASSIFICATION_TIME: &str = "x-classification-time";
/// What the guards said of the request.
pub const SECURITY_CHECKS: &str = "x-security-checks";
/// Why the default model serves a request that asked to be routed.
pub const FALLBACK: &str = "x-routing-fallback";

/// Whether a client that sends this header would be speaking in Fingerpost's name. `name` is in lower case, as Envoy gives it.
#[must_use]
pub fn is_internal(name: &[u8]) -> bool {
    const EXACT: [&str; 7] = [
        SELECTED_MODEL,
        GATEWAY_DESTINATION,
        PROCESSING_TIME,
        CLASSIFICATION_TIME,
        "x-cache-status",
        "x-tools-selected",
        SECURITY_CHECKS,
    ];
    const PREFIXES: [&str; 3] = ["x-semantic-", "x-fingerpost-", "x-routing-"];
    name.starts_with(b"x-")
        && (EXACT.iter().any(|exact| exact.as_bytes() == name)
            || PREFIXES.iter().any(|prefix| name.starts_with(prefix.as_bytes())))
}

/// A header map as the Proxy-Wasm ABI serialises it (ABI specification 0.2.1, "Serialized map"): the number of pairs, the lengths
/// of each name and value (all of them 32 bits, little endian), then names and values, each with a zero byte behind it.
///
/// Read where it lies: a request is routed by a handful of lookups, and a map of owned strings costs more than all of them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers(Vec<u8>);

impl Headers {
    /// Takes what a host handed over. Bytes that are no serialised map read as fewer headers, or none.
    #[must_use]
    pub const fn from_serialized(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Names, in lower case as Envoy gives them, and values.
    #[must_use]
    pub fn iter(&self) -> Iter<'_> {
        let (count, sizes) = take_u32(&self.0).unwrap_or_default();
        let left = usize::try_from(count).unwrap_or_default();
        let pairs = left.checked_mul(8).and_then(|bytes| sizes.split_at_checked(bytes));
        let (sizes, data) = pairs.unwrap_or_default();
        Iter { sizes, data }
    }

    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| *n == name.as_bytes()).map(|(_, value)| value)
    }

    /// A header's value as text, where it is UTF-8.
    #[must_use]
    pub fn find_str(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|value| std::str::from_utf8(value).ok())
    }
}

impl<N: AsRef<[u8]>, V: AsRef<[u8]>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let (mut count, mut sizes, mut data) = (0_u32, Vec::new(), Vec::new());
        for (name, value) in pairs {
            count += 1;
            for part in [name.as_ref(), value.as_ref()] {
                sizes.extend_from_slice(&u32::try_from(part.len()).unwrap_or_default().to_le_bytes());
                data.extend_from_slice(part);
                data.push(0);
            }
        }
        Self([count.to_le_bytes().as_slice(), &sizes, &data].concat())
    }
}

/// Names alone: values may be secrets.
impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| String::from_utf8_lossy(name))).finish()
    }
}

/// The pairs of [`Headers`].
#[derive(Debug, Clone)]
pub struct Iter<'a> {
    sizes: &'a [u8],
    data: &'a [u8],
}

impl<'a> Iter<'a> {
    fn part(&mut self) -> Option<&'a [u8]> {
        let (size, sizes) = take_u32(self.sizes)?;
        let (part, rest) = self.data.split_at_checked(usize::try_from(size).ok()?)?;
        (self.sizes, self.data) = (sizes, rest.get(1..)?);
        Some(part)
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        Some((self.part()?, self.part()?))
    }
}

fn take_u32(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk::<4>()?;
    Some((u32::from_le_bytes(*number), rest))
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

/// Whether a media type is a stream of server-sent events (WHATWG HTML, 9.2).
#[must_use]
pub fn is_event_stream(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default().trim_ascii();
    essence.eq_ignore_ascii_case(b"text/event-stream")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_what_the_abi_writes() {
        // As Envoy hands over `a: b` and `c:` (empty).
        let bytes = b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0\0\0\0\0a\0b\0c\0\0".to_vec();
        let headers = Headers::from_serialized(bytes);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [(&b"a"[..], &b"b"[..]), (b"c", b"")]);
        assert_eq!(headers, Headers::from_iter([("a", "b"), ("c", "")]));
        assert_eq!((headers.find("c"), headers.find("b")), (Some(&b""[..]), None));
    }

    proptest! {
        #[test]
        fn gives_back_what_was_put_in(pairs in prop::collection::vec((any::<Vec<u8>>(), any::<Vec<u8>>()), 0..8)) {
            let headers: Headers = pairs.iter().map(|(n, v)| (n, v)).collect();
            let back: Vec<_> = headers.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
            prop_assert_eq!(back, pairs);
        }

        #[test]
        fn any_bytes_read_without_harm(bytes: Vec<u8>) {
            let headers = Headers::from_serialized(bytes);
            prop_assert!(headers.iter().count() <= headers.0.len());
        }
    }
}
