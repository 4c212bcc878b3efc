//! A turn of the Responses API: what it continues, and which models may go on with it.

use std::ops::Range;

use fingerpost_proto::state::{LoadConversationRequest, load_conversation_request::From};
use prost::Message as _;

use super::{
    Buffering, Moment,
    pipeline::{Awaiting, Parsed},
    request,
};
use crate::{
    affinity::{Key, Source},
    error::ApiError,
    ids::{ConversationId, Owner, ResponseId},
    native::Request,
    plugin::{Plugin, Scope},
    responses::failure,
    route::Create,
    rules::RequestSignals,
};

/// What is known of a turn before a model is chosen.
#[derive(Debug)]
pub(super) struct Turn {
    /// Whether an answer is asked for, or only its input's tokens.
    pub create: Create,
    pub previous: Option<Previous>,
    pub conversation: Option<ConversationId>,
    /// Items that are referred to and lie in the state service.
    pub references: Vec<String>,
    /// How much of the conversation a backend keeps, where nobody else can read it: what it continues, and items.
    pub held: usize,
    /// Random, for a conversation that begins here, and for the turn.
    pub minted: (u64, u64),
    /// Unix seconds.
    pub created_at: u64,
}

/// The response that a turn follows.
#[derive(Debug)]
pub(super) struct Previous {
    pub id: ResponseId,
    /// As the client wrote it.
    pub text: String,
    /// Where its JSON string stands in the body.
    pub span: Range<usize>,
}

impl Turn {
    /// The encoded `LoadConversation`, where something of the turn lies in the state service.
    pub(super) fn load(&self, owners: &[Owner]) -> Option<Vec<u8>> {
        let from = match (&self.previous, self.conversation) {
            (Some(Previous { id: ResponseId::Memory(id), .. }), _) => Some(From::PreviousResponseId(id.to_string())),
            (_, Some(id)) => Some(From::ConversationId(id.to_string())),
            _ => None,
        };
        if from.is_none() && self.references.is_empty() {
            return None;
        }
        let (owner, older_owners) = by_age(owners);
        Some(LoadConversationRequest { owner, item_ids: self.references.clone(), from, older_owners }.encode_to_vec())
    }

    /// Which conversation of the state service the turn belongs to.
    pub(super) fn conversation(&self) -> u64 {
        match (&self.previous, self.conversation) {
            (Some(Previous { id: ResponseId::Memory(id), .. }), _) => id.conversation,
            (_, Some(id)) => id.conversation,
            _ => self.minted.0,
        }
    }
}

/// The owner as of today, and as older keys made it.
pub(super) fn by_age(owners: &[Owner]) -> (String, Vec<String>) {
    let mut owners = owners.iter().map(ToString::to_string);
    (owners.next().unwrap_or_default(), owners.collect())
}

/// Reads a body of `POST /v1/responses` or `.../input_tokens`.
pub(super) fn read(
    plugin: &Plugin,
    head: Buffering,
    body: Vec<u8>,
    moment: &dyn Moment,
) -> Result<Box<Awaiting>, ApiError> {
    request::check_body(plugin, &body)?;
    let request = Request::parse(&body, plugin.needs)?;
    let named = request::named(plugin, &request.model)?;
    if named.is_none() && head.create == Create::InputTokens {
        return Err(request::auto_not_supported(&request.model));
    }
    let previous = previous(plugin, &head.owners, &request)?;
    let conversation = conversation(&request)?;
    if previous.is_some() && conversation.is_some() {
        let message = "Mutually exclusive parameters: 'previous_response_id' and 'conversation'. Ensure you are only providing one of them.";
        return Err(ApiError::invalid(message).param("previous_response_id").code("mutually_exclusive_parameters"));
    }
    let keeps = named.and_then(|index| plugin.backend(index)).is_some_and(|backend| backend.keeps_responses);
    let scope = match &previous {
        Some(Previous { id: ResponseId::Native(native), .. }) => Scope::Pool(native.pool),
        Some(_) => Scope::Memory,
        None if conversation.is_some() || (!request.references.is_empty() && !keeps) => Scope::Memory,
        None => Scope::Any,
    };
    check_scope(plugin, named, scope)?;
    let native = matches!(previous, Some(Previous { id: ResponseId::Native(_), .. }));
    let held = if scope == Scope::Memory { 0 } else { request.references.len() + usize::from(native) };
    let references = match scope {
        Scope::Memory => request.references.iter().map(|id| id.clone().into_owned()).collect(),
        _ => Vec::new(),
    };
    let without = || ApiError::new(500, "server_error", "No id can be made: the gateway has no source of randomness.");
    let turn = Turn {
        create: head.create,
        references,
        held,
        minted: moment.random().zip(moment.random()).ok_or_else(without)?,
        created_at: moment.unix_seconds(),
        previous,
        conversation,
    };
    let parsed = Parsed {
        key: key(plugin, &head, &request, &turn),
        model_span: request.model_span.clone(),
        signals: signals(plugin, named, &request)?,
    };
    let awaiting = Awaiting::new(head, body, parsed);
    Ok(Box::new(Awaiting { named, scope, turn: Some(Box::new(turn)), ..awaiting }))
}

/// The id of a response, as one of the owners got it.
pub(super) fn response_id(plugin: &Plugin, owners: &[Owner], id: &str) -> Option<ResponseId> {
    owners.iter().find_map(|owner| ResponseId::read(&plugin.keys, owner, id).ok())
}

fn previous(plugin: &Plugin, owners: &[Owner], request: &Request<'_>) -> Result<Option<Previous>, ApiError> {
    let Some((text, span)) = request.previous_response_id.as_deref().zip(request.previous_span.clone()) else {
        return Ok(None);
    };
    let id = response_id(plugin, owners, text).ok_or_else(|| failure::previous_response_not_found(text))?;
    Ok(Some(Previous { id, text: text.to_owned(), span }))
}

fn conversation(request: &Request<'_>) -> Result<Option<ConversationId>, ApiError> {
    let Some(id) = request.conversation.as_deref() else { return Ok(None) };
    id.parse().map(Some).map_err(|_| failure::conversation_not_found(id))
}

/// Whether a model that the client named may go on with the conversation.
fn check_scope(plugin: &Plugin, named: Option<usize>, scope: Scope) -> Result<(), ApiError> {
    if let Scope::Pool(_) = scope
        && plugin.within(scope).next().is_none()
    {
        return Err(gone());
    }
    let Some(backend) = named.filter(|named| !plugin.within(scope).any(|index| index == *named)) else { return Ok(()) };
    let name = plugin.backend(backend).map(|backend| backend.name.as_str()).unwrap_or_default();
    let message = match scope {
        Scope::Pool(_) => {
            let others: Vec<_> = plugin.within(scope).filter_map(|index| plugin.backend(index)).collect();
            let mut others: Vec<_> = others.iter().map(|backend| format!("`{}`", backend.name)).collect();
            others.dedup();
            format!(
                "The model `{name}` cannot go on with this conversation: it is held by the backends of {}, and `{name}` is not in their state pool. Name one of them, or `{}`.",
                others.join(", "),
                plugin.config.auto_model,
            )
        }
        _ => format!(
            "The model `{name}` cannot go on with this conversation: its backends keep their own, and this one is kept here. Name another model, or `{}`; with `memory: true` in its configuration this model could.",
            plugin.config.auto_model,
        ),
    };
    Err(ApiError::invalid(message).param("model").code("model_not_in_state_pool"))
}

/// The backend that holds a conversation is not configured any more.
pub(super) fn gone() -> ApiError {
    let message = "The backend instance that holds this conversation is no longer configured, and no other one can answer for it.";
    ApiError::new(503, "server_error", message).code("endpoint_unavailable")
}

fn key(plugin: &Plugin, head: &Buffering, request: &Request<'_>, turn: &Turn) -> Key {
    if let Some(previous) = &turn.previous {
        return previous.id.key();
    }
    if let Some(conversation) = turn.conversation {
        return conversation.key;
    }
    let named = request::named_key(plugin, &head.headers, request.prompt_cache_key.as_deref());
    named.unwrap_or_else(|| Key::new(Source::Prefix(&request.prefix())))
}

fn signals(plugin: &Plugin, named: Option<usize>, request: &Request<'_>) -> Result<RequestSignals, ApiError> {
    let stream = request.stream;
    if named.is_some() {
        return Ok(RequestSignals { stream, ..RequestSignals::default() });
    }
    let content = request.content()?;
    Ok(RequestSignals {
        text: content.text.into_owned(),
        tokens: request.tokens,
        messages: request.messages,
        attachments: content.attachments,
        tools: if plugin.needs_tools { request.tool_count() } else { 0 },
        stream,
    })
}
