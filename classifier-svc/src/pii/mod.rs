//! Personal data that has a form: found by pattern, check sum and the words around it.
//!
//! [`find`] is pure and takes linear time: the text is folded (full-width digits, unusual spaces and dashes), read once
//! for cue words and once for tokens with digits, and each family of finders looks only where these stand. Names of
//! persons, organisations and places have no form; the token head finds those.
//!
//! Scores: 1.0 where a check sum or an unmistakable form proves the type; 0.8 to 0.95 where form and library agree, or
//! form and a cue word; 0.5 to 0.75 where the form alone speaks. Loopback, unspecified and documentation addresses are
//! nobody's and are not reported.

mod card;
mod crypto;
mod cues;
mod date;
mod email;
pub mod eval;
mod fold;
mod iban;
mod ids;
mod ip;
mod kind;
mod page;
mod phone;
mod place;
mod resolve;
mod rules;
mod secret;
mod zip;

pub use kind::{Entity, Kind};
pub use resolve::resolve;

use page::Page;

/// The personal data of `text` that has a form, sorted by place and not overlapping. Ranges are UTF-8 bytes of `text`.
#[must_use]
pub fn find(text: &str) -> Vec<Entity> {
    let folded = fold::Folded::new(text);
    let page = Page::new(folded.text());
    let mut found = Vec::new();
    secret::find(&page, &mut found);
    email::find(&page, &mut found);
    iban::find(&page, &mut found);
    card::find(&page, &mut found);
    crypto::find(&page, &mut found);
    ids::find(&page, &mut found);
    ip::find(&page, &mut found);
    date::find(&page, &mut found);
    phone::find(&page, &mut found);
    place::find(&page, &mut found);
    zip::find(&page, &mut found);
    let mut entities = resolve(found);
    for entity in &mut entities {
        entity.range = folded.original(entity.range.clone());
    }
    entities
}

#[cfg(test)]
mod tests;
