//! Ids of a turn. Random bytes come from the host; here they only become names.

/// What kind of item an id names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prefix {
    Message,
    Call,
    CallOutput,
    Reasoning,
    /// What a function call is known by between model and client.
    CallId,
    /// An item of a type that has no prefix of its own here.
    Item,
}

impl Prefix {
    const fn text(self) -> &'static str {
        match self {
            Self::Message => "msg",
            Self::Call => "fc",
            Self::CallOutput => "fco",
            Self::Reasoning => "rs",
            Self::CallId => "call",
            Self::Item => "item",
        }
    }
}

/// The first ordinal of output items; input items count from 0.
pub(super) const OUTPUT: u16 = 0x8000;

/// The ids of a turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Minted {
    /// `resp_...`.
    pub response_id: String,
    /// The conversation, 16 hex digits.
    pub conversation_hex: String,
    /// The turn's node in it, 16 hex digits.
    pub node_hex: String,
}

impl Minted {
    /// The id of the item at `ordinal`.
    pub(super) fn item(&self, prefix: Prefix, ordinal: u16) -> String {
        format!("{}_{}{}{ordinal:04x}", prefix.text(), self.conversation_hex, self.node_hex)
    }

    /// The id of an output item. Past the last ordinal ids would repeat; no answer has 32768 items.
    pub(super) fn output(&self, prefix: Prefix, index: usize) -> String {
        let offset = u16::try_from(index).unwrap_or(u16::MAX).min(u16::MAX - OUTPUT);
        self.item(prefix, OUTPUT + offset)
    }
}

/// What the host knows of a turn that the request does not say.
#[derive(Debug, Clone)]
pub struct Turn {
    /// Its ids.
    pub minted: Minted,
    /// The configured name of the model that answers.
    pub model: String,
    /// When the request came, in Unix seconds.
    pub created_at: u64,
}
