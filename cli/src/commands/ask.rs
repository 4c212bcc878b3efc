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
    /// Show the signals, the decision, the model and what the guards would do, without asking any model: asks the management API.
    #[arg(long, conflicts_with = "model")]
    explain: bool,
    /// Where the management API is.
    #[arg(long, env = "FINGERPOST_MANAGEMENT_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    management: String,
    /// The management API's token, where it asks for one.
    #[arg(long, env = "FINGERPOST_MANAGEMENT_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    management_token: Option<String>,
}

pub(super) fn run(args: Args) -> Result<(), Error> {
    let url = if args.explain { args.management } else { args.url };
    let question = ask::Question { prompt: args.prompt, url, model: args.model, headers: args.header };
    let runtime = super::runtime()?;
    if args.explain {
        let explanation = runtime.block_on(ask::explain(&question, args.management_token.as_deref()))?;
        if args.json {
            println!("{:#}", explanation.json());
        } else {
            print!("{explanation}");
        }
        return Ok(());
    }
    let answer = runtime.block_on(ask::ask(&question))?;
    if args.json {
        println!("{:#}", answer.to_json());
    } else {
        print!("{answer}");
    }
    Ok(())
}
