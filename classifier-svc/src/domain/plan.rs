//! Which rows travel together: a pure function from row lengths to batches.

/// Groups rows into batches whose padded size (longest row times rows) stays within `budget` tokens.
///
/// Rows are taken by falling length, so that neighbours need little padding and the widest batch
/// comes first. A row longer than the budget travels alone. Answers indexes into `lengths`; each
/// stands in exactly one batch.
#[must_use]
pub fn plan(lengths: &[usize], budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<(usize, usize)> = lengths.iter().copied().enumerate().collect();
    order.sort_by_key(|&(index, length)| (std::cmp::Reverse(length), index));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut widest = 0;
    for (index, length) in order {
        match batches.last_mut() {
            Some(batch) if widest * (batch.len() + 1) <= budget => batch.push(index),
            _ => {
                widest = length.max(1);
                batches.push(vec![index]);
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_waits_nothing_runs() {
        assert!(plan(&[], 100).is_empty());
    }

    #[test]
    fn alike_rows_travel_together() {
        assert_eq!(plan(&[10, 100, 12, 90], 200), [vec![1, 3], vec![2, 0]]);
    }

    #[test]
    fn a_row_over_the_budget_travels_alone() {
        assert_eq!(plan(&[5, 500, 5], 100), [vec![1], vec![0, 2]]);
    }

    proptest! {
        #[test]
        fn each_row_once_and_no_batch_over_budget(
            lengths in prop::collection::vec(1usize..300, 0..200), budget in 1usize..4000,
        ) {
            let batches = plan(&lengths, budget);
            let mut seen: Vec<usize> = batches.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..lengths.len()).collect::<Vec<_>>());
            for batch in &batches {
                let widest = batch.iter().map(|&i| lengths[i]).max().unwrap_or(0);
                prop_assert!(batch.len() == 1 || widest * batch.len() <= budget);
            }
        }
    }
}
