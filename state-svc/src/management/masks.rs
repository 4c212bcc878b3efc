//! Personal data with placeholders in its place, as the gateway's `redact` writes them.

use fingerpost_core::guard::placeholders::Placeholders;
use fingerpost_proto::classifier::PiiEntity;
use sha2::{Digest as _, Sha256};

/// What was found, masked.
#[derive(Debug, PartialEq)]
pub(super) struct Masked {
    /// The text with a placeholder for each value.
    pub text: String,
    /// The placeholder of each entity, in their order.
    pub placeholders: Vec<String>,
}

/// Masks entities that are sorted by their start. Where two overlap, each has a placeholder for what is its own, so that no part of
/// a value stays.
pub(super) fn mask(text: &str, entities: &[PiiEntity]) -> Masked {
    let mut placeholders = Placeholders::new(&[]);
    placeholders.reserve(text);
    let (mut out, mut names, mut at) = (String::with_capacity(text.len()), Vec::new(), 0);
    for entity in entities {
        let (start, end) = (offset(entity.start), offset(entity.end));
        let value = text.get(start..end).unwrap_or_default();
        let name = placeholders.assign(&entity.r#type, value, digest(&entity.r#type, value));
        if end > at {
            out.push_str(text.get(at..start.max(at)).unwrap_or_default());
            out.push_str(&name);
            at = end;
        }
        names.push(name);
    }
    out.push_str(text.get(at..).unwrap_or_default());
    Masked { text: out, placeholders: names }
}

pub(super) fn offset(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}

/// Tells the values of one text apart; kept nowhere.
fn digest(kind: &str, value: &str) -> [u8; 16] {
    let hash: [u8; 32] = Sha256::new().chain_update(kind).chain_update([0]).chain_update(value).finalize().into();
    let mut short = [0; 16];
    short.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(kind: &str, start: u32, end: u32) -> PiiEntity {
        PiiEntity { r#type: kind.to_owned(), start, end, score: 1.0 }
    }

    #[test]
    fn one_value_has_one_placeholder_and_none_that_stands_there_already() {
        let text = "Zoë, [PERSON_1] and Zoë and Bo";
        let entities = [entity("PERSON", 0, 4), entity("PERSON", 21, 25), entity("PERSON", 30, 32)];
        let Masked { text, placeholders } = mask(text, &entities);
        assert_eq!(text, "[PERSON_2], [PERSON_1] and [PERSON_2] and [PERSON_3]");
        assert_eq!(placeholders, ["[PERSON_2]", "[PERSON_2]", "[PERSON_3]"]);
    }

    #[test]
    fn nothing_stays_of_values_that_overlap() {
        let entities = [entity("A", 1, 5), entity("B", 2, 4), entity("C", 3, 7)];
        assert_eq!(mask("0123456789", &entities).text, "0[A_1][C_1]789");
        assert_eq!(mask("", &[]), Masked { text: String::new(), placeholders: Vec::new() });
    }
}
