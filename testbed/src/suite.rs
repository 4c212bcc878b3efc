//! Runs end-to-end cases that share a stack: booted by the first case that needs it, torn down when all have run, with the
//! stack's last log lines under every failure. Names, filters and output are those of `cargo test`.

use std::{fmt, panic::AssertUnwindSafe, pin::Pin, process::ExitCode, sync::Arc};

use futures::FutureExt as _;
use libtest_mimic::{Arguments, Failed, Trial};
use tokio::{runtime::Runtime, sync::Mutex};

use crate::harness::{Stack, StackError};

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;
type Boot = Box<dyn Fn() -> Future<Result<Stack, StackError>> + Send + Sync>;
type Case = Box<dyn FnOnce(Arc<Stack>) -> Future<()> + Send>;

/// Cases that share a stack.
pub struct Suite {
    name: &'static str,
    boot: Boot,
    cases: Vec<(&'static str, Case)>,
}

impl fmt::Debug for Suite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Suite {
    /// An empty suite.
    pub fn new<B, F>(name: &'static str, boot: B) -> Self
    where
        B: Fn() -> F + Send + Sync + 'static,
        F: std::future::Future<Output = Result<Stack, StackError>> + Send + 'static,
    {
        Self { name, boot: Box::new(move || Box::pin(boot())), cases: Vec::new() }
    }

    /// Adds a case; a panic fails it.
    #[must_use]
    pub fn case<C, F>(mut self, name: &'static str, case: C) -> Self
    where
        C: FnOnce(Arc<Stack>) -> F + Send + 'static,
        F: std::future::Future<Output = ()> + Send + 'static,
    {
        self.cases.push((name, Box::new(move |stack| Box::pin(case(stack)))));
        self
    }
}

/// A suite's stack while it runs, or why it does not.
struct Shared {
    boot: Boot,
    stack: Mutex<Option<Result<Arc<Stack>, String>>>,
}

impl Shared {
    async fn get(&self) -> Result<Arc<Stack>, String> {
        let mut stack = self.stack.lock().await;
        if let Some(known) = stack.as_ref() {
            return known.clone();
        }
        let booted = (self.boot)().await.map(Arc::new).map_err(|error| error.to_string());
        stack.insert(booted).clone()
    }
}

/// Runs suites with the arguments of `cargo test`.
#[must_use]
pub fn run(suites: Vec<Suite>) -> ExitCode {
    let arguments = Arguments::from_args();
    let runtime = match Runtime::new() {
        Ok(runtime) => Arc::new(runtime),
        Err(error) => {
            eprintln!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let (mut trials, mut stacks) = (Vec::new(), Vec::new());
    for suite in suites {
        let shared = Arc::new(Shared { boot: suite.boot, stack: Mutex::new(None) });
        stacks.push(Arc::clone(&shared));
        for (name, case) in suite.cases {
            let (runtime, shared) = (Arc::clone(&runtime), Arc::clone(&shared));
            trials.push(Trial::test(format!("{}::{name}", suite.name), move || runtime.block_on(trial(&shared, case))));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    runtime.block_on(async {
        for shared in stacks {
            shared.stack.lock().await.take();
        }
    });
    conclusion.exit_code()
}

async fn trial(shared: &Shared, case: Case) -> Result<(), Failed> {
    let stack = shared.get().await?;
    let outcome = AssertUnwindSafe(case(Arc::clone(&stack))).catch_unwind().await;
    outcome.map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked");
        Failed::from(format!("{text}\n--- the stack's last lines\n{}", stack.envoy().log().tail(12)))
    })
}
