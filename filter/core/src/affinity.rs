//! Which endpoint a conversation lives on: a key that all its turns share, and weighted rendezvous hashing over the
//! model's endpoints, so that an endpoint that goes away moves only its own conversations.

/// FNV-1a, 64 bit (draft-eastlake-fnv), over parts that cannot run into one another.
#[derive(Debug, Clone, Copy)]
struct Fnv(u64);

impl Fnv {
    const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    /// One part: its length in front keeps `ab`,`c` apart from `a`,`bc`.
    fn part(&mut self, bytes: &[u8]) {
        self.write(&(bytes.len() as u64).to_le_bytes());
        self.write(bytes.get(..PREFIX).unwrap_or(bytes));
    }
}

/// FNV-1a's high bits are weak on short inputs; this is MurmurHash3's 64-bit finaliser (`fmix64`).
const fn avalanche(mut h: u64) -> u64 {
    h ^= h >> 33;
    h = h.wrapping_mul(0xff51_afd7_ed55_8ccd);
    h ^= h >> 33;
    h = h.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// Bytes hashed of each part. An image of megabytes in the first message need not be read to tell conversations apart.
const PREFIX: usize = 16 * 1024;

/// What a conversation is known by, first to last turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(pub u64);

/// Where a key comes from, in order of preference.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// The request's `prompt_cache_key`.
    PromptCacheKey(&'a str),
    /// The configured session header.
    Session(&'a [u8]),
    /// What every turn of a chat repeats: system prompt, tools, first user message.
    Prefix(&'a [&'a str]),
}

impl Key {
    /// Hashes a source.
    #[must_use]
    pub fn new(source: Source<'_>) -> Self {
        let mut hash = Fnv::new();
        match source {
            Source::PromptCacheKey(key) => {
                hash.write(b"k");
                hash.part(key.as_bytes());
            }
            Source::Session(value) => {
                hash.write(b"s");
                hash.part(value);
            }
            Source::Prefix(parts) => {
                hash.write(b"p");
                parts.iter().for_each(|part| hash.part(part.as_bytes()));
            }
        }
        Self(avalanche(hash.0))
    }
}

/// The hash of a stable name, of an endpoint for one.
#[must_use]
pub(crate) fn tag(name: &str) -> u64 {
    let mut hash = Fnv::new();
    hash.part(name.as_bytes());
    avalanche(hash.0)
}

/// An endpoint as rendezvous sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    hash: u64,
    weight: f64,
}

impl Candidate {
    /// An endpoint by its stable name.
    #[must_use]
    pub fn new(name: &str, weight: u32) -> Self {
        Self { hash: tag(name), weight: f64::from(weight) }
    }

    /// Weighted rendezvous (Schindelhauer and Schomaker, "Weighted distributed hash tables", 2005): `-w / ln(u)`.
    fn score(&self, key: Key) -> f64 {
        const SCALE: f64 = 1.0 / (1_u64 << 53) as f64;
        // 53 random bits, moved half a step away from 0 and 1.
        let u = ((avalanche(key.0 ^ self.hash) >> 11) as f64 + 0.5) * SCALE;
        -self.weight / u.ln()
    }
}

/// The indices of all candidates, best first: the first serves, the rest are the fail-over order.
#[must_use]
pub fn order(key: Key, candidates: &[Candidate]) -> Vec<usize> {
    let mut scored: Vec<(f64, usize)> = candidates.iter().enumerate().map(|(i, c)| (c.score(key), i)).collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    scored.into_iter().map(|(_, i)| i).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing, reason = "tests fail by panicking")]
    use proptest::prelude::*;

    use super::*;

    fn candidates(weights: &[u32]) -> Vec<Candidate> {
        weights.iter().enumerate().map(|(i, w)| Candidate::new(&format!("endpoint-{i}"), *w)).collect()
    }

    #[test]
    fn fnv_matches_its_published_vectors() {
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325_u64), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            let mut fnv = Fnv::new();
            fnv.write(text.as_bytes());
            assert_eq!(fnv.0, hash, "{text}");
        }
    }

    #[test]
    fn shares_follow_weights() {
        let candidates = candidates(&[1, 2, 5]);
        let mut counts = [0_u32; 3];
        for i in 0..80_000_u64 {
            counts[order(Key(avalanche(i)), &candidates)[0]] += 1;
        }
        for (count, expected) in counts.into_iter().zip([10_000.0, 20_000.0, 50_000.0]) {
            assert!((f64::from(count) / expected - 1.0).abs() < 0.03, "{counts:?}");
        }
    }

    #[test]
    fn parts_do_not_run_into_one_another() {
        assert_ne!(Key::new(Source::Prefix(&["ab", "c"])), Key::new(Source::Prefix(&["a", "bc"])));
        assert_ne!(Key::new(Source::Session(b"x")), Key::new(Source::PromptCacheKey("x")));
    }

    proptest! {
        #[test]
        fn taking_one_away_moves_only_its_own(key: u64, weights in prop::collection::vec(1_u32..100, 2..8), gone: prop::sample::Index) {
            let gone = gone.index(weights.len());
            let all = candidates(&weights);
            let full = order(Key(key), &all);
            let mut rest = all.clone();
            rest.remove(gone);
            let left: Vec<usize> = order(Key(key), &rest).into_iter().map(|i| if i >= gone { i + 1 } else { i }).collect();
            let expected: Vec<usize> = full.into_iter().filter(|i| *i != gone).collect();
            prop_assert_eq!(left, expected);
        }
    }
}
