//! The guards that hold for a request, and what of it they read.

use std::borrow::Cow;

use super::segments::Speaker;
use crate::config::{Config, Decision, GuardScope, JailbreakGuard, Millis, PiiGuard};

/// The guards of one request, one decision's changes made.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Policy {
    pub pii: Option<PiiGuard>,
    pub jailbreak: Option<JailbreakGuard>,
}

/// What each guard reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Scopes {
    pub pii: Option<GuardScope>,
    pub jailbreak: Option<GuardScope>,
}

/// The guards of a configuration.
#[derive(Debug)]
pub(crate) struct Plan {
    pub policy: Policy,
    /// What is read where any decision may come to hold.
    any: Scopes,
    pub timeout: Millis,
}

impl GuardScope {
    /// Whether it takes in what that speaker says.
    pub(crate) fn covers(self, speaker: Speaker) -> bool {
        let widest = match self {
            Self::LastUserMessage => Speaker::LastUser,
            Self::AllUserMessages => Speaker::User,
            Self::AllInput => Speaker::Other,
        };
        speaker <= widest
    }
}

impl Scopes {
    /// The wider of the two.
    pub(crate) fn widest(self) -> Option<GuardScope> {
        self.pii.max(self.jailbreak)
    }

    fn or(self, other: Self) -> Self {
        Self { pii: self.pii.max(other.pii), jailbreak: self.jailbreak.max(other.jailbreak) }
    }
}

impl Policy {
    pub(crate) fn scopes(&self) -> Scopes {
        Scopes {
            pii: self.pii.as_ref().map(|pii| pii.scope),
            jailbreak: self.jailbreak.as_ref().map(|jailbreak| jailbreak.scope),
        }
    }

    /// The guards where that decision matched.
    pub(crate) fn of(&self, decision: Option<&Decision>) -> Cow<'_, Self> {
        let Some(changes) = decision.and_then(|decision| decision.guards.as_ref()) else { return Cow::Borrowed(self) };
        let pii =
            self.pii.as_ref().map(|pii| changes.pii.as_ref().map_or_else(|| pii.clone(), |change| pii.with(change)));
        let jailbreak = self.jailbreak.as_ref().map(|jailbreak| {
            changes.jailbreak.as_ref().map_or_else(|| jailbreak.clone(), |change| jailbreak.with(change))
        });
        Cow::Owned(Self { pii, jailbreak })
    }
}

impl Plan {
    /// None where no guard is configured.
    pub(crate) fn new(config: &Config) -> Option<Self> {
        let policy = Policy { pii: config.guards.pii.clone(), jailbreak: config.guards.jailbreak.clone() };
        let base = policy.scopes();
        base.widest()?;
        let any = config.decisions.iter().map(|decision| policy.of(Some(decision)).scopes()).fold(base, Scopes::or);
        Some(Self { policy, any, timeout: config.guards.timeout })
    }

    /// What must be read. A model that the client named was chosen by no decision.
    pub(crate) fn scopes(&self, named: bool) -> Scopes {
        if named { self.policy.scopes() } else { self.any }
    }
}
