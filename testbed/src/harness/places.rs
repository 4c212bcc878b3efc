//! Where the things are that the stack is made of: from the environment, else where set-up and build put them.

use std::{env, path::PathBuf};

/// Something that must be built or set up first.
#[derive(Debug, thiserror::Error)]
#[error("{what} is not at {path}: run `{fix}`, or name it in {variable}")]
pub struct Missing {
    what: &'static str,
    path: String,
    fix: &'static str,
    variable: &'static str,
}

/// The repository's root.
#[must_use]
pub fn root() -> PathBuf {
    let crate_root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    crate_root.parent().map_or_else(|| crate_root.clone(), PathBuf::from)
}

fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").unwrap_or_default()).join(".cache/fingerpost");
    env::var_os("FINGERPOST_CACHE").map_or_else(home, PathBuf::from)
}

struct Place {
    what: &'static str,
    variable: &'static str,
    fix: &'static str,
    standard: PathBuf,
}

impl Place {
    fn find(self) -> Result<PathBuf, Missing> {
        let Self { what, variable, fix, standard } = self;
        let path = env::var_os(variable).map_or(standard, PathBuf::from);
        if path.exists() {
            return Ok(path);
        }
        Err(Missing { what, path: path.display().to_string(), fix, variable })
    }
}

/// The filter's code.
///
/// # Errors
/// It has not been built.
pub fn wasm() -> Result<PathBuf, Missing> {
    let standard = root().join("target/wasm32-wasip1/wasm/fingerpost_filter.wasm");
    Place { what: "the filter", variable: "FINGERPOST_WASM", fix: "make build", standard }.find()
}

/// Envoy.
///
/// # Errors
/// It has not been set up.
pub fn envoy() -> Result<PathBuf, Missing> {
    let standard = cache().join("venv/bin/envoy");
    Place { what: "Envoy", variable: "FINGERPOST_ENVOY", fix: "make setup", standard }.find()
}

/// A binary of this workspace: beside the running one, else in the standard target folder.
fn built(name: &str) -> PathBuf {
    let beside = env::current_exe().ok().and_then(|exe| {
        let mut folders = exe.ancestors().skip(1).take(2).map(|folder| folder.join(name));
        folders.find(|path| path.exists())
    });
    beside.unwrap_or_else(|| root().join("target/release").join(name))
}

/// The classifier service.
///
/// # Errors
/// It has not been built.
pub fn classifier() -> Result<PathBuf, Missing> {
    let standard = built("fingerpost-classifier");
    Place { what: "the classifier", variable: "FINGERPOST_CLASSIFIER", fix: "make build", standard }.find()
}

/// The state service.
///
/// # Errors
/// It has not been built.
pub fn state() -> Result<PathBuf, Missing> {
    let standard = built("fingerpost-state");
    Place { what: "the state service", variable: "FINGERPOST_STATE", fix: "make build", standard }.find()
}

/// The classifier's configuration.
///
/// # Errors
/// The file is gone from the repository.
pub fn classifier_config() -> Result<PathBuf, Missing> {
    let standard = root().join("classifier-svc/classifier.yaml");
    let variable = "FINGERPOST_CLASSIFIER_CONFIG";
    Place { what: "the classifier's configuration", variable, fix: "git checkout classifier-svc", standard }.find()
}

/// The Python that has the official SDK.
///
/// # Errors
/// It has not been set up.
pub fn python() -> Result<PathBuf, Missing> {
    let standard = cache().join("venv/bin/python");
    Place { what: "the Python environment", variable: "FINGERPOST_PYTHON", fix: "make setup", standard }.find()
}
