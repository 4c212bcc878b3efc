//! Verdicts of segments seen before: a long history costs only its new turn. The key is a hash of the text, the model and what
//! was asked; neither key nor verdict holds any text.

use quick_cache::{Weighter, sync::Cache};
use sha2::{Digest, Sha256};

use super::{SegmentAnalysis, prepare::Asked};

/// SHA-256 of model version, what was asked and the text.
pub type Key = [u8; 32];

/// A bounded cache of verdicts.
pub struct Verdicts {
    cache: Option<Cache<Key, SegmentAnalysis, Bytes>>,
    version: String,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, SegmentAnalysis> for Bytes {
    fn weight(&self, _: &Key, verdict: &SegmentAnalysis) -> u64 {
        let labels = verdict.category.iter().flat_map(|c| &c.scores).map(|(label, _)| label.len() + 32).sum::<usize>();
        let entities = verdict.pii.iter().map(|entities| entities.len() * 48).sum::<usize>();
        (size_of::<Key>() + size_of::<SegmentAnalysis>() + labels + entities + 64) as u64
    }
}

impl Verdicts {
    /// A cache of about so many bytes, 0 for none, of verdicts of this model.
    #[must_use]
    pub fn new(bytes: usize, version: String) -> Self {
        // A verdict weighs some 600 bytes.
        let cache = (bytes > 0).then(|| Cache::with_weighter(bytes / 600 + 1, bytes as u64, Bytes));
        Self { cache, version }
    }

    /// The key of a text; none where its verdict is not kept: embeddings are large and asked for once.
    pub(super) fn key(&self, text: &str, asked: Asked) -> Option<Key> {
        if self.cache.is_none() || asked.wanted.embedding {
            return None;
        }
        let Asked { wanted, pii } = asked;
        let bits = [wanted.category, wanted.jailbreak, wanted.names, pii].map(u8::from);
        let mut digest = Sha256::new();
        digest.update(&self.version);
        digest.update([0]);
        digest.update(bits);
        digest.update(text);
        Some(digest.finalize().into())
    }

    /// What was said of it.
    #[must_use]
    pub fn get(&self, key: &Key) -> Option<SegmentAnalysis> {
        self.cache.as_ref()?.get(key)
    }

    /// Keeps what was said of it.
    pub fn keep(&self, key: Key, verdict: SegmentAnalysis) {
        if let Some(cache) = &self.cache {
            cache.insert(key, verdict);
        }
    }
}
