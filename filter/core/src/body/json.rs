//! A cursor over JSON text (RFC 8259): walks what is read, skips the rest, and checks the grammar of both. It builds nothing and
//! calls itself nowhere, so no nesting can exhaust the stack, and a skipped string costs an eighth of a step a byte.

use super::block;

/// JSON that is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// The byte where.
    pub at: usize,
    /// What was expected there.
    pub expected: &'static str,
}

type Result<T> = std::result::Result<T, Malformed>;

/// A JSON string as it stands, quotes included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Raw<'a> {
    pub json: &'a str,
    pub escaped: bool,
}

impl<'a> Raw<'a> {
    /// What is between the quotes, escapes as written.
    pub(crate) fn inner(self) -> &'a str {
        self.json.get(1..self.json.len().saturating_sub(1)).unwrap_or_default()
    }
}

/// What a walk comes by. `true`, `false` and `null` say nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step<'a> {
    /// An object or an array begins.
    Open {
        /// Whether it is an object.
        object: bool,
    },
    /// The innermost of them ends.
    Close,
    /// The key of the value that follows.
    Key(Raw<'a>),
    /// A string that is no key.
    Text(Raw<'a>),
    /// A number.
    Number,
}

#[derive(Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    /// Containers that are open while a value is skipped: whether each is an object.
    open: Vec<bool>,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, open: Vec::new() }
    }

    /// What has not been walked yet.
    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    const fn expected<T>(&self, expected: &'static str) -> Result<T> {
        Err(Malformed { at: self.at, expected })
    }

    /// The next byte that is not white space.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\r' | b'\t') => self.at += 1,
                byte => return byte,
            }
        }
    }

    fn eat(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.peek() == Some(byte) {
            self.at += 1;
            return Ok(());
        }
        self.expected(expected)
    }

    /// Nothing but white space may follow.
    pub(crate) fn end(&mut self) -> Result<()> {
        if self.peek().is_none() { Ok(()) } else { self.expected("the end of the document") }
    }

    /// Walks the members of an object; `member` must consume each value. Stops at the first error.
    pub(crate) fn object<E: From<Malformed>>(
        &mut self,
        mut member: impl FnMut(&mut Self, Raw<'a>) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.eat(b'{', "`{`")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            let key = self.key()?;
            member(self, key)?;
            if !self.more(b'}', "`,` or `}`")? {
                return Ok(());
            }
        }
    }

    /// Walks the elements of an array; `element` must consume each.
    pub(crate) fn array<E: From<Malformed>>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> std::result::Result<(), E>,
    ) -> std::result::Result<(), E> {
        self.eat(b'[', "`[`")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            element(self)?;
            if !self.more(b']', "`,` or `]`")? {
                return Ok(());
            }
        }
    }

    fn key(&mut self) -> Result<Raw<'a>> {
        if self.peek() != Some(b'"') {
            return self.expected("a key in double quotes");
        }
        let key = self.string()?;
        self.eat(b':', "`:`")?;
        Ok(key)
    }

    fn more(&mut self, close: u8, expected: &'static str) -> Result<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => self.expected(expected),
        }
    }

    /// Skips a value of any kind and gives its text.
    pub(crate) fn value(&mut self) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.skip()?;
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    fn skip(&mut self) -> Result<()> {
        self.walk(|_| ())
    }

    /// Walks a value of any kind, step by step, in the document's order.
    #[inline]
    pub(crate) fn walk(&mut self, mut visit: impl FnMut(Step<'a>)) -> Result<()> {
        loop {
            match self.peek() {
                Some(b'"') => visit(Step::Text(self.string()?)),
                Some(b'{') => {
                    self.at += 1;
                    visit(Step::Open { object: true });
                    if self.peek() != Some(b'}') {
                        self.open.push(true);
                        visit(Step::Key(self.key()?));
                        continue;
                    }
                    self.at += 1;
                    visit(Step::Close);
                }
                Some(b'[') => {
                    self.at += 1;
                    visit(Step::Open { object: false });
                    if self.peek() != Some(b']') {
                        self.open.push(false);
                        continue;
                    }
                    self.at += 1;
                    visit(Step::Close);
                }
                Some(b'-' | b'0'..=b'9') => {
                    self.number()?;
                    visit(Step::Number);
                }
                Some(b't') => self.literal("true")?,
                Some(b'f') => self.literal("false")?,
                Some(b'n') => self.literal("null")?,
                _ => return self.expected("a value"),
            }
            if self.close(&mut visit)? {
                return Ok(());
            }
        }
    }

    /// After a value: goes on to the next one (`false`), or out of all containers (`true`).
    #[inline]
    fn close(&mut self, visit: &mut impl FnMut(Step<'a>)) -> Result<bool> {
        while let Some(object) = self.open.last().copied() {
            let more = if object { self.more(b'}', "`,` or `}`")? } else { self.more(b']', "`,` or `]`")? };
            if more {
                if object {
                    visit(Step::Key(self.key()?));
                }
                return Ok(false);
            }
            self.open.pop();
            visit(Step::Close);
        }
        Ok(true)
    }

    /// A string, at its opening quote.
    pub(crate) fn string(&mut self) -> Result<Raw<'a>> {
        let (start, mut escaped) = (self.at, false);
        self.at += 1;
        loop {
            self.plain();
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Raw { json: self.text.get(start..self.at).unwrap_or_default(), escaped });
                }
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return self.expected("no control character in a string"),
                None => return self.expected("the end of a string"),
            }
        }
    }

    /// Moves to the next quote, backslash or control character.
    fn plain(&mut self) {
        let (blocks, tail) = self.text.as_bytes().get(self.at..).unwrap_or_default().as_chunks();
        for block in blocks {
            let stops = block::stops(block);
            if stops != 0 {
                self.at += stops.trailing_zeros() as usize;
                return;
            }
            self.at += block.len();
        }
        self.at += tail.iter().take_while(|b| !matches!(b, b'"' | b'\\' | 0..0x20)).count();
    }

    fn escape(&mut self) -> Result<()> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                let digits = self.text.as_bytes().get(self.at + 1..self.at + 5);
                if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
                    return self.expected("four hexadecimal digits");
                }
                self.at += 5;
            }
            _ => return self.expected("an escape sequence"),
        }
        Ok(())
    }

    fn literal(&mut self, literal: &'static str) -> Result<()> {
        if !self.text.as_bytes().get(self.at..).is_some_and(|rest| rest.starts_with(literal.as_bytes())) {
            return self.expected("a value");
        }
        self.at += literal.len();
        Ok(())
    }

    fn number(&mut self) -> Result<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at == start { self.expected("a digit") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn accepts(text: &str) -> bool {
        let mut cursor = Cursor::new(text);
        cursor.value().and_then(|_| cursor.end()).is_ok()
    }

    #[test]
    fn says_where() {
        for (text, at) in [
            ("", 0),
            ("[1,]", 3),
            ("{\"a\" 1}", 5),
            ("\"a\u{1}\"", 2),
            ("[01]", 2),
            ("\"\\x\"", 2),
            ("nul", 0),
            ("1.", 2),
            ("{}}", 2),
        ] {
            let mut cursor = Cursor::new(text);
            let error = cursor.value().and_then(|_| cursor.end()).err().map(|error| error.at);
            assert_eq!(error, Some(at), "{text}");
        }
    }

    #[test]
    fn nesting_costs_no_stack() {
        assert!(accepts(&format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000))));
    }

    proptest! {
        // serde_json's own skipping is the oracle.
        #[test]
        fn agrees_with_serde_json(text in r#"([\[\]{},:" ]|"[a-e\\\\n"é]{0,12}"|-?[0-9]{1,3}(\.[0-9])?(e[+-]?[0-9])?|true|false|null|\\u00e9){0,12}"#) {
            let oracle = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            prop_assert_eq!(accepts(&text), oracle, "{}", text);
        }

        #[test]
        fn accepts_what_serde_json_writes(keys in prop::collection::vec("\\PC{0,12}", 0..5), numbers in prop::collection::vec(any::<f64>(), 0..5)) {
            let value = serde_json::json!({"k": keys, "n": numbers, "o": {"a": [null, true, {}], "b": []}});
            prop_assert!(accepts(&value.to_string()));
            let pretty = format!("{value:#}");
            prop_assert!(accepts(&pretty));
        }
    }
}
