//! Where a path of the document stands in its text: the parser's own events, walked once.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, Span};

/// A place in a text, both counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub line: usize,
    pub column: usize,
}

/// The places of a document's paths, `models[1].endpoints[0].address`.
#[derive(Debug, Default)]
pub(crate) struct Positions(HashMap<String, Position>);

/// What the walk stands in.
enum Frame {
    Sequence { path: String, next: usize },
    Mapping { path: String, key: Option<(String, Position)> },
}

impl Positions {
    /// Reads as far as the text is YAML.
    pub(crate) fn of(text: &str) -> Self {
        let mut positions = Self::default();
        let mut frames = Vec::new();
        for event in Parser::new_from_str(text) {
            let Ok((event, span)) = event else { break };
            positions.step(&mut frames, &event, span);
        }
        positions
    }

    /// Where `path` stands; where it is not there, the nearest thing around it.
    pub(crate) fn find(&self, path: &str) -> Option<Position> {
        let mut path = path;
        loop {
            if let Some(position) = self.0.get(path) {
                return Some(*position);
            }
            path = path.rfind(['.', '[']).and_then(|end| path.get(..end))?;
        }
    }

    fn step(&mut self, frames: &mut Vec<Frame>, event: &Event<'_>, span: Span) {
        match event {
            Event::Scalar(text, ..) => {
                if let Some(Frame::Mapping { key: key @ None, .. }) = frames.last_mut() {
                    *key = Some((text.to_string(), position(span)));
                } else {
                    self.enter(frames, span);
                }
            }
            Event::Alias(..) => {
                self.enter(frames, span);
            }
            Event::SequenceStart(..) => {
                let path = self.enter(frames, span);
                frames.push(Frame::Sequence { path, next: 0 });
            }
            Event::MappingStart(..) => {
                let path = self.enter(frames, span);
                frames.push(Frame::Mapping { path, key: None });
            }
            Event::SequenceEnd | Event::MappingEnd => {
                frames.pop();
            }
            _ => {}
        }
    }

    /// A value begins: it takes the next place of what it stands in. A key stands for its value, an item for itself.
    fn enter(&mut self, frames: &mut [Frame], span: Span) -> String {
        let (path, position) = match frames.last_mut() {
            None => return String::new(),
            Some(Frame::Sequence { path, next }) => {
                *next += 1;
                (format!("{path}[{}]", *next - 1), position(span))
            }
            Some(Frame::Mapping { path, key }) => match key.take() {
                None => return format!("{path}.?"),
                Some((key, at)) if path.is_empty() => (key, at),
                Some((key, at)) => (format!("{path}.{key}"), at),
            },
        };
        self.0.entry(path.clone()).or_insert(position);
        path
    }
}

fn position(span: Span) -> Position {
    Position { line: span.start.line(), column: span.start.col() + 1 }
}
