//! The gRPC edge, for the filter: wire messages to domain types and back, errors to outcomes or status codes.

use std::sync::Arc;

use fingerpost_proto::state as wire;
use tonic::{Request, Response, Status};

use crate::{
    domain::{
        Continued, Conversations, Error, Owners, Redaction, Save, StoreError, Turn,
        ids::{ConversationId, ResponseId},
    },
    metrics::Metrics,
};

/// `fingerpost.state.v1.State`.
#[derive(Debug)]
pub struct StateService {
    /// What is stored.
    pub conversations: Arc<Conversations>,
    /// The counters.
    pub metrics: Arc<Metrics>,
}

impl StateService {
    async fn load(&self, message: wire::LoadConversationRequest) -> Result<wire::LoadConversationResponse, Error> {
        use wire::load_conversation_request::From;
        named(&message.owner, &message.older_owners)?;
        let (response, object);
        let from = match message.from {
            Some(From::PreviousResponseId(id)) => {
                response = ResponseId::parse(&id)?;
                Some(Continued::Response(&response))
            }
            Some(From::ConversationId(id)) => {
                object = ConversationId::parse(&id)?;
                Some(Continued::Conversation(&object))
            }
            None => None,
        };
        let owners = Owners { current: &message.owner, older: &message.older_owners };
        let (turns, items) = self.conversations.continued(owners, from, &message.item_ids).await?;
        Ok(wire::LoadConversationResponse { turns: turns.into_iter().map(turn).collect(), items, failure: None })
    }

    async fn save(&self, message: wire::SaveResponseRequest) -> Result<(), Error> {
        named(&message.owner, &message.older_owners)?;
        let id = ResponseId::parse(&message.response_id)?;
        let parent = given(&message.previous_response_id).map(ResponseId::parse).transpose()?;
        let conversation = given(&message.conversation_id).map(ConversationId::parse).transpose()?;
        let redactions = message.redactions.into_iter().map(redaction).collect::<Result<Vec<_>, _>>()?;
        let save = Save {
            id: &id,
            parent: parent.as_ref(),
            conversation: conversation.as_ref(),
            response: &message.response,
            input: &message.input_items,
            redactions: &redactions,
        };
        let owners = Owners { current: &message.owner, older: &message.older_owners };
        self.conversations.save(owners, save).await
    }
}

#[tonic::async_trait]
impl wire::state_server::State for StateService {
    async fn load_conversation(
        &self,
        request: Request<wire::LoadConversationRequest>,
    ) -> Result<Response<wire::LoadConversationResponse>, Status> {
        let result = self.metrics.observe("load_conversation", self.load(request.into_inner())).await;
        let message = match result {
            Ok(message) => message,
            Err(error) => wire::LoadConversationResponse { failure: Some(failure(error)?), ..Default::default() },
        };
        Ok(Response::new(message))
    }

    async fn save_response(
        &self,
        request: Request<wire::SaveResponseRequest>,
    ) -> Result<Response<wire::SaveResponseResponse>, Status> {
        let result = self.metrics.observe("save_response", self.save(request.into_inner())).await;
        let failure = result.err().map(failure).transpose()?;
        Ok(Response::new(wire::SaveResponseResponse { failure }))
    }
}

/// Keys that one deployment keeps, at most: each is a look into the store.
const OLDER: usize = 16;

fn named(owner: &str, older: &[String]) -> Result<(), Error> {
    if owner.is_empty() || older.iter().any(String::is_empty) {
        return Err(Error::Invalid("the owner is empty".to_owned()));
    }
    if older.len() > OLDER {
        return Err(Error::Invalid(format!("{} older owners, at most {OLDER}", older.len())));
    }
    Ok(())
}

fn given(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn turn(turn: Turn) -> wire::Turn {
    let redactions = turn.redactions.into_iter();
    let redactions =
        redactions.map(|Redaction { placeholder, digest }| wire::Redaction { placeholder, digest }).collect();
    wire::Turn { response_id: turn.response_id, input_items: turn.input, output_items: turn.output, redactions }
}

/// Longest placeholder and digest, in bytes: what is longer is neither.
const LONGEST: usize = 128;

fn redaction(wire::Redaction { placeholder, digest }: wire::Redaction) -> Result<Redaction, Error> {
    let sizes = [placeholder.len(), digest.len()];
    if sizes.iter().any(|size| !(1..=LONGEST).contains(size)) {
        return Err(Error::Invalid(format!("a redaction's placeholder and digest have 1 to {LONGEST} bytes each")));
    }
    Ok(Redaction { placeholder, digest })
}

/// What a client did wrong is an outcome; all else is a status.
fn failure(error: Error) -> Result<wire::Failure, Status> {
    use wire::failure::Kind;
    let message = error.to_string();
    let (kind, id) = match error {
        Error::ResponseNotFound(id) => (Kind::ResponseNotFound, id),
        Error::ConversationNotFound(id) => (Kind::ConversationNotFound, id),
        Error::ItemNotFound(id) => (Kind::ItemNotFound, id),
        Error::Limit { .. } => (Kind::Limit, String::new()),
        Error::Invalid(_) | Error::DuplicateItem(_) => return Err(Status::invalid_argument(message)),
        Error::Exists(_) => return Err(Status::already_exists(message)),
        Error::Store(StoreError::Damaged { .. }) => return Err(Status::data_loss(message)),
        Error::Store(_) => return Err(Status::unavailable(message)),
    };
    Ok(wire::Failure { kind: kind.into(), id, message })
}
