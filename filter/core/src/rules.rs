//! Decisions as CEL expressions (Common Expression Language, cel.dev), compiled when the configuration is read.
//!
//! | variable | type | meaning |
//! |---|---|---|
//! | `category` | string | the classifier's label for the last user message |
//! | `confidence` | double | its calibrated probability, 0 to 1 |
//! | `scores` | map(string, double) | every label's probability |
//! | `text` | string | the last user message's text |
//! | `tokens` | int | estimated tokens of all messages |
//! | `messages` | int | messages in the request |
//! | `attachments` | int | parts of the last user message that are not text |
//! | `tools` | int | tools offered to the model |
//! | `stream` | bool | whether the client asked for a stream |
//! | `headers` | map(string, string) | the request's headers, names in lower case |
//! | `pii.detected` | bool | whether the guard `pii` found a type that it acts upon |
//! | `pii.types` | list(string) | those types, sorted |
//! | `jailbreak.score` | double | the highest score of the texts that the guard `jailbreak` reads, 0 to 1 |
//! | `jailbreak.detected` | bool | whether that is at least the guard's threshold |
//!
//! A rule that reads one of the first three does not match where there is no verdict, nor one that reads a guard's where that gave
//! none.

mod check;

use std::{collections::HashMap, sync::Arc};

use cel::{Context, Env, Program, Value};

use crate::{config::Limits, headers::Headers};

/// Why an expression is refused. Columns count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    /// Longer than `limits.max_rule_length`.
    #[error("is {length} bytes long, and `limits.max_rule_length` is {limit}; split it in several decisions")]
    TooLong {
        /// Its bytes.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Nested deeper than `limits.max_rule_depth`.
    #[error("is nested {depth} deep, and `limits.max_rule_depth` is {limit}; split it in several decisions")]
    TooDeep {
        /// Its depth.
        depth: usize,
        /// The limit.
        limit: usize,
    },
    /// Not CEL.
    #[error("does not parse at column {column}: {message}")]
    Syntax {
        /// Where.
        column: usize,
        /// What the parser says.
        message: String,
    },
    /// Names a variable or function that does not exist.
    #[error("unknown {kind} `{name}` at column {column}; did you mean `{nearest}`?")]
    Unknown {
        /// `variable` or `function`.
        kind: &'static str,
        /// As written.
        name: String,
        /// Where.
        column: usize,
        /// The most alike that exists.
        nearest: &'static str,
    },
    /// Evaluates to something that is not a bool, or to an error that no request can mend.
    #[error("does not yield true or false: {0}")]
    Type(String),
}

/// Variables of the request, `category`, `confidence` and `scores` aside.
pub(crate) const VARIABLES: [&str; 10] =
    ["category", "confidence", "scores", "text", "tokens", "messages", "attachments", "tools", "stream", "headers"];
/// Variables that are there where their guard is configured, and their fields.
pub(crate) const GUARDS: [&str; 2] = ["pii", "jailbreak"];
const GUARD_FIELDS: [&str; 4] = ["pii.detected", "pii.types", "jailbreak.score", "jailbreak.detected"];
const VERDICT: [&str; 3] = ["category", "confidence", "scores"];

/// What the classifier says of a text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verdict {
    /// The label with the highest probability.
    pub category: String,
    /// Its calibrated probability, 0 to 1.
    pub confidence: f32,
    /// Every label with its probability.
    pub scores: Vec<(String, f32)>,
}

/// What a request says of itself, computed inline.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestSignals {
    /// The last user message's text.
    pub text: String,
    /// Estimated tokens of all messages; 0 unless a rule reads it.
    pub tokens: u64,
    /// Number of messages.
    pub messages: usize,
    /// Parts of the last user message that are not text.
    pub attachments: usize,
    /// Number of tools; 0 unless a rule reads it.
    pub tools: usize,
    /// Whether a stream is asked for.
    pub stream: bool,
}

/// What the guard `pii` found, by the configuration that stands outside of decisions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PiiSignal {
    /// The types that it acts upon, sorted, each once.
    pub types: Vec<String>,
}

/// What the guard `jailbreak` found.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct JailbreakSignal {
    /// The highest score, 0 to 1.
    pub score: f32,
    /// Whether it is at least the threshold.
    pub detected: bool,
}

/// What the guards found; none for one that is not configured or has no verdict.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GuardSignals {
    /// Personal data.
    pub pii: Option<PiiSignal>,
    /// Jailbreaks.
    pub jailbreak: Option<JailbreakSignal>,
}

/// Everything that a rule may read.
#[derive(Debug, Clone, Copy)]
pub struct Signals<'a> {
    /// The classifier's word, if there is one.
    pub verdict: Option<&'a Verdict>,
    /// The request's own.
    pub request: &'a RequestSignals,
    /// Request headers, names in lower case; values that are not UTF-8 are replaced character by character.
    pub headers: &'a Headers,
    /// What the guards found, where there are any.
    pub guards: Option<&'a GuardSignals>,
}

impl Signals<'_> {
    fn has(&self, guard: &str) -> bool {
        self.guards.is_some_and(|guards| match guard {
            "pii" => guards.pii.is_some(),
            _ => guards.jailbreak.is_some(),
        })
    }
}

/// One compiled expression.
#[derive(Debug)]
pub struct Rule {
    program: Program,
    reads: Vec<&'static str>,
}

impl Rule {
    /// Compiles and checks an expression.
    ///
    /// # Errors
    /// [`RuleError`]: too long or deep, not CEL, an unknown name, or not a bool.
    pub fn compile(source: &str, limits: &Limits) -> Result<Self, RuleError> {
        if source.len() > limits.max_rule_length {
            return Err(RuleError::TooLong { length: source.len(), limit: limits.max_rule_length });
        }
        // The parser recurses: what it may not see must be found before it runs.
        check::depth(check::bracket_depth(source), limits.max_rule_depth)?;
        let program = Program::compile(source).map_err(|errors| check::syntax(source, &errors))?;
        let reads = check::names(&program, limits.max_rule_depth)?;
        let rule = Self { program, reads };
        rule.try_out()?;
        Ok(rule)
    }

    /// Whether it reads the classifier's verdict.
    #[must_use]
    pub fn needs_verdict(&self) -> bool {
        VERDICT.iter().any(|name| self.reads(name))
    }

    /// Whether it reads that variable.
    #[must_use]
    pub fn reads(&self, name: &str) -> bool {
        self.reads.contains(&name)
    }

    /// Whether it is true of these signals.
    ///
    /// # Errors
    /// A failure at run time, such as a missing key, in words. The rule does not match then.
    pub fn matches(&self, environment: &Environment, signals: Signals<'_>) -> Result<bool, String> {
        if self.needs_verdict() && signals.verdict.is_none() {
            return Ok(false);
        }
        if GUARDS.into_iter().any(|guard| self.reads(guard) && !signals.has(guard)) {
            return Ok(false);
        }
        match self.program.execute(&self.scope(&environment.0, signals)) {
            Ok(Value::Bool(matched)) => Ok(matched),
            Ok(other) => Err(format!("yields {}, not a bool", other.type_of())),
            Err(error) => Err(error.to_string()),
        }
    }

    /// A child scope that binds what the rule reads and nothing else.
    fn scope<'a>(&self, root: &'a Context<'a, 'a>, signals: Signals<'a>) -> Context<'a, 'a> {
        let mut scope = root.new_inner_scope();
        for name in &self.reads {
            scope.add_variable_from_value(*name, value(name, signals));
        }
        scope
    }

    /// Runs it once on empty signals: type errors show without a request.
    fn try_out(&self) -> Result<(), RuleError> {
        let (verdict, request) = (Verdict::default(), RequestSignals::default());
        let headers = Headers::default();
        let guards = GuardSignals { pii: Some(PiiSignal::default()), jailbreak: Some(JailbreakSignal::default()) };
        let signals = Signals { verdict: Some(&verdict), request: &request, headers: &headers, guards: Some(&guards) };
        match self.program.execute(&self.scope(&Environment::new().0, signals)) {
            // What depends on the request's content cannot be judged here.
            Ok(Value::Bool(_)) | Err(cel::ExecutionError::NoSuchKey(_) | cel::ExecutionError::IndexOutOfBounds(_)) => {
                Ok(())
            }
            Ok(other) => Err(RuleError::Type(format!("it yields {}", other.type_of()))),
            Err(error) => Err(RuleError::Type(error.to_string())),
        }
    }
}

fn value(name: &str, signals: Signals<'_>) -> Value {
    let int = |n: usize| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
    let string = |s: &str| Value::String(Arc::new(s.to_owned()));
    let (verdict, request) = (signals.verdict, signals.request);
    match name {
        "category" => string(verdict.map_or("", |v| &v.category)),
        "confidence" => Value::Float(verdict.map_or(0.0, |v| f64::from(v.confidence))),
        "scores" => {
            let scores = verdict.map(|v| v.scores.as_slice()).unwrap_or_default();
            scores.iter().map(|(label, score)| (label.clone(), f64::from(*score))).collect::<HashMap<_, _>>().into()
        }
        "text" => string(&request.text),
        "tokens" => Value::Int(i64::try_from(request.tokens).unwrap_or(i64::MAX)),
        "messages" => int(request.messages),
        "attachments" => int(request.attachments),
        "tools" => int(request.tools),
        "stream" => Value::Bool(request.stream),
        "pii" => {
            let types =
                signals.guards.and_then(|guards| guards.pii.as_ref()).map(|pii| pii.types.clone()).unwrap_or_default();
            HashMap::from([("detected", Value::Bool(!types.is_empty())), ("types", types.into())]).into()
        }
        "jailbreak" => {
            let jailbreak = signals.guards.and_then(|guards| guards.jailbreak).unwrap_or_default();
            let score = Value::Float(f64::from(jailbreak.score));
            HashMap::from([("score", score), ("detected", Value::Bool(jailbreak.detected))]).into()
        }
        "headers" => {
            let headers = signals.headers.iter();
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            headers.map(|(name, value)| (text(name), text(value))).collect::<HashMap<_, _>>().into()
        }
        _ => Value::Null,
    }
}

/// CEL's functions and operators: built once, shared by every evaluation.
pub struct Environment(Context<'static, 'static>);

impl std::fmt::Debug for Environment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Environment")
    }
}

impl Environment {
    /// The standard library.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::with_env(Arc::new(Env::stdlib())))
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
