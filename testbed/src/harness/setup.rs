//! What a stack is made of, before it runs.

use serde_json::{Map, Value, json};

use super::{Classifier, Stack, StackError, stub::StubBehaviour};
use crate::fake::{Fake, FakeOptions};

/// A model of the configuration and the fake backends that serve it.
#[derive(Debug, Clone)]
pub struct ModelSetup {
    pub(super) name: String,
    pub(super) endpoints: Vec<EndpointSetup>,
    pub(super) fields: Map<String, Value>,
}

/// A fake backend as an endpoint. Models that name the same one share it.
#[derive(Debug, Clone)]
pub struct EndpointSetup {
    /// The backend; its name is the endpoint's.
    pub fake: FakeOptions,
    /// Its weight.
    pub weight: u32,
    /// A host name that stands in the configuration for the backend's address.
    pub host: Option<&'static str>,
}

impl EndpointSetup {
    /// A plain backend of weight 1.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self { fake: FakeOptions::named(name), weight: 1, host: None }
    }

    fn to_json(&self, fake: &Fake) -> Value {
        let address = match self.host {
            Some(host) => format!("{host}:{}", fake.address().port()),
            None => fake.address().to_string(),
        };
        json!({ "name": fake.name(), "address": address, "weight": self.weight })
    }
}

impl ModelSetup {
    /// A model with one backend of the same name.
    #[must_use]
    pub fn named(name: &str) -> Self {
        Self::with(name, vec![EndpointSetup::named(name)])
    }

    /// A model with these backends.
    #[must_use]
    pub fn with(name: &str, endpoints: Vec<EndpointSetup>) -> Self {
        Self { name: name.to_owned(), endpoints, fields: Map::new() }
    }

    /// Sets a further field of the model, as `fingerpost.yaml` spells it.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }
}

/// The key that ids are signed with, and the variable that holds it.
const ID_KEY: (&str, &str) = ("FINGERPOST_ID_KEY", "7f1d0c55b0a6e0b9a1c9b6d2f4e8137a");

/// Builds a [`Stack`].
#[derive(Debug, Clone)]
pub struct Builder {
    pub(super) models: Vec<ModelSetup>,
    pub(super) decisions: Vec<Value>,
    pub(super) fields: Map<String, Value>,
    pub(super) callout: Map<String, Value>,
    pub(super) state: Option<Map<String, Value>>,
    pub(super) state_callout: Map<String, Value>,
    pub(super) redis: bool,
    pub(super) classifier: Classifier,
    pub(super) env: Vec<(String, String)>,
    pub(super) concurrency: u32,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            models: Vec::new(),
            decisions: Vec::new(),
            fields: Map::new(),
            callout: Map::new(),
            state: None,
            state_callout: Map::new(),
            redis: false,
            classifier: Classifier::Stub(StubBehaviour::verdict("other", 0.9)),
            env: Vec::new(),
            concurrency: 2,
        }
    }
}

impl Builder {
    /// Adds a model; the last one is the default model unless the field says otherwise.
    #[must_use]
    pub fn model(mut self, model: ModelSetup) -> Self {
        self.models.push(model);
        self
    }

    /// Adds a rule, named after its model.
    #[must_use]
    pub fn decision(mut self, when: &str, model: &str) -> Self {
        let name = format!("{model}-rule-{}", self.decisions.len());
        self.decisions.push(json!({ "name": name, "when": when, "model": model }));
        self
    }

    /// Sets a further top-level field, as `fingerpost.yaml` spells it.
    #[must_use]
    pub fn field(mut self, name: &str, value: Value) -> Self {
        self.fields.insert(name.to_owned(), value);
        self
    }

    /// Sets a field of `callouts.classifier`.
    #[must_use]
    pub fn callout(mut self, name: &str, value: Value) -> Self {
        self.callout.insert(name.to_owned(), value);
        self
    }

    /// Serves the Responses API, with a state service of the stack's own. `fields` are those of `response_api`.
    #[must_use]
    pub fn state(mut self, fields: &Value) -> Self {
        self.state = Some(fields.as_object().cloned().unwrap_or_default());
        self.env(ID_KEY.0, ID_KEY.1)
    }

    /// Keeps conversations in a Redis server of the stack's own.
    #[must_use]
    pub fn redis(mut self) -> Self {
        self.redis = true;
        self.state(&json!({}))
    }

    /// Sets a field of `callouts.state`.
    #[must_use]
    pub fn state_callout(mut self, name: &str, value: Value) -> Self {
        self.state_callout.insert(name.to_owned(), value);
        self
    }

    /// Chooses the classifier.
    #[must_use]
    pub fn classifier(mut self, classifier: Classifier) -> Self {
        self.classifier = classifier;
        self
    }

    /// Sets a variable of Envoy's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the number of Envoy's workers; 2 unless set.
    #[must_use]
    pub const fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    /// Boots everything and waits until it serves.
    ///
    /// # Errors
    /// [`StackError`]: something is missing, refused or does not come up.
    pub async fn start(self) -> Result<Stack, StackError> {
        Stack::boot(self).await
    }

    /// The configuration document, given the running backends and the classifier's address.
    pub(super) fn document(&self, fakes: &[Fake], classifier: &str) -> Value {
        let models = self.models.iter().map(|model| {
            let endpoints = model.endpoints.iter().filter_map(|endpoint| {
                let fake = fakes.iter().find(|fake| fake.name() == endpoint.fake.name)?;
                Some(endpoint.to_json(fake))
            });
            let mut json = json!({ "name": model.name, "endpoints": endpoints.collect::<Vec<_>>() });
            merge(&mut json, &model.fields);
            json
        });
        let models: Vec<Value> = models.collect();
        let mut callout = json!({ "address": classifier, "timeout": "10s" });
        merge(&mut callout, &self.callout);
        let mut state = json!({ "timeout": "5s" });
        merge(&mut state, &self.state_callout);
        let mut response_api = json!({ "enabled": self.state.is_some() });
        merge(&mut response_api, self.state.as_ref().unwrap_or(&Map::new()));
        let mut document = json!({
            "listen": { "data": "127.0.0.1:0", "admin": "127.0.0.1:0" },
            "default_model": self.models.last().map(|model| model.name.as_str()),
            "models": models,
            "decisions": self.decisions,
            "callouts": { "classifier": callout, "state": state },
            "response_api": response_api,
        });
        if self.state.is_some() {
            merge(&mut document, &Map::from_iter([("id_keys".to_owned(), json!([{ "env": ID_KEY.0 }]))]));
        }
        merge(&mut document, &self.fields);
        document
    }
}

fn merge(into: &mut Value, fields: &Map<String, Value>) {
    if let Some(object) = into.as_object_mut() {
        object.extend(fields.clone());
    }
}
