//! A fake LLM backend as a program: answers like the OpenAI API, records what it gets, misbehaves when told to.

use std::{net::SocketAddr, process::ExitCode};

use clap::Parser;
use fingerpost_testbed::fake::{Fake, FakeOptions};
use tokio::signal::unix::{SignalKind, signal};

/// A fake LLM backend that speaks the OpenAI API.
///
/// GET /__requests shows what it received, PUT /__behaviour with a JSON object such as {"status":429} or {"chunk_bytes":1} sets
/// how it answers, and a prompt with [[fake:{"status":500}]] sets that for itself alone.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 100)]
struct Args {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9101")]
    listen: SocketAddr,
    /// Its name, in every answer.
    #[arg(long, default_value = "fake")]
    name: String,
    /// What stands before /chat/completions.
    #[arg(long, default_value = "/v1")]
    base_path: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fingerpost-fake-llm: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(args: Args) -> std::io::Result<()> {
    let Args { listen, name, base_path } = args;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let fake = Fake::start(FakeOptions { name, address: listen, base_path, tls: None }).await?;
    println!("{} listens on http://{}", fake.name(), fake.address());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    Ok(())
}
