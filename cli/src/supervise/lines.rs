//! The lines that a service writes: bounded, without secrets, handed on, the last ones kept.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    sync::watch,
};

use super::{Options, Ready, Service};

/// Gets the name of a service and one line of it, without its line break.
pub type Sink = Arc<dyn Fn(&str, &str) + Send + Sync>;

/// A sink that keeps nothing.
#[must_use]
pub fn silent() -> Sink {
    Arc::new(|_, _| {})
}

// A longer line is handed on in pieces of this many bytes.
const MAX_LINE: usize = 64 * 1024;
const TAIL: usize = 20;
const HIDDEN: &str = "[secret]";
// Shorter ones would blot out ordinary words, and guard nothing.
const MIN_SECRET: usize = 4;

/// Where one service's lines go.
pub(super) struct Log {
    name: String,
    sink: Sink,
    secrets: Vec<String>,
    awaited: Option<String>,
    seen: watch::Sender<bool>,
    tail: Mutex<VecDeque<String>>,
}

impl Log {
    pub(super) fn new(service: &Service, options: &Options) -> Self {
        Self {
            name: service.name.clone(),
            sink: Arc::clone(&options.sink),
            secrets: options.secrets.iter().filter(|secret| secret.len() >= MIN_SECRET).cloned().collect(),
            awaited: awaited(&service.ready),
            seen: watch::Sender::new(false),
            tail: Mutex::default(),
        }
    }

    pub(super) fn tail(&self) -> Vec<String> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Waits for the line that readiness asks for.
    pub(super) async fn awaited_line(&self) {
        // The sender lives in `self`, so this ends with the line alone.
        let _ = self.seen.subscribe().wait_for(|seen| *seen).await;
    }

    fn push(&self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let line = self.secrets.iter().fold(text.trim_end().to_owned(), |line, secret| line.replace(secret, HIDDEN));
        (self.sink)(&self.name, &line);
        if self.awaited.as_ref().is_some_and(|awaited| line.contains(awaited.as_str())) {
            self.seen.send_replace(true);
        }
        let mut tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(line);
    }

    /// Reads lines to the end of the pipe.
    pub(super) async fn pump(self: Arc<Self>, pipe: impl AsyncRead + Unpin) {
        let mut reader = BufReader::with_capacity(MAX_LINE, pipe);
        let mut line = Vec::new();
        // A pipe that cannot be read has ended.
        while let Ok(chunk) = reader.fill_buf().await {
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            line.extend(chunk.iter().take(taken));
            reader.consume(taken);
            if end.is_some() || line.len() >= MAX_LINE {
                self.push(&line);
                line.clear();
            }
        }
        if !line.is_empty() {
            self.push(&line);
        }
    }
}

/// The first line that readiness asks for.
fn awaited(ready: &Ready) -> Option<String> {
    match ready {
        Ready::Line(text) => Some(text.clone()),
        Ready::All(all) => all.iter().find_map(awaited),
        Ready::Started | Ready::File(_) | Ready::Http(_) => None,
    }
}
