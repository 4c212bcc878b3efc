//! Guards: what is looked for in requests and answers, and what is done about it.

use serde::{Deserialize, Serialize};

use super::{FailurePolicy, Millis};

/// What is looked for in requests. A guard that is not there costs nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Longest wait for the classifier where a guard needs it. A whole conversation takes longer than one message's category.
    pub timeout: Millis,
    /// Personal data and secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pii: Option<PiiGuard>,
    /// Jailbreaks and prompt injections.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jailbreak: Option<JailbreakGuard>,
}

impl Default for Guards {
    fn default() -> Self {
        Self { timeout: Millis(10_000), pii: None, jailbreak: None }
    }
}

/// What a guard does about what it finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// 403: nothing of the request reaches a backend.
    Block,
    /// A placeholder stands for each value. For personal data.
    Redact,
    /// Nothing by itself: the rules of `decisions` read the verdict and choose.
    Route,
    /// The response's header and metadata say it.
    Annotate,
}

impl Action {
    /// All of them, for statistics defined at start.
    pub const ALL: [Self; 4] = [Self::Block, Self::Redact, Self::Route, Self::Annotate];

    /// As the configuration, errors and statistics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::Redact => "redact",
            Self::Route => "route",
            Self::Annotate => "annotate",
        }
    }
}

/// Which texts of a request a guard reads, the fewest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GuardScope {
    /// The last message in the user's role; the prompts or inputs of completions and embeddings.
    LastUserMessage,
    /// Every message in the user's role, those of the stored conversation included.
    AllUserMessages,
    /// Every string of the body, and the stored conversation.
    AllInput,
}

/// What becomes of a request that holds something which cannot be read: an image, a file, history that a backend keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unscannable {
    /// It goes on, and the response's header says how much was not read.
    Allow,
    /// 403.
    Block,
}

/// Personal data and secrets in requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PiiGuard {
    /// The lowest score that counts, 0 to 1.
    pub threshold: f32,
    /// What is done about it.
    pub action: Action,
    /// Types that are not acted upon, nor said to be there.
    pub allow: Vec<EntityType>,
    /// What is read.
    pub scope: GuardScope,
    /// What happens where the classifier gives no verdict: `closed` answers 503, `open` goes on.
    pub on_error: FailurePolicy,
    /// What happens where something cannot be read.
    pub unscannable: Unscannable,
    /// With `redact`: whether the values stand in the answer again where the model repeats their placeholders.
    pub restore: bool,
}

impl Default for PiiGuard {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            action: Action::Block,
            allow: default_allow(),
            scope: GuardScope::AllInput,
            on_error: FailurePolicy::Closed,
            unscannable: Unscannable::Allow,
            restore: false,
        }
    }
}

/// Organisations and places name nobody.
fn default_allow() -> Vec<EntityType> {
    vec![EntityType::Organization, EntityType::Location]
}

impl PiiGuard {
    /// The guard as a decision has it.
    #[must_use]
    pub fn with(&self, change: &PiiOverride) -> Self {
        let action = change.action.unwrap_or(self.action);
        Self {
            threshold: change.threshold.unwrap_or(self.threshold),
            action,
            allow: change.allow.clone().unwrap_or_else(|| self.allow.clone()),
            scope: change.scope.unwrap_or(self.scope),
            on_error: change.on_error.unwrap_or(self.on_error),
            unscannable: change.unscannable.unwrap_or(self.unscannable),
            // Where nothing is replaced any more, there is nothing to put back.
            restore: change.restore.unwrap_or(self.restore && action == Action::Redact),
        }
    }

    /// Whether an entity of that type is acted upon. Types that are not known here are.
    #[must_use]
    pub fn acts_on(&self, kind: &str) -> bool {
        !self.allow.iter().any(|allowed| allowed.name() == kind)
    }
}

/// Jailbreaks and prompt injections in requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JailbreakGuard {
    /// The lowest score that counts, 0 to 1.
    pub threshold: f32,
    /// What is done about it; not `redact`.
    pub action: Action,
    /// What is read.
    pub scope: GuardScope,
    /// What happens where the classifier gives no verdict: `closed` answers 503, `open` goes on.
    pub on_error: FailurePolicy,
    /// What happens where something cannot be read.
    pub unscannable: Unscannable,
}

impl Default for JailbreakGuard {
    fn default() -> Self {
        Self {
            threshold: 0.5,
            action: Action::Block,
            scope: GuardScope::AllInput,
            on_error: FailurePolicy::Closed,
            unscannable: Unscannable::Allow,
        }
    }
}

impl JailbreakGuard {
    /// The guard as a decision has it.
    #[must_use]
    pub fn with(&self, change: &JailbreakOverride) -> Self {
        Self {
            threshold: change.threshold.unwrap_or(self.threshold),
            action: change.action.unwrap_or(self.action),
            scope: change.scope.unwrap_or(self.scope),
            on_error: change.on_error.unwrap_or(self.on_error),
            unscannable: change.unscannable.unwrap_or(self.unscannable),
        }
    }
}

/// What a decision changes of the guards, for the requests that it matches.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GuardOverrides {
    /// Of `guards.pii`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pii: Option<PiiOverride>,
    /// Of `guards.jailbreak`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jailbreak: Option<JailbreakOverride>,
}

/// The fields of [`PiiGuard`] that differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PiiOverride {
    /// See [`PiiGuard::threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// See [`PiiGuard::action`]; not `route`: the route has been chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// See [`PiiGuard::allow`]; the whole list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<EntityType>>,
    /// See [`PiiGuard::scope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<GuardScope>,
    /// See [`PiiGuard::on_error`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<FailurePolicy>,
    /// See [`PiiGuard::unscannable`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unscannable: Option<Unscannable>,
    /// See [`PiiGuard::restore`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<bool>,
}

/// The fields of [`JailbreakGuard`] that differ.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct JailbreakOverride {
    /// See [`JailbreakGuard::threshold`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
    /// See [`JailbreakGuard::action`]; not `route`: the route has been chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub action: Option<Action>,
    /// See [`JailbreakGuard::scope`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<GuardScope>,
    /// See [`JailbreakGuard::on_error`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_error: Option<FailurePolicy>,
    /// See [`JailbreakGuard::unscannable`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unscannable: Option<Unscannable>,
}

/// What is looked for in answers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponseGuards {
    /// Personal data and secrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pii: Option<ResponsePiiGuard>,
}

/// What is done about personal data in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ResponseAction {
    /// A placeholder stands for each value.
    Redact,
    /// The answer is withheld, or ends there.
    Block,
}

impl ResponseAction {
    /// As the configuration and statistics spell it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Redact => "redact",
            Self::Block => "block",
        }
    }
}

/// Personal data and secrets in answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ResponsePiiGuard {
    /// The lowest score that counts, 0 to 1.
    pub threshold: f32,
    /// What is done about it.
    pub action: ResponseAction,
    /// Types that are not acted upon.
    pub allow: Vec<EntityType>,
    /// What happens where the classifier gives no verdict: `closed` withholds the answer, `open` gives it.
    pub on_error: FailurePolicy,
}

impl Default for ResponsePiiGuard {
    fn default() -> Self {
        Self { threshold: 0.5, action: ResponseAction::Redact, allow: default_allow(), on_error: FailurePolicy::Closed }
    }
}

macro_rules! entity_types {
    ($($(#[$doc:meta])* $variant:ident => $name:literal,)*) => {
        /// A type of personal data or secret, as the classifier names it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EntityType {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl EntityType {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As the configuration, errors and placeholders spell it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

entity_types! {
    /// An e-mail address.
    EmailAddress => "EMAIL_ADDRESS",
    /// A telephone number.
    PhoneNumber => "PHONE_NUMBER",
    /// A payment card's number.
    CreditCard => "CREDIT_CARD",
    /// An international bank account number.
    IbanCode => "IBAN_CODE",
    /// A social security number of the United States.
    UsSsn => "US_SSN",
    /// An IPv4 or IPv6 address.
    IpAddress => "IP_ADDRESS",
    /// A driver's licence of one of the United States.
    UsDriverLicense => "US_DRIVER_LICENSE",
    /// A street with its number.
    StreetAddress => "STREET_ADDRESS",
    /// A postal code.
    ZipCode => "ZIP_CODE",
    /// A date of birth.
    DateOfBirth => "DATE_OF_BIRTH",
    /// A credential of some service.
    ApiKey => "API_KEY",
    /// A private key.
    PrivateKey => "PRIVATE_KEY",
    /// A passport of the United States.
    UsPassport => "US_PASSPORT",
    /// A bank account in the United States.
    UsBankNumber => "US_BANK_NUMBER",
    /// An address of a cryptocurrency.
    CryptoAddress => "CRYPTO_ADDRESS",
    /// A person's name.
    Person => "PERSON",
    /// An organisation's name.
    Organization => "ORGANIZATION",
    /// A place.
    Location => "LOCATION",
}
