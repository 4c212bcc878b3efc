//! Server-sent events (WHATWG HTML, section 9.2), read from chunks that may be cut anywhere. Bounded: a backend cannot make a
//! worker buffer without end.

/// One event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Event {
    /// `event:`; empty where there was none.
    pub name: String,
    /// `data:`, its lines joined by line feeds.
    pub data: String,
}

/// Why a stream cannot be read on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event is larger than allowed.
    #[error("an event of the stream is larger than {0} bytes")]
    TooLarge(usize),
    /// The stream is not UTF-8.
    #[error("the stream is not UTF-8")]
    NotUtf8,
}

/// The largest event by default. One chat chunk is some hundred bytes; an answer sent as one chunk is larger.
pub const DEFAULT_LIMIT: usize = 8 * 1024 * 1024;

/// Reads events from chunks.
#[derive(Debug)]
pub struct Reader {
    limit: usize,
    line: Vec<u8>,
    name: String,
    data: Option<String>,
    /// The last byte was a carriage return: a line feed that follows belongs to it.
    after_cr: bool,
    /// No line has been read: a byte order mark may stand here.
    first: bool,
    broken: Option<SseError>,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new(DEFAULT_LIMIT)
    }
}

impl Reader {
    /// A reader that takes events of up to `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self { limit, line: Vec::new(), name: String::new(), data: None, after_cr: false, first: true, broken: None }
    }

    /// Reads a chunk; complete events are appended to `events`, those before an error included.
    ///
    /// # Errors
    /// An event is too large, or not UTF-8. The reader is of no use then, and says so again.
    pub fn push(&mut self, chunk: &[u8], events: &mut Vec<Event>) -> Result<(), SseError> {
        self.broken.map_or(Ok(()), Err)?;
        let mut rest = chunk;
        while !rest.is_empty() {
            if std::mem::take(&mut self.after_cr)
                && let Some(behind) = rest.strip_prefix(b"\n")
            {
                rest = behind;
                continue;
            }
            let Some(end) = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r')) else {
                return self.extend(rest);
            };
            let (line, behind) = rest.split_at_checked(end).unwrap_or((rest, &[]));
            self.extend(line)?;
            self.after_cr = behind.first() == Some(&b'\r');
            rest = behind.get(1..).unwrap_or_default();
            events.extend(self.end_of_line()?);
        }
        Ok(())
    }

    /// The end of the stream: an event that was not ended by an empty line counts, so that a backend which forgets it loses
    /// nothing.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn finish(&mut self) -> Result<Option<Event>, SseError> {
        self.broken.map_or(Ok(()), Err)?;
        if !self.line.is_empty() {
            self.end_of_line()?;
        }
        Ok(self.dispatch())
    }

    fn extend(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len) + self.name.len();
        if held + bytes.len() > self.limit {
            return self.fail(SseError::TooLarge(self.limit));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn fail<T>(&mut self, error: SseError) -> Result<T, SseError> {
        self.broken = Some(error);
        Err(error)
    }

    fn end_of_line(&mut self) -> Result<Option<Event>, SseError> {
        let line = std::mem::take(&mut self.line);
        let Ok(line) = String::from_utf8(line) else { return self.fail(SseError::NotUtf8) };
        let first = std::mem::take(&mut self.first);
        let line = if first { line.strip_prefix('\u{feff}').unwrap_or(&line) } else { &line };
        if line.is_empty() {
            return Ok(self.dispatch());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                none => *none = Some(value.to_owned()),
            },
            "event" => value.clone_into(&mut self.name),
            // A comment (the field's name is empty), `id`, `retry`, or a field that the standard says to ignore.
            _ => {}
        }
        Ok(None)
    }

    fn dispatch(&mut self) -> Option<Event> {
        let name = std::mem::take(&mut self.name);
        self.data.take().map(|data| Event { name, data })
    }
}
