//! The Proxy-Wasm filter: Envoy's callbacks become [`fingerpost_core`] events, and its effects become host calls. Nothing is
//! decided here, and nothing here may panic: a panic ends the worker's VM and every stream in it.

#![allow(missing_docs, reason = "`proxy_wasm::main!` writes a function without documentation; nothing else is public")]

mod abi;
mod host;
mod http;

use std::{collections::HashMap, rc::Rc, time::UNIX_EPOCH};

use fingerpost_core::{
    config::{Config, id_key_variable},
    exchange::{Counter, Exchange},
    plugin::Plugin,
};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{BufferType, ContextType, LogLevel, MetricType},
};

use crate::http::Stream;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// What the streams of one VM share.
struct Shared {
    plugin: Plugin,
    counters: HashMap<Counter, u32>,
}

/// The plugin itself. Without a configuration it refuses to start, and Envoy refuses traffic: a guard that cannot work is closed.
#[derive(Default)]
struct Root {
    shared: Option<Rc<Shared>>,
}

impl Root {
    fn configure(&mut self, size: usize) -> Result<(), String> {
        let json = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, size);
        let json = json.map_err(|status| format!("cannot be read: {status:?}"))?.ok_or("is missing")?;
        let config = Config::from_json(&json).map_err(|error| error.to_string())?;
        let now = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        let keys = id_keys(&config)?;
        let plugin =
            Plugin::new(config, &keys, now.unwrap_or_default().as_secs()).map_err(|error| error.to_string())?;
        self.shared = Some(Rc::new(Shared { plugin, counters: define_counters() }));
        Ok(())
    }
}

/// The secrets that the configuration names, from the environment that Envoy gives the VM.
fn id_keys(config: &Config) -> Result<Vec<String>, String> {
    let read = |(index, secret)| {
        let name = id_key_variable(index, secret);
        let value = std::env::var(&name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        value.ok_or_else(|| {
            format!("id_keys[{index}]: the environment variable {name} is not set, or Envoy does not pass it")
        })
    };
    config.id_keys.iter().enumerate().map(read).collect()
}

fn define_counters() -> HashMap<Counter, u32> {
    let define = |counter: Counter| {
        let id = hostcalls::define_metric(MetricType::Counter, &counter.stat());
        id.map(|id| (counter, id)).map_err(|status| log::error!("{} cannot be defined: {status:?}", counter.stat()))
    };
    Counter::all().filter_map(|counter| define(counter).ok()).collect()
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        match self.configure(size) {
            Ok(()) => true,
            Err(error) => {
                log::error!("the plugin configuration is refused: {error}");
                false
            }
        }
    }

    fn create_http_context(&self, _id: u32) -> Option<Box<dyn HttpContext>> {
        let shared = self.shared.clone()?;
        Some(Box::new(Stream { shared, exchange: Exchange::default(), calls: Vec::new() }))
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}
