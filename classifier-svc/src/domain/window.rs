//! Cutting a token sequence of any length into overlapping windows that the encoder can read.

use std::ops::Range;

use super::Special;

/// The shape of windows; [`WindowShape::new`] keeps it able to advance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowShape {
    content: usize,
    stride: usize,
}

/// One row for the encoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// Token ids with the special ones at both ends.
    pub ids: Vec<u32>,
    /// Which tokens of the text it has.
    pub tokens: Range<usize>,
    /// Tokens that no earlier window of the segment has: its weight in merged verdicts.
    pub fresh: usize,
}

impl WindowShape {
    /// Windows of `tokens` (special ones counted) that share `overlap` tokens with their neighbour.
    /// `None` when such windows could not advance.
    #[must_use]
    pub const fn new(tokens: usize, overlap: usize) -> Option<Self> {
        if tokens < 3 || overlap >= tokens - 2 {
            return None;
        }
        let content = tokens - 2;
        Some(Self { content, stride: content - overlap })
    }

    /// Tokens of a full window, special ones counted.
    #[must_use]
    pub const fn tokens(&self) -> usize {
        self.content + 2
    }

    /// Cuts a sequence. Every token is in at least one window; an empty sequence is one window of
    /// special tokens alone. The last window has the overlap for context and no more: padded back
    /// with what came before, the words at the end of a text would drown in it.
    #[must_use]
    pub fn cut(&self, tokens: &[u32], special: Special) -> Vec<Window> {
        let mut windows = Vec::with_capacity(tokens.len() / self.stride + 1);
        let (mut start, mut covered) = (0, 0);
        loop {
            let end = (start + self.content).min(tokens.len());
            let body = tokens.get(start..end).unwrap_or_default();
            let mut ids = Vec::with_capacity(body.len() + 2);
            ids.push(special.open);
            ids.extend_from_slice(body);
            ids.push(special.close);
            windows.push(Window { ids, tokens: start..end, fresh: end - covered });
            covered = end;
            if covered == tokens.len() {
                return windows;
            }
            start += self.stride;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use proptest::prelude::*;

    use super::*;

    const SPECIAL: Special = Special { open: u32::MAX, close: u32::MAX - 1 };

    #[test]
    fn short_and_empty_texts_are_one_window() {
        let shape = WindowShape::new(8, 2).unwrap();
        let empty = shape.cut(&[], SPECIAL);
        assert_eq!(empty.len(), 1);
        assert_eq!(empty[0].ids, [SPECIAL.open, SPECIAL.close]);
        assert_eq!(shape.cut(&[1, 2, 3, 4, 5, 6], SPECIAL).len(), 1);
        assert_eq!(shape.cut(&[1, 2, 3, 4, 5, 6, 7], SPECIAL).len(), 2);
    }

    #[test]
    fn windows_that_cannot_advance_are_refused() {
        assert!(WindowShape::new(2, 0).is_none());
        assert!(WindowShape::new(8, 6).is_none());
        assert!(WindowShape::new(8, 5).is_some());
    }

    proptest! {
        #[test]
        fn every_token_is_counted_once_and_neighbours_overlap(
            len in 0usize..3000, tokens in 3usize..300, overlap in 0usize..100,
        ) {
            prop_assume!(overlap < tokens - 2);
            let shape = WindowShape::new(tokens, overlap).unwrap();
            let all: Vec<u32> = (0..u32::try_from(len).unwrap()).collect();
            let windows = shape.cut(&all, SPECIAL);
            prop_assert_eq!(windows.iter().map(|w| w.fresh).sum::<usize>(), len);
            let mut rebuilt = Vec::new();
            for window in &windows {
                prop_assert!(window.ids.len() <= tokens);
                let body = &window.ids[1..window.ids.len() - 1];
                prop_assert!(window.fresh <= body.len());
                prop_assert_eq!(body, &all[window.tokens.clone()]);
                if !rebuilt.is_empty() {
                    prop_assert_eq!(body.len() - window.fresh, overlap);
                }
                rebuilt.extend_from_slice(&body[body.len() - window.fresh..]);
            }
            prop_assert_eq!(rebuilt, all);
        }
    }
}
