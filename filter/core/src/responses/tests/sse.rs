use proptest::prelude::*;

use super::super::sse::{Event, Reader, SseError};

fn read(chunks: &[&[u8]]) -> Vec<Event> {
    let (mut reader, mut events) = (Reader::default(), Vec::new());
    for chunk in chunks {
        reader.push(chunk, &mut events).unwrap();
    }
    events.extend(reader.finish().unwrap());
    events
}

fn event(name: &str, data: &str) -> Event {
    Event { name: name.to_owned(), data: data.to_owned() }
}

#[test]
fn reads_the_standard_s_forms() {
    for (stream, expected) in [
        ("data: a\n\ndata: b\n\n", vec![event("", "a"), event("", "b")]),
        ("data:a\r\n\r\ndata:b\r\n\r\n", vec![event("", "a"), event("", "b")]),
        ("event:e\r\ndata:a\r\ndata:b\r\n\r\n", vec![event("e", "a\nb")]),
        ("data:a\r\rdata:b\r\r", vec![event("", "a"), event("", "b")]),
        ("\u{feff}data: a\n\n", vec![event("", "a")]),
        (": comment\n\n:\ndata: a\n\n", vec![event("", "a")]),
        ("event: e\nid: 1\nretry: 5\nother: x\ndata: a\ndata:  b\ndata\n\n", vec![event("e", "a\n b\n")]),
        ("event: alone\n\ndata: a\n\n", vec![event("", "a")]),
        ("data: a\n\ndata: unterminated", vec![event("", "a"), event("", "unterminated")]),
        ("data: a\n", vec![event("", "a")]),
        ("", vec![]),
    ] {
        assert_eq!(read(&[stream.as_bytes()]), expected, "{stream:?}");
    }
}

#[test]
fn is_bounded_and_keeps_what_came_before() {
    let mut events = Vec::new();
    let mut reader = Reader::new(16);
    let error = reader.push(b"data: a\n\ndata: 0123456789abcdef", &mut events).unwrap_err();
    assert_eq!((error, events.as_slice()), (SseError::TooLarge(16), [event("", "a")].as_slice()));
    assert_eq!(reader.push(b"\n\n", &mut events), Err(SseError::TooLarge(16)));
    assert_eq!(reader.finish(), Err(SseError::TooLarge(16)));
    let mut reader = Reader::new(16);
    let lines = b"data: 0123\n".repeat(4);
    assert_eq!(reader.push(&lines, &mut events), Err(SseError::TooLarge(16)));
}

#[test]
fn takes_utf_8_only() {
    let mut reader = Reader::default();
    assert_eq!(reader.push(b"data: \xff\n", &mut Vec::new()), Err(SseError::NotUtf8));
}

proptest! {
    #[test]
    fn any_cut_gives_the_same_events(
        lines in prop::collection::vec("(data: ?[a-zä🦀\u{feff}]{0,6}|event: x|: ?c|)(\n|\r\n|\r)", 0..24),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let stream = lines.concat().into_bytes();
        let whole = read(&[&stream]);
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        at.extend([0, stream.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(read(&chunks), whole.clone());
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(read(&bytes), whole);
    }

    #[test]
    fn any_bytes_are_read_or_refused(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..64), 0..8)) {
        let (mut reader, mut events) = (Reader::new(96), Vec::new());
        let mut broken = false;
        for chunk in &chunks {
            let failed = reader.push(chunk, &mut events).is_err();
            prop_assert!(failed || !broken, "a broken reader stays broken");
            broken = failed;
        }
        prop_assert!(reader.finish().is_err() == broken || !broken);
        prop_assert!(events.iter().all(|event| event.data.len() <= 96));
    }
}
