//! What guards ask of a configuration: thresholds that are some, actions that can be taken, rules that read what they route by.

use super::Report;
use crate::{
    config::{Action, Config},
    rules::{GUARDS, Rule},
};

const ALREADY_ROUTED: &str =
    "`route` leaves it to the rules, and in a decision they have spoken already; use `annotate`, `block` or `redact`";
const NO_VALUE: &str = "`redact` is for personal data: a jailbreak has no value that a placeholder could stand for; use `block`, `route` or `annotate`";

impl Report {
    pub(super) fn guards(&mut self, config: &Config) {
        if config.guards.timeout.0 == 0 {
            self.add("guards.timeout", "must be more than 0; write for example `10s`");
        }
        if let Some(pii) = &config.guards.pii {
            self.threshold("guards.pii.threshold", pii.threshold);
            if pii.restore && pii.action != Action::Redact {
                self.add("guards.pii.restore", "is for `action: redact`: nothing else takes values away; remove it");
            }
        }
        if let Some(jailbreak) = &config.guards.jailbreak {
            self.threshold("guards.jailbreak.threshold", jailbreak.threshold);
            if jailbreak.action == Action::Redact {
                self.add("guards.jailbreak.action", NO_VALUE);
            }
        }
        if let Some(pii) = &config.response_guards.pii {
            self.threshold("response_guards.pii.threshold", pii.threshold);
        }
        self.routes(config);
        self.overrides(config);
        self.digests(config);
    }

    /// What is stored of a redacted value must tell nobody the value.
    fn digests(&mut self, config: &Config) {
        let base = config
            .guards
            .pii
            .as_ref()
            .filter(|pii| pii.action == Action::Redact)
            .map(|_| "guards.pii.action".to_owned());
        let changed = config.decisions.iter().enumerate().filter_map(|(i, decision)| {
            let action = decision.guards.as_ref()?.pii.as_ref()?.action?;
            (action == Action::Redact).then(|| format!("decisions[{i}].guards.pii.action"))
        });
        if config.response_api.enabled
            && config.id_keys.is_empty()
            && let Some(path) = base.into_iter().chain(changed).next()
        {
            let message = "`redact` stores a keyed hash of each value with the conversation, and `id_keys` is empty: make a secret with `openssl rand -hex 32`, export it as FINGERPOST_ID_KEY and write `id_keys: [{ env: FINGERPOST_ID_KEY }]`, or set `response_api.enabled: false`";
            self.add(path, message);
        }
    }

    fn threshold(&mut self, path: &str, threshold: f32) {
        if !(0.0..=1.0).contains(&threshold) {
            self.add(path, format!("`{threshold}` is not 0 to 1"));
        }
    }

    /// `route` needs a rule that reads the verdict, and a rule that reads it needs the guard.
    fn routes(&mut self, config: &Config) {
        let actions =
            [config.guards.pii.as_ref().map(|pii| pii.action), config.guards.jailbreak.as_ref().map(|j| j.action)];
        for (name, action) in GUARDS.into_iter().zip(actions) {
            let readers = config.decisions.iter().enumerate().filter(|(_, decision)| {
                Rule::compile(&decision.when, &config.limits).is_ok_and(|rule| rule.reads(name))
            });
            let readers: Vec<usize> = readers.map(|(index, _)| index).collect();
            match action {
                Some(Action::Route) if readers.is_empty() => {
                    let message = format!(
                        "`route` leaves it to the rules, and no rule of `decisions` reads `{name}`: write one, such as `when: {name}.detected`, or choose another action"
                    );
                    self.add(format!("guards.{name}.action"), message);
                }
                Some(_) => {}
                None => {
                    for index in readers {
                        let message =
                            format!("reads `{name}`, but there is no `guards.{name}`: add it, or remove the rule");
                        self.add(format!("decisions[{index}].when"), message);
                    }
                }
            }
        }
    }

    fn overrides(&mut self, config: &Config) {
        for (i, decision) in config.decisions.iter().enumerate() {
            let Some(overrides) = &decision.guards else { continue };
            let at = format!("decisions[{i}].guards");
            if let Some(change) = &overrides.pii {
                let at = format!("{at}.pii");
                self.threshold(&format!("{at}.threshold"), change.threshold.unwrap_or_default());
                self.not_routed(&at, change.action);
                match &config.guards.pii {
                    None => self.add(at, missing("pii")),
                    Some(pii) if change.restore == Some(true) && pii.with(change).action != Action::Redact => {
                        self.add(
                            format!("{at}.restore"),
                            "is for `action: redact`: nothing else takes values away; remove it",
                        );
                    }
                    Some(_) => {}
                }
            }
            if let Some(change) = &overrides.jailbreak {
                let at = format!("{at}.jailbreak");
                self.threshold(&format!("{at}.threshold"), change.threshold.unwrap_or_default());
                self.not_routed(&at, change.action);
                if change.action == Some(Action::Redact) {
                    self.add(format!("{at}.action"), NO_VALUE);
                }
                if config.guards.jailbreak.is_none() {
                    self.add(at, missing("jailbreak"));
                }
            }
        }
    }

    fn not_routed(&mut self, at: &str, action: Option<Action>) {
        if action == Some(Action::Route) {
            self.add(format!("{at}.action"), ALREADY_ROUTED);
        }
    }
}

fn missing(name: &str) -> String {
    format!(
        "changes a guard that is not there: add `guards.{name}`, with `action: annotate` if other requests are to pass"
    )
}

#[cfg(test)]
mod tests;
