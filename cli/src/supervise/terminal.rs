//! Lines and progress on a terminal: each service in its own colour, a spinner below while something is awaited.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use console::{Color, Style};
use indicatif::{ProgressBar, ProgressStyle};

use super::Sink;

const COLOURS: [Color; 6] = [Color::Cyan, Color::Magenta, Color::Green, Color::Yellow, Color::Blue, Color::Red];
const TICK: Duration = Duration::from_millis(100);

/// Writes to standard error; colours and the spinner where that is a terminal.
#[derive(Clone)]
pub struct Terminal {
    spinner: ProgressBar,
    names: Arc<Mutex<Vec<String>>>,
}

impl Default for Terminal {
    fn default() -> Self {
        let spinner = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed:.dim}") {
            spinner.set_style(style);
        }
        Self { spinner, names: Arc::default() }
    }
}

impl Terminal {
    /// A sink that writes `name | line`.
    #[must_use]
    pub fn sink(&self) -> Sink {
        let terminal = self.clone();
        Arc::new(move |name, line| terminal.line(name, line))
    }

    /// Shows what is awaited.
    pub fn wait(&self, message: impl Into<String>) {
        self.spinner.set_message(message.into());
        self.spinner.enable_steady_tick(TICK);
    }

    /// Shows that nothing is awaited any more.
    pub fn done(&self) {
        self.spinner.finish_and_clear();
    }

    /// Writes a line above the spinner.
    pub fn say(&self, line: &str) {
        self.spinner.suspend(|| eprintln!("{line}"));
    }

    fn line(&self, name: &str, line: &str) {
        let (index, width) = self.place(name);
        let colour = COLOURS.get(index % COLOURS.len()).copied().unwrap_or(Color::White);
        let prefix = Style::new().for_stderr().fg(colour).apply_to(format!("{name:width$} |"));
        self.say(&format!("{prefix} {line}"));
    }

    /// The number of a service, and the width of the longest name so far.
    fn place(&self, name: &str) -> (usize, usize) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let index = names.iter().position(|known| known == name).unwrap_or_else(|| {
            names.push(name.to_owned());
            names.len() - 1
        });
        (index, names.iter().map(String::len).max().unwrap_or_default())
    }
}
