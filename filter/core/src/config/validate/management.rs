//! What the management API asks of a configuration: an address of its own, and a token where strangers reach it.

use std::net::SocketAddr;

use super::Report;
use crate::config::Config;

impl Report {
    pub(super) fn management(&mut self, config: &Config) {
        let Some(management) = &config.management else { return };
        if let Some(token) = &management.token {
            self.secret("management.token", token);
        }
        let Ok(address) = management.listen.parse::<SocketAddr>() else {
            let message = format!("`{}` is not `ip:port`; write for example `127.0.0.1:8080`", management.listen);
            return self.add("management.listen", message);
        };
        if !address.ip().is_loopback() && management.token.is_none() {
            let message = format!("{address} is not loopback: whoever reaches it could ask, so set `management.token`");
            self.add("management.listen", message);
        }
        let others = [
            ("listen.data", &config.listen.data),
            ("listen.admin", &config.listen.admin),
            ("callouts.state.address", &config.callouts.state.address),
            ("callouts.classifier.address", &config.callouts.classifier.address),
        ];
        for (path, _) in others.into_iter().filter(|(_, other)| **other == management.listen) {
            // Port 0 is a free one: the same twice is two.
            if address.port() != 0 {
                self.add("management.listen", format!("{address} is `{path}` too; give it a port of its own"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests fail by panicking")]
    use serde_json::{Value, json};

    use crate::config::{Config, ConfigError};

    fn read(management: Value) -> Result<Config, ConfigError> {
        let config = json!({
            "default_model": "m",
            "models": [{"name": "m", "endpoints": [{"address": "10.0.0.1:80"}]}],
            "management": management,
        });
        Config::from_json(config.to_string().as_bytes())
    }

    #[test]
    fn it_is_off_unless_it_is_named_and_on_loopback_by_default() {
        assert_eq!(read(Value::Null).unwrap().management, None);
        let management = read(json!({})).unwrap().management.unwrap();
        assert_eq!((management.listen.as_str(), management.show_values), ("127.0.0.1:8080", false));
        assert!(read(json!({"listen": "0.0.0.0:8080", "token": {"env": "TOKEN"}})).is_ok());
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (management, path, message) in [
            (json!({"listen": "localhost:8080"}), "management.listen", "is not `ip:port`"),
            (json!({"listen": "0.0.0.0:8080"}), "management.listen", "management.token"),
            (json!({"listen": "127.0.0.1:8801"}), "management.listen", "`listen.data` too"),
            (json!({"listen": "127.0.0.1:50052"}), "management.listen", "`callouts.state.address` too"),
            (json!({"token": {"env": "no name"}}), "management.token.env", "not the name of an environment variable"),
            (json!({"port": 1}), "management.port", "unknown field"),
        ] {
            let ConfigError(problems) = read(management).unwrap_err();
            let found = problems.iter().any(|problem| problem.path == path && problem.message.contains(message));
            assert!(found, "{problems:?}");
        }
    }
}
