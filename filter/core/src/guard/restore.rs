//! Values put back into an answer where the model repeats their placeholders. In a stream a placeholder may be cut over any
//! number of events and bytes: those that may hold a part of one wait, no longer than the longest placeholder is long.

use std::{
    collections::BTreeMap,
    ops::{Bound, Range},
};

use super::answer::{
    held::{Change, Held, Text, Unfit, escape},
    texts::Reading,
};
use crate::native::Frames;

/// Frames that may wait for one text to go on. Beyond, the first one leaves as it is.
const WAITING: usize = 256;

/// An answer that values cannot be put back into.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values cannot be put back into the backend's answer: {0}")]
pub struct RestoreError(#[from] Unfit);

/// Puts values back into one answer.
#[derive(Debug, Clone)]
pub struct Restorer {
    /// Values by placeholder.
    values: BTreeMap<String, String>,
    limit: usize,
    frames: Frames,
    held: Held,
}

impl Restorer {
    /// For placeholders and their values. `limit` is the most bytes that are held, and the longest event.
    #[must_use]
    pub fn new<'a>(values: impl Iterator<Item = (&'a str, &'a str)>, limit: usize) -> Self {
        Self {
            values: values.map(|(placeholder, value)| (placeholder.to_owned(), value.to_owned())).collect(),
            limit,
            frames: Frames::new(limit),
            held: Held::new(Reading { stream: true, everything: true }, limit, 0),
        }
    }

    /// A whole JSON body with the values in it. One that is not JSON stays as it is.
    ///
    /// # Errors
    /// It is larger than the limit.
    pub fn whole(&self, body: &[u8]) -> Result<Vec<u8>, RestoreError> {
        let mut held = Held::new(Reading { stream: false, everything: true }, self.limit, 0);
        match held.push(body, std::slice::from_ref(&(0..body.len()))) {
            Err(error @ Unfit::TooLarge(_)) => return Err(error.into()),
            Err(_) => return Ok(body.to_vec()),
            Ok(()) => {}
        }
        held.texts().for_each(|(_, text)| self.scan(text));
        let mut out = Vec::with_capacity(body.len());
        held.release(&mut out);
        Ok(out)
    }

    /// Takes a chunk of a stream; what may leave goes to `out`. At the end nothing stays back.
    ///
    /// # Errors
    /// An event is larger than the limit; what came before it is in `out`.
    pub fn push(&mut self, chunk: &[u8], end: bool, out: &mut Vec<u8>) -> Result<(), RestoreError> {
        let (mut frames, mut held) = (std::mem::take(&mut self.frames), self.held.take_all());
        let mut pushed = frames.push(chunk, |frame, data| self.frame(&mut held, frame, data, out));
        if end && pushed.is_ok() {
            let (frame, data) = frames.finish();
            pushed = self.frame(&mut held, &frame, &data, out);
            held.end_all();
            held.texts().for_each(|(_, text)| self.scan(text));
            held.release(out);
        }
        (self.frames, self.held) = (frames, held);
        Ok(pushed?)
    }

    fn frame(&self, held: &mut Held, frame: &[u8], data: &[Range<usize>], out: &mut Vec<u8>) -> Result<(), Unfit> {
        match held.push(frame, data) {
            Err(error @ Unfit::TooLarge(_)) => return Err(error),
            // Nothing that a placeholder could stand in.
            Err(_) => held.pass(frame),
            Ok(()) => {}
        }
        held.texts().for_each(|(_, text)| self.scan(text));
        if held.waiting() > WAITING {
            held.give_up_first();
        }
        held.release(out);
        Ok(())
    }

    /// Goes on to the end of the text, or to what may be the beginning of a placeholder.
    fn scan(&self, text: &mut Text) {
        while text.safe < text.end() {
            let rest = text.part(text.safe..text.end());
            let Some(at) = rest.find('[') else {
                text.safe = text.end();
                return;
            };
            let (start, rest) = (text.safe + at, rest.get(at..).unwrap_or_default());
            let whole =
                rest.find(']').and_then(|close| rest.get(..=close)).and_then(|one| self.values.get_key_value(one));
            if let Some((placeholder, value)) = whole {
                let with = if text.nested { escape(value) } else { value.clone() };
                let at = start..start + placeholder.len();
                text.safe = at.end;
                text.change(Change { at, with });
                continue;
            }
            let next = self.values.range::<str, _>((Bound::Included(rest), Bound::Unbounded)).next();
            let may_go_on = !text.ended && next.is_some_and(|(placeholder, _)| placeholder.starts_with(rest));
            text.safe = start;
            if may_go_on {
                return;
            }
            text.safe += 1;
        }
    }
}

#[cfg(test)]
mod tests;
