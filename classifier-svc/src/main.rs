//! The `fingerpost-classifier` command: only wires what the library has.

mod cli;

use std::process::ExitCode;

use clap::Parser as _;
use cli::{Cli, Command, EvalArgs, EvalTask, LogFormat, ServeArgs, TrainArgs, TrainTask};
use fingerpost_classifier::{
    config::Config,
    eval::{attacks, eval, pii},
    serve::{ServeOptions, serve},
    train::{
        names::{lists::Part, train_names},
        train,
    },
};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let cli = Cli::parse();
    logs(&cli);
    match run(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn logs(cli: &Cli) {
    let filter = EnvFilter::try_new(&cli.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match cli.log_format {
        LogFormat::Text => logs.init(),
        LogFormat::Json => logs.json().init(),
    }
}

fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Serve(args) => run_serve(args),
        Command::Train(args) => run_train(*args),
        Command::Eval(args) => run_eval(&args),
    }
}

fn run_serve(args: ServeArgs) -> Result<(), Failure> {
    let mut config = Config::load(&args.config)?;
    config.listen = args.listen.unwrap_or(config.listen);
    config.metrics_listen = args.metrics_listen.unwrap_or(config.metrics_listen);
    let options = ServeOptions { ready_file: args.ready_file, ready: None };
    let runtime = tokio::runtime::Runtime::new()?;
    let result = runtime.block_on(async {
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = async move {
            tokio::select! {
                _ = term.recv() => {}
                _ = int.recv() => {}
            }
        };
        serve(config, options, shutdown).await.map_err(Failure::from)
    });
    // A model still loading, or a drain that timed out, must not hold the process.
    runtime.shutdown_background();
    result
}

fn run_train(args: TrainArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config)?;
    if matches!(args.task, TrainTask::Names) {
        let report = train_names(&config, &args.names_request())?;
        println!("{}", report.test.table());
        println!("names and templates never seen in training; temperature {}", report.temperature);
        return Ok(());
    }
    let report = train(&config, &args.request())?;
    println!("{}", report.test.table());
    if let Some(detection) = &report.detection {
        println!(
            "attacks among the rest: AUC {}, recall {} at 1 % false positives; at 0.5 recall {}, false positives {}",
            detection.auc, detection.recall_at_1_percent, detection.recall, detection.false_positives,
        );
    }
    println!(
        "held-out test; temperature {}, calibration error {} before and {} after it; validation accuracy {}",
        report.temperature, report.calibration_error_before, report.test.calibration_error, report.validation_accuracy,
    );
    for note in &report.notes {
        println!("note: {note}");
    }
    Ok(())
}

fn run_eval(args: &EvalArgs) -> Result<(), Failure> {
    let config = Config::load(&args.config)?;
    let runtime = tokio::runtime::Runtime::new()?;
    if matches!(args.task, EvalTask::Jailbreak) {
        let request = attacks::Request { data: args.data.clone(), long: args.long.clone(), progress: true };
        let (report, mistakes) = runtime.block_on(attacks::eval(&config, &request))?;
        println!("{}", report.table());
        for mistake in mistakes.iter().filter(|_| args.misses) {
            println!("{} {:.2}: {}", mistake.what, mistake.score, mistake.text.replace('\n', " "));
        }
        return match &args.out {
            Some(file) => Ok(std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?),
            None => Ok(()),
        };
    }
    if matches!(args.task, EvalTask::Pii) {
        let request = pii::Request {
            data: args.data.clone(),
            generated: args.generated,
            part: if args.validation { Part::Validation } else { Part::Test },
            prompts: args.prompts.clone(),
        };
        let (report, mistakes) = runtime.block_on(pii::eval(&config, &request))?;
        println!("{}", report.table());
        for mistake in mistakes.iter().filter(|_| args.misses) {
            println!("{mistake}");
        }
        return match &args.out {
            Some(file) => Ok(std::fs::write(file, serde_json::to_string_pretty(&report)? + "\n")?),
            None => Ok(()),
        };
    }
    let (scores, misses) = runtime.block_on(eval(&config, &args.data, true))?;
    println!("{}", scores.table());
    if args.misses {
        for miss in misses {
            let text = miss.text.replace('\n', " ");
            println!("{} -> {} ({:.2}): {text}", miss.truth, miss.given, miss.confidence);
        }
    }
    if let Some(file) = &args.out {
        std::fs::write(file, serde_json::to_string_pretty(&scores)? + "\n")?;
    }
    Ok(())
}
