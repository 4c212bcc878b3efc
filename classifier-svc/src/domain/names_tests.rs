#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::string_slice)]

use proptest::prelude::*;

use super::*;
use crate::domain::{Special, window::WindowShape};

/// Words at white space, as tokens.
fn tokens(text: &str) -> Vec<Range<usize>> {
    let start = |word: &str| word.as_ptr() as usize - text.as_ptr() as usize;
    text.split_whitespace().map(|word| start(word)..start(word) + word.len()).collect()
}

/// A row that gives this tag this probability, and shares the rest among the others.
fn row(tag: usize, probability: f32) -> Vec<f32> {
    let rest = (1.0 - probability) / 6.0;
    (0..TAGS.len()).map(|t| if t == tag { probability.ln() } else { rest.ln() }).collect()
}

fn rows(tags: &[usize]) -> Vec<Vec<f32>> {
    tags.iter().map(|&tag| row(tag, 0.94)).collect()
}

fn found<'a>(text: &'a str, entities: &[Entity]) -> Vec<(Kind, &'a str)> {
    entities.iter().filter(|e| e.score >= 0.5).map(|e| (e.kind, &text[e.range.clone()])).collect()
}

fn whole(text: &str, tags: &[usize]) -> Vec<Entity> {
    let rows = rows(tags);
    let offsets = tokens(text);
    decode(text, &offsets, &[Tagged { tokens: 0..offsets.len(), tags: &rows }])
}

#[test]
fn tags_become_entities() {
    let text = "ask Ana Lima  Bo at Acme now";
    let entities = whole(text, &[0, 1, 2, 1, 0, 3, 0]);
    let wanted = [(Kind::Person, "Ana Lima"), (Kind::Person, "Bo"), (Kind::Organization, "Acme")];
    assert_eq!(found(text, &entities), wanted);
    assert!((entities[0].score - 0.95).abs() < 0.001, "{entities:?}");
}

#[test]
fn inside_without_begin_begins_and_a_line_ends_a_name() {
    let text = "Lima Lima\nLima";
    assert_eq!(found(text, &whole(text, &[2, 2, 2])), [(Kind::Person, "Lima Lima"), (Kind::Person, "Lima")]);
    // Two that begin side by side are one name.
    assert_eq!(found(text, &whole(text, &[1, 1, 0])), [(Kind::Person, "Lima Lima")]);
    let text = "Ana Acme";
    assert_eq!(found(text, &whole(text, &[1, 3])), [(Kind::Person, "Ana"), (Kind::Organization, "Acme")]);
}

#[test]
fn pieces_make_a_whole_word_and_marks_stay_outside() {
    // The second piece alone looks like nothing; the word does not.
    let text = "(Quetzal)";
    let offsets = [0..1, 1..4, 4..8, 8..9];
    let rows = [row(1, 0.9), row(1, 0.9), row(0, 0.5), row(2, 0.9)];
    let entities = decode(text, &offsets, &[Tagged { tokens: 0..4, tags: &rows }]);
    assert_eq!(found(text, &entities), [(Kind::Person, "Quetzal")]);
}

#[test]
fn what_is_not_chosen_is_reported_faintly() {
    let text = "will go";
    let rows = [row(1, 0.35), row(0, 0.9)];
    let unsure: Vec<f32> = [0.5_f32, 0.35, 0.03, 0.03, 0.03, 0.03, 0.03].map(f32::ln).to_vec();
    let entities = decode(text, &tokens(text), &[Tagged { tokens: 0..2, tags: &[unsure, rows[1].clone()] }]);
    assert_eq!(entities.len(), 1);
    assert!((0.2..0.5).contains(&entities[0].score), "{entities:?}");
}

#[test]
fn a_name_across_a_window_border_comes_out_whole() {
    let count = 40;
    let text: String = (0..count).map(|i| format!("w{i} ")).collect();
    let offsets = tokens(&text);
    let ids: Vec<u32> = (0..count).collect();
    let shape = WindowShape::new(12, 4).unwrap();
    let windows = shape.cut(&ids, Special { open: 100, close: 101 });
    // A name of three words at every place; a window sees nothing at its outermost token.
    for at in 0..38_usize {
        let mut start = 0;
        let outputs: Vec<(Range<usize>, Vec<Vec<f32>>)> = windows
            .iter()
            .map(|window| {
                let len = window.ids.len() - 2;
                let tokens = start..start + len;
                start += 6;
                let tag = |token: usize| match token {
                    t if t == tokens.start && t > 0 || t + 1 == tokens.end && t < 39 => 0,
                    t if t == at => 1,
                    t if t > at && t < at + 3 => 2,
                    _ => 0,
                };
                let tags = rows(&tokens.clone().map(tag).collect::<Vec<_>>());
                (tokens, tags)
            })
            .collect();
        let tagged: Vec<Tagged<'_>> =
            outputs.iter().map(|(tokens, tags)| Tagged { tokens: tokens.clone(), tags }).collect();
        let wanted = format!("w{at} w{} w{}", at + 1, at + 2);
        assert_eq!(found(&text, &decode(&text, &offsets, &tagged)), [(Kind::Person, wanted.as_str())], "at {at}");
    }
}

fn entity(kind: Kind, range: Range<usize>, score: f32) -> Entity {
    Entity { kind, range, score }
}

#[test]
fn joined_finds_do_not_overlap_and_nothing_escapes() {
    let text = "Ana Lima 4111 1111";
    let joined = join(text, vec![entity(Kind::EmailAddress, 9..18, 1.0)], vec![entity(Kind::Person, 0..13, 0.9)]);
    assert_eq!(joined, [entity(Kind::Person, 0..8, 0.9), entity(Kind::EmailAddress, 9..18, 1.0)]);
    // Unproven: the longer wins, and covers the other.
    let joined = join(text, vec![entity(Kind::EmailAddress, 4..8, 0.6)], vec![entity(Kind::Person, 0..8, 0.9)]);
    assert_eq!(joined, [entity(Kind::Person, 0..8, 0.9)]);
    // In the middle of a longer one: both its ends stay.
    let joined = join(text, vec![entity(Kind::EmailAddress, 4..8, 1.0)], vec![entity(Kind::Person, 0..13, 0.9)]);
    let ends =
        [entity(Kind::Person, 0..3, 0.9), entity(Kind::EmailAddress, 4..8, 1.0), entity(Kind::Person, 9..13, 0.9)];
    assert_eq!(joined, ends);
}

proptest! {
    #[test]
    fn joined_finds_cover_what_was_found(
        parts in prop::collection::vec((0usize..60, 1usize..20, any::<bool>(), 0u8..=10), 0..20),
    ) {
        let text = "abcdefghij".repeat(8);
        let make = |&(start, len, named, score): &(usize, usize, bool, u8)| {
            let kind = if named { Kind::Person } else { Kind::EmailAddress };
            entity(kind, start..start + len, f32::from(score) / 10.0)
        };
        let all: Vec<Entity> = parts.iter().map(make).collect();
        let (names, patterns) = all.iter().cloned().partition(|e| e.kind == Kind::Person);
        let joined = join(&text, patterns, names);
        prop_assert!(joined.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
        let covers = |list: &[Entity], at: usize| list.iter().any(|e| e.range.contains(&at));
        prop_assert!((0..80).all(|at| covers(&joined, at) == covers(&all, at)));
    }

    #[test]
    fn any_tags_of_any_text_give_ordered_ranges(text in any::<String>(), seed in any::<u64>()) {
        let offsets = tokens(&text);
        let tag = |i: usize| (seed.rotate_left(u32::try_from(i % 64).unwrap()) % 7) as usize;
        let tags: Vec<usize> = (0..offsets.len()).map(tag).collect();
        let entities = whole(&text, &tags);
        prop_assert!(entities.windows(2).all(|pair| pair[0].range.end <= pair[1].range.start));
        prop_assert!(entities.iter().all(|e| text.get(e.range.clone()).is_some()));
    }
}
