//! Finds the programs that the stack is made of.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The Envoy that the bootstrap is made for and tested with.
pub const ENVOY_VERSION: &str = "1.40.0";

/// How Envoy is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Envoy {
    /// The program itself.
    Program(PathBuf),
    /// `func-e`, which fetches the right version and runs it.
    FuncE(PathBuf),
}

/// A program that is not there.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// No Envoy.
    #[error(
        "no Envoy found: install func-e or Envoy {ENVOY_VERSION}, run `make setup`, or name it with --envoy or $FINGERPOST_ENVOY"
    )]
    Envoy,
    /// No classifier.
    #[error(
        "no fingerpost-classifier found beside this program or on PATH: name it with --classifier, or run it elsewhere and say --no-classifier"
    )]
    Classifier,
    /// No state service.
    #[error(
        "no fingerpost-state found beside this program or on PATH: name it with --state, or run it elsewhere and say --no-state"
    )]
    State,
    /// No configuration for the classifier.
    #[error("no classifier configuration at {}: name it with --classifier-config", .0.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(" or "))]
    ClassifierConfig(Vec<PathBuf>),
    /// The program that was named.
    #[error("{} is not a program", .0.display())]
    NotAProgram(PathBuf),
}

impl Envoy {
    /// The one named, else `func-e` on PATH, `envoy` on PATH, and what `make setup` installs.
    ///
    /// # Errors
    /// Where there is none.
    pub fn find(named: Option<&Path>) -> Result<Self, FindError> {
        if let Some(path) = named {
            return match path.file_name() {
                Some(name) if name == "func-e" => Ok(Self::FuncE(program(path)?)),
                _ => Ok(Self::Program(program(path)?)),
            };
        }
        let func_e = on_path("func-e").map(Self::FuncE);
        let installed = || set_up().filter(|path| is_program(path));
        func_e.or_else(|| on_path("envoy").or_else(installed).map(Self::Program)).ok_or(FindError::Envoy)
    }
}

/// The classifier named, else the one beside this program, else on PATH.
pub(super) fn classifier(named: Option<&Path>) -> Result<PathBuf, FindError> {
    service("fingerpost-classifier", named)?.ok_or(FindError::Classifier)
}

/// The state service named, else the one beside this program, else on PATH.
pub(super) fn state(named: Option<&Path>) -> Result<PathBuf, FindError> {
    service("fingerpost-state", named)?.ok_or(FindError::State)
}

fn service(name: &str, named: Option<&Path>) -> Result<Option<PathBuf>, FindError> {
    if let Some(path) = named {
        return program(path).map(Some);
    }
    let beside = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.join(name)));
    Ok(beside.filter(|path| is_program(path)).or_else(|| on_path(name)))
}

/// The classifier's configuration: the one named, else beside ours, else in the source tree.
pub(super) fn classifier_config(named: Option<&Path>, base: &Path) -> Result<PathBuf, FindError> {
    let places = match named {
        Some(path) => vec![path.to_owned()],
        None => vec![base.join("classifier.yaml"), base.join("classifier-svc/classifier.yaml")],
    };
    let found = places.iter().find(|path| path.is_file()).cloned();
    found.ok_or(FindError::ClassifierConfig(places))
}

/// A program that was named by the user: a path, or a name on PATH.
fn program(named: &Path) -> Result<PathBuf, FindError> {
    let bare = named.components().count() == 1;
    let found = if bare { named.to_str().and_then(on_path) } else { None };
    found
        .or_else(|| Some(named.to_owned()).filter(|path| is_program(path)))
        .ok_or_else(|| FindError::NotAProgram(named.to_owned()))
}

fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|path| is_program(path))
}

fn set_up() -> Option<PathBuf> {
    let cache = env::var_os("FINGERPOST_CACHE").map(PathBuf::from);
    let cache = cache.or_else(|| Some(env::home_dir()?.join(".cache/fingerpost")))?;
    Some(cache.join("venv/bin/envoy"))
}

fn is_program(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}
