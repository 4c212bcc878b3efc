//! Overlapping finds become one.

use std::{cmp::Reverse, collections::BTreeMap};

use super::Entity;

/// Keeps of overlapping entities the proven one, else the longest, else the surest; sorted by place.
#[must_use]
pub fn resolve(mut found: Vec<Entity>) -> Vec<Entity> {
    found.sort_by(|a, b| {
        let rank = |e: &Entity| (Reverse(e.is_proven()), Reverse(e.range.len()));
        rank(a).cmp(&rank(b)).then(b.score.total_cmp(&a.score)).then(a.range.start.cmp(&b.range.start))
    });
    let mut kept: BTreeMap<usize, Entity> = BTreeMap::new();
    for entity in found {
        let clear_left =
            kept.range(..entity.range.end).next_back().is_none_or(|(_, e)| e.range.end <= entity.range.start);
        if clear_left && !entity.range.is_empty() {
            kept.insert(entity.range.start, entity);
        }
    }
    kept.into_values().collect()
}
