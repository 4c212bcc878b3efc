//! Tools and `tool_choice`: the flat shape of the Responses API, and the nested one of Chat Completions.

use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    failure,
    json::{self, Object},
};
use crate::error::ApiError;

/// One tool of a request.
#[derive(Debug, Clone)]
pub(super) enum Tool {
    Function(Function),
    /// Any other type, which runs on OpenAI's servers or has a shape that chat backends do not take.
    Other(String),
}

#[derive(Debug, Clone)]
pub(super) struct Function {
    pub name: String,
    description: Option<Box<RawValue>>,
    parameters: Option<Box<RawValue>>,
    strict: Option<Box<RawValue>>,
    /// A member that a chat backend has no place for.
    extra: Option<String>,
    /// As the Response shows it: as written, with what the API's schema requires of it.
    pub echo: Box<RawValue>,
}

/// What a chat function has too.
const SERVED: [&str; 5] = ["type", "name", "description", "parameters", "strict"];
const KEYS: [&str; 9] = [
    "type",
    "name",
    "description",
    "parameters",
    "strict",
    "defer_loading",
    "allowed_callers",
    "async",
    "output_schema",
];

impl Tool {
    pub(super) fn parse(json: &RawValue, index: usize) -> Result<Self, ApiError> {
        let object = Object::parse(json.get(), &format!("tools[{index}]"), &KEYS)?;
        let kind = object.required_string("type")?;
        if kind != "function" {
            return Ok(Self::Other(kind));
        }
        object.boolean("strict")?;
        let null = json::null();
        let required: Vec<(&str, &RawValue)> = ["description", "parameters", "strict"]
            .into_iter()
            .filter(|name| object.raw(name).is_none())
            .map(|name| (name, &*null))
            .collect();
        let meaningless = |value: &RawValue| matches!(value.get(), "null" | "false" | r#"["direct"]"#);
        let extra = object.members().find(|(key, value)| !SERVED.contains(key) && !meaningless(value));
        Ok(Self::Function(Function {
            name: object.required_string("name")?,
            description: object.raw_string("description")?,
            parameters: object.raw_object("parameters")?,
            strict: object.raw("strict").map(ToOwned::to_owned),
            extra: extra.map(|(key, _)| key.to_owned()),
            echo: object.with(&required),
        }))
    }

    /// Refuses what a chat backend cannot serve.
    pub(super) fn check(&self, index: usize) -> Result<&Function, ApiError> {
        match self {
            Self::Function(Function { extra: Some(extra), .. }) => Err(failure::unsupported(
                &format!("tools[{index}].{extra}"),
                &format!("A function's `{}`", failure::excerpt(extra)),
            )),
            Self::Function(function) => Ok(function),
            Self::Other(kind) => Err(failure::unsupported(
                &format!("tools[{index}].type"),
                &format!("A tool of type `{}`", failure::excerpt(kind)),
            )),
        }
    }
}

/// A tool as Chat Completions has it.
#[derive(Serialize)]
pub(super) struct ChatTool<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: ChatFunction<'a>,
}

#[derive(Serialize)]
struct ChatFunction<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    strict: Option<&'a RawValue>,
}

impl Function {
    pub(super) fn chat(&self) -> ChatTool<'_> {
        let function = ChatFunction {
            name: &self.name,
            description: self.description.as_deref(),
            parameters: self.parameters.as_deref(),
            strict: self.strict.as_deref(),
        };
        ChatTool { kind: "function", function }
    }
}

/// Which tools the model may or must call.
#[derive(Debug, Clone)]
pub(super) enum Choice {
    /// `auto`, `none`, `required`.
    Mode(String),
    Function(String),
    Allowed {
        mode: String,
        names: Vec<String>,
    },
    /// A choice of a tool that is not a function.
    Other(String),
}

const MODES: [&str; 3] = ["auto", "none", "required"];

impl Choice {
    pub(super) fn parse(json: &RawValue) -> Result<Self, ApiError> {
        if json.get().starts_with('"') {
            let mode: String = serde_json::from_str(json.get())
                .map_err(|_| failure::invalid_type("tool_choice", "a string", json.get()))?;
            return if MODES.contains(&mode.as_str()) {
                Ok(Self::Mode(mode))
            } else {
                Err(failure::invalid_value("tool_choice", &mode, &MODES))
            };
        }
        let object = Object::parse(json.get(), "tool_choice", &["type", "name", "mode", "tools"])?;
        match object.required_string("type")?.as_str() {
            "function" => Ok(Self::Function(object.required_string("name")?)),
            "allowed_tools" => {
                let mode =
                    object.word("mode", &["auto", "required"])?.ok_or_else(|| failure::missing("tool_choice.mode"))?;
                let tools = object.list("tools")?.ok_or_else(|| failure::missing("tool_choice.tools"))?;
                let names =
                    tools.into_iter().enumerate().map(|(i, tool)| allowed(tool, i)).collect::<Result<_, _>>()?;
                Ok(Self::Allowed { mode, names })
            }
            other => Ok(Self::Other(other.to_owned())),
        }
    }

    /// Refuses a choice that a chat backend cannot follow, or that the request's tools do not hold.
    pub(super) fn check(&self, tools: &[&Function]) -> Result<(), ApiError> {
        let known = |name: &String, param: &str| {
            if tools.iter().any(|tool| tool.name == *name) {
                return Ok(());
            }
            let message = format!("Tool choice '{}' not found in 'tools' parameter.", failure::excerpt(name));
            Err(ApiError::invalid(message).param(param).code("invalid_value"))
        };
        match self {
            Self::Mode(mode) if mode == "required" && tools.is_empty() => {
                Err(ApiError::invalid("Tool choice 'required' must be specified with 'tools' parameter.")
                    .param("tool_choice")
                    .code("invalid_value"))
            }
            Self::Mode(_) => Ok(()),
            Self::Function(name) => known(name, "tool_choice"),
            Self::Allowed { names, .. } => names.iter().try_for_each(|name| known(name, "tool_choice.tools")),
            Self::Other(kind) => Err(failure::unsupported(
                "tool_choice.type",
                &format!("A tool choice of type `{}`", failure::excerpt(kind)),
            )),
        }
    }

    /// As Chat Completions has it.
    pub(super) fn chat(&self) -> serde_json::Value {
        let function = |name: &String| serde_json::json!({"type": "function", "function": {"name": name}});
        match self {
            Self::Mode(mode) | Self::Other(mode) => serde_json::Value::from(mode.as_str()),
            Self::Function(name) => function(name),
            Self::Allowed { mode, names } => {
                let tools: Vec<_> = names.iter().map(function).collect();
                serde_json::json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}})
            }
        }
    }
}

fn allowed(json: &RawValue, index: usize) -> Result<String, ApiError> {
    let object = Object::parse(json.get(), &format!("tool_choice.tools[{index}]"), &["type", "name"])?;
    match object.required_string("type")?.as_str() {
        "function" => object.required_string("name"),
        other => Err(failure::unsupported(
            &object.path("type"),
            &format!("An allowed tool of type `{}`", failure::excerpt(other)),
        )),
    }
}
