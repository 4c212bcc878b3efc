//! Router Memory: a turn is translated for a backend that speaks Chat Completions, with the stored conversation in front.

use fingerpost_proto::state::{
    Failure, LoadConversationResponse, Redaction, SaveResponseRequest, SaveResponseResponse, failure,
};
use prost::Message as _;

use super::{
    CalloutError, Effects, State,
    pipeline::{Awaiting, Routed, Slot},
    refuse,
    request::{self, Sent},
    response::Return,
    screen::Screening,
    turn::{self, Turn},
};
use crate::{
    body::Edit,
    config::Instructions,
    error::ApiError,
    guard::placeholders::Known,
    headers::Headers,
    ids::MemoryId,
    plugin::{Backend, Plugin},
    responses::{
        self, CreateRequest, Minted,
        chat_request::{self, Options},
        failure as errors,
        input::{self, KeepInstructions},
        tokens,
    },
    route::Create,
};

const CHAT: &str = "/v1/chat/completions";

/// What came before.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Items, oldest first.
    items: Vec<Vec<u8>>,
    /// The items that the turn refers to, by id.
    references: Vec<(String, Vec<u8>)>,
    /// What stands for values that earlier turns redacted.
    pub redactions: Vec<Known>,
}

impl History {
    /// Everything in it that a guard reads: items, then references.
    pub(super) fn documents(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().chain(self.references.iter().map(|(_, item)| item)).map(Vec::as_slice)
    }

    /// As [`History::documents`], to be changed.
    pub(super) fn documents_mut(&mut self) -> impl Iterator<Item = &mut Vec<u8>> {
        self.items.iter_mut().chain(self.references.iter_mut().map(|(_, item)| item))
    }
}

/// A turn that a chat backend answers.
#[derive(Debug)]
pub(super) struct Memory {
    pub request: CreateRequest,
    pub turn: responses::Turn,
    /// What is stored with the answer; none where the client says not to.
    pub save: Option<SaveResponseRequest>,
    /// The request's, for the trace of what is called later.
    pub headers: Headers,
}

/// Reads the state service's answer.
pub(super) fn loaded(outcome: Result<&[u8], CalloutError>, turn: Option<&Turn>) -> Result<History, ApiError> {
    let reply = outcome.ok().and_then(|bytes| LoadConversationResponse::decode(bytes).ok()).ok_or_else(unavailable)?;
    if let Some(failure) = reply.failure {
        return Err(failed(
            failure,
            turn.and_then(|turn| turn.previous.as_ref()).map(|previous| previous.text.as_str()),
        ));
    }
    // A reply of no bytes is a valid message: it must not pass for an empty history.
    let references = turn.map(|turn| turn.references.len()).unwrap_or_default();
    let expects_turns = turn.is_some_and(|turn| turn.previous.is_some());
    if (expects_turns && reply.turns.is_empty()) || reply.items.len() != references {
        return Err(unavailable());
    }
    let (mut items, mut redactions) = (Vec::new(), Vec::new());
    for turn in reply.turns {
        items.extend(turn.input_items.into_iter().chain(turn.output_items));
        for Redaction { placeholder, digest } in turn.redactions {
            let digest = digest.try_into().map_err(|_| unavailable())?;
            redactions.push(Known { placeholder, digest });
        }
    }
    let ids = turn.map(|turn| turn.references.clone()).unwrap_or_default();
    Ok(History { items, references: ids.into_iter().zip(reply.items).collect(), redactions })
}

/// Whether a response was stored.
pub(super) fn stored(outcome: Result<&[u8], CalloutError>) -> Result<(), ApiError> {
    let reply = outcome.ok().and_then(|bytes| SaveResponseResponse::decode(bytes).ok()).ok_or_else(unsaved)?;
    reply.failure.map_or(Ok(()), |failure| Err(failed(failure, None)))
}

fn unavailable() -> ApiError {
    let message = "The stored conversation could not be loaded, so the request was not sent on. Try again later.";
    ApiError::new(503, "server_error", message).code("state_unavailable")
}

fn unsaved() -> ApiError {
    let message = "The response could not be stored, and the configuration says not to give out what is not. Try again later, or send `store: false`.";
    ApiError::new(503, "server_error", message).code("state_unavailable")
}

/// What the client asked for cannot be.
fn failed(failure: Failure, previous: Option<&str>) -> ApiError {
    match failure.kind() {
        failure::Kind::ResponseNotFound => errors::previous_response_not_found(previous.unwrap_or(&failure.id)),
        failure::Kind::ConversationNotFound => errors::conversation_not_found(&failure.id),
        failure::Kind::ItemNotFound => errors::item_not_found(&failure.id),
        failure::Kind::Limit => ApiError::invalid(failure.message).code("conversation_limit_reached"),
        failure::Kind::Unspecified => unavailable(),
    }
}

/// Writes the chat completion that the backend gets.
pub(super) fn forward(plugin: &Plugin, awaiting: Awaiting, turn: Turn, routed: Routed) -> (State, Effects) {
    prepare(plugin, awaiting, &turn, routed).unwrap_or_else(|error| refuse(&error))
}

fn prepare(plugin: &Plugin, awaiting: Awaiting, turn: &Turn, routed: Routed) -> Result<(State, Effects), ApiError> {
    let Awaiting { head, body, parsed, history, .. } = awaiting;
    let backend = plugin.backend(routed.backend).ok_or_else(request::unconfigured)?;
    let History { items, references, .. } = Slot::take(history).unwrap_or_default();
    let mut request = CreateRequest::parse(&body)?;
    request.resolve(&references)?;
    let chat = chat_request::translate(&request, &items, options(backend))?;
    let counts = turn.create == Create::InputTokens;
    let (path, chat) =
        if counts { (tokenizer(backend)?.to_owned(), tokens::request(&chat)) } else { (CHAT.to_owned(), chat) };
    let mut effects = Effects::default();
    effects.headers.push((":path", Some(path.into_bytes())));
    effects.headers.push(("accept-encoding", Some(b"identity".to_vec())));
    request::set_length(&mut effects, &head.headers, chat.len());
    effects.body = Some(Edit::whole(chat));
    let placement = backend.place(parsed.key);
    request::address(&mut effects, backend, &head.headers);
    request::place(&mut effects, &placement);
    let screening = Screening::new(plugin, &routed, &head.headers).filter(|_| !counts);
    let back = if counts {
        Return::Count
    } else {
        let id = MemoryId::mint(parsed.key, turn.conversation(), turn.minted.1);
        let minted = Minted {
            response_id: id.to_string(),
            conversation_hex: format!("{:016x}", id.conversation),
            node_hex: format!("{:016x}", id.node),
        };
        let (owner, older_owners) = turn::by_age(&head.owners);
        let save = request.store.then(|| SaveResponseRequest {
            owner,
            older_owners,
            response_id: minted.response_id.clone(),
            previous_response_id: turn.previous.as_ref().map(|previous| previous.text.clone()).unwrap_or_default(),
            conversation_id: turn.conversation.map(|id| id.to_string()).unwrap_or_default(),
            response: Vec::new(),
            input_items: input::input_items(&request, &minted, keep(plugin)),
            redactions: redactions(&routed),
        });
        let turn = responses::Turn { minted, model: backend.name.clone(), created_at: turn.created_at };
        Return::Memory(Box::new(Memory { request, turn, save, headers: head.headers }))
    };
    Ok(request::sent(effects, routed, Sent { back, screening, endpoint: placement.endpoint }))
}

/// What stands for values that this turn redacted.
fn redactions(routed: &Routed) -> Vec<Redaction> {
    let minted = routed.guarded.as_ref().map(|guarded| guarded.placeholders.minted()).unwrap_or_default();
    let redaction = |known: Known| Redaction { placeholder: known.placeholder, digest: known.digest.to_vec() };
    minted.into_iter().map(redaction).collect()
}

fn options(backend: &Backend) -> Options<'_> {
    Options {
        upstream_model: &backend.upstream_name,
        max_tokens_field: backend.options.max_tokens_field,
        developer_role: backend.options.developer_role,
        reasoning: backend.options.reasoning_history,
    }
}

const fn keep(plugin: &Plugin) -> KeepInstructions {
    match plugin.config.response_api.instructions {
        Instructions::PerRequest => KeepInstructions::No,
        Instructions::Conversation => KeepInstructions::Yes,
    }
}

fn tokenizer(backend: &Backend) -> Result<&str, ApiError> {
    backend.options.tokenizer_path.as_deref().ok_or_else(|| {
        let message = format!(
            "Tokens cannot be counted for the model `{}`: its configuration names no `options.tokenizer_path`.",
            backend.name
        );
        ApiError::invalid(message).param("model").code("input_tokens_not_supported")
    })
}
