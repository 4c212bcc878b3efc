//! What affinity promises, measured: shared by the test that holds it to the figures and the example that prints them.

use std::fmt;

use fingerpost_core::{
    affinity::{Candidate, Key, Source, order},
    ids::MemoryId,
};

/// Conversations in a measurement.
pub const KEYS: u64 = 100_000;

/// Turns of each.
pub const TURNS: u64 = 3;

/// How the endpoints' weights are set.
#[derive(Debug, Clone, Copy)]
pub enum Weights {
    /// All the same.
    Equal,
    /// 1, 2, 3, 1, 2, 3, ...
    Mixed,
}

impl Weights {
    fn of(self, endpoint: usize) -> u32 {
        match self {
            Self::Equal => 1,
            Self::Mixed => [1, 2, 3].into_iter().cycle().nth(endpoint).unwrap_or(1),
        }
    }
}

impl fmt::Display for Weights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Equal => "equal",
            Self::Mixed => "1, 2, 3, ...",
        })
    }
}

/// What came out.
#[derive(Debug, Clone, Copy)]
pub struct Figures {
    /// Conversations all of whose turns went to one endpoint.
    pub together: u64,
    /// The most that an endpoint got, over its share by weight.
    pub peak_over_mean: f64,
    /// What removing the busiest endpoint moved, over its share by weight.
    pub moved_to_ideal: f64,
    /// Conversations that the removal moved though they did not live on the endpoint that went.
    pub moved_needlessly: usize,
}

/// Places [`KEYS`] conversations, turn after turn; then takes the busiest endpoint away and places them again.
pub fn measure(endpoints: usize, weights: Weights) -> Figures {
    let weights: Vec<u32> = (0..endpoints).map(|i| weights.of(i)).collect();
    let mut all: Vec<Candidate> = weights
        .iter()
        .enumerate()
        .map(|(i, weight)| Candidate::new(&format!("10.0.0.{}:8000", i + 1), *weight))
        .collect();
    let homes: Vec<(Key, Vec<usize>)> = (0..KEYS).map(|i| turns(i, &all)).collect();
    let first = |homes: &[usize]| homes.first().copied().unwrap_or_default();

    let load = |endpoint| homes.iter().filter(|(_, homes)| first(homes) == endpoint).count() as f64;
    let total: f64 = weights.iter().copied().map(f64::from).sum();
    let ideal = |endpoint: usize| weights.get(endpoint).copied().map_or(0.0, f64::from) / total * KEYS as f64;
    let shares = (0..endpoints).map(|endpoint| (load(endpoint) / ideal(endpoint), endpoint));
    let (peak_over_mean, busiest) = shares.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or_default();

    all.remove(busiest);
    let moved = homes.iter().filter(|(key, homes)| {
        let now = best(*key, &all);
        let now = if now >= busiest { now + 1 } else { now };
        now != first(homes)
    });
    let moved: Vec<usize> = moved.map(|(_, homes)| first(homes)).collect();
    Figures {
        together: homes.iter().filter(|(_, homes)| homes.iter().all(|home| *home == first(homes))).count() as u64,
        peak_over_mean,
        moved_to_ideal: moved.len() as f64 / ideal(busiest),
        moved_needlessly: moved.iter().filter(|home| **home != busiest).count(),
    }
}

fn best(key: Key, candidates: &[Candidate]) -> usize {
    order(key, candidates).first().copied().unwrap_or(usize::MAX)
}

/// A conversation's key, and where each of its turns goes: the first by what the client sent, each later one by nothing but
/// the id that the one before gave it.
fn turns(conversation: u64, candidates: &[Candidate]) -> (Key, Vec<usize>) {
    let key = Key::new(Source::PromptCacheKey(&format!("conversation {conversation}")));
    let mut id = MemoryId::mint(key, conversation, 0).to_string();
    let mut homes = vec![best(key, candidates)];
    for node in 1..TURNS {
        // An id that does not read leaves the conversation without a home, and the figures show it.
        let previous: Option<MemoryId> = id.parse().ok();
        homes.push(previous.map_or(usize::MAX, |id| best(id.key, candidates)));
        id = previous.map(|id| id.next(node).to_string()).unwrap_or_default();
    }
    (key, homes)
}
