//! `fingerpost ask`.

use crate::ask;

use super::Error;

/// Ask one question and show how it was routed.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to ask.
    prompt: String,
    /// Where Fingerpost is.
    #[arg(long, env = "FINGERPOST_URL", default_value = "http://127.0.0.1:8801")]
    url: String,
    /// The model; `auto` asks to be routed.
    #[arg(long, default_value = "auto")]
    model: String,
    /// A request header beside the usual ones; may be repeated.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Print the answer's body and the decision as one JSON object.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: Args) -> Result<(), Error> {
    let question = ask::Question { prompt: args.prompt, url: args.url, model: args.model, headers: args.header };
    let answer = super::runtime()?.block_on(ask::ask(&question))?;
    if args.json {
        println!("{:#}", answer.to_json());
    } else {
        print!("{answer}");
    }
    Ok(())
}
