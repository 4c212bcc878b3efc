//! The command line.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};
use fingerpost_classifier::{
    heads::features::FeatureSpec,
    train::{LabelTask, TrainRequest, fit::FitConfig, names::NamesRequest},
};

/// Says what texts mean: subject area, embedding, jailbreaks and personal data, over gRPC, on candle.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true)]
pub(crate) struct Cli {
    /// Which log lines to write to stderr: a level, or `target=level` pairs
    #[arg(long, global = true, env = "FINGERPOST_LOG", default_value = "info")]
    pub log: String,
    /// The shape of log lines
    #[arg(long, global = true, env = "FINGERPOST_LOG_FORMAT", default_value = "text")]
    pub log_format: LogFormat,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve gRPC Analyze, health and reflection, and /metrics and /healthz over HTTP
    Serve(ServeArgs),
    /// Train a head on labelled prompts and write it with its report
    Train(Box<TrainArgs>),
    /// Score a configured head on labelled prompts, over the served path
    Eval(EvalArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// The configuration file
    #[arg(long, env = "FINGERPOST_CLASSIFIER_CONFIG", default_value = "classifier.yaml")]
    pub config: PathBuf,
    /// Listen here for gRPC instead of where the file says; port 0 takes a free one
    #[arg(long, env = "FINGERPOST_CLASSIFIER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Listen here for HTTP instead of where the file says; port 0 takes a free one
    #[arg(long, env = "FINGERPOST_CLASSIFIER_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Write {"grpc":"ADDRESS","metrics":"ADDRESS"} to this file once the service is ready
    #[arg(long)]
    pub ready_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct EvalArgs {
    /// The configuration file
    #[arg(long, env = "FINGERPOST_CLASSIFIER_CONFIG", default_value = "classifier.yaml")]
    pub config: PathBuf,
    /// What to score
    #[arg(long, default_value = "category")]
    pub task: EvalTask,
    /// A .jsonl file, or (for category) a directory of them; may be repeated. For pii: {"text",
    /// "entities": [{"type", "start", "end"}], "kind"?} lines
    #[arg(long, required_if_eq("task", "category"))]
    pub data: Vec<PathBuf>,
    /// For pii: so many texts that the generator writes, with names and templates never trained on
    #[arg(long, default_value_t = 0)]
    pub generated: usize,
    /// For pii: generate from what chose the temperature instead, to look at mistakes without looking at the test
    #[arg(long)]
    pub validation: bool,
    /// For pii: labelled prompts in which all finds are counted, as they hold few; those that a names
    /// head may have been trained on are left out
    #[arg(long)]
    pub prompts: Vec<PathBuf>,
    /// With --task jailbreak: harmless texts of 5,000 tokens or more, to be cut there; may be repeated
    #[arg(long)]
    pub long: Vec<PathBuf>,
    /// Print every prompt that was judged wrongly
    #[arg(long)]
    pub misses: bool,
    /// Also write the scores as JSON
    #[arg(long)]
    pub out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EvalTask {
    Category,
    Jailbreak,
    Pii,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum TrainTask {
    Category,
    Names,
    Jailbreak,
}

#[derive(Debug, Args)]
pub(crate) struct TrainArgs {
    /// What the head is for
    #[arg(long)]
    pub task: TrainTask,
    /// A .jsonl file of {"text", "label", "topic"?, "kind"?} lines, or a directory of them (its
    /// sub-directories are not entered); may be repeated. For names: {"text", "entities": [{"type",
    /// "start", "end"}]} lines, beside the texts that the generator writes
    #[arg(long, required_if_eq("task", "category"))]
    pub data: Vec<PathBuf>,
    /// The same, to choose temperature and threshold by; without it and --test, whole topics of --data are held out
    #[arg(long, requires = "test")]
    pub validation: Vec<PathBuf>,
    /// The same, to report on
    #[arg(long, requires = "validation")]
    pub test: Vec<PathBuf>,
    /// Where head.json, head.safetensors and report.json go
    #[arg(long)]
    pub out: PathBuf,
    /// The configuration file that names the encoder
    #[arg(long, env = "FINGERPOST_CLASSIFIER_CONFIG", default_value = "classifier.yaml")]
    pub config: PathBuf,
    /// Seeds split, weights, order and dropout
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// The label that means "none of the others": in a long text it does not outvote them
    #[arg(long)]
    pub background: Option<String>,
    /// Fit the written weights on all prompts, but for those of --test (the report is always that of the held-out test)
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set)]
    pub final_on_all: bool,
    /// Hide the progress bars
    #[arg(long)]
    pub quiet: bool,
    #[command(flatten)]
    pub features: FeatureArgs,
    #[command(flatten)]
    pub fit: FitArgs,
    #[command(flatten)]
    pub names: NamesArgs,
}

/// For names only
#[derive(Debug, Args)]
#[command(next_help_heading = "Names")]
pub(crate) struct NamesArgs {
    /// Labelled prompts whose texts stand around names, and alone where they hold none; may be repeated
    #[arg(long)]
    pub prompts: Vec<PathBuf>,
    /// Texts that the generator writes
    #[arg(long, default_value_t = 9000)]
    pub texts: usize,
    /// Layers whose states of a token are read; 0 is the embeddings
    #[arg(long, value_delimiter = ',', default_value = "1,3,5,6")]
    pub token_layers: Vec<usize>,
}

/// What the head reads of the encoder
#[derive(Debug, Args)]
#[command(next_help_heading = "Features")]
pub(crate) struct FeatureArgs {
    /// Layers whose mean over tokens is read; 0 is the embeddings
    #[arg(long, value_delimiter = ',', default_value = "3,4,5,6")]
    pub mean_layers: Vec<usize>,
    /// Layers whose maximum over tokens is read
    #[arg(long, value_delimiter = ',')]
    pub max_layers: Vec<usize>,
    /// Layers whose first token is read
    #[arg(long, value_delimiter = ',')]
    pub cls_layers: Vec<usize>,
}

/// How the head is fitted
#[derive(Debug, Args)]
#[command(next_help_heading = "Fitting")]
pub(crate) struct FitArgs {
    /// Networks whose logits are averaged
    #[arg(long, default_value_t = 3)]
    pub members: usize,
    /// Widths of the hidden layers
    #[arg(long, value_delimiter = ',', default_value = "128")]
    pub hidden: Vec<usize>,
    /// Passes over the data
    #[arg(long, default_value_t = 12)]
    pub epochs: usize,
    /// Prompts a step
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 1e-3)]
    pub learning_rate: f64,
    /// AdamW's weight decay
    #[arg(long, default_value_t = 0.05)]
    pub weight_decay: f64,
    /// Share of probability spread over all labels
    #[arg(long, default_value_t = 0.1)]
    pub label_smoothing: f64,
    /// Share of features dropped at random
    #[arg(long, default_value_t = 0.3)]
    pub input_dropout: f64,
    /// Share of hidden units dropped at random
    #[arg(long, default_value_t = 0.4)]
    pub hidden_dropout: f64,
    /// Mixup: weights from Beta(a, a), a up to 1; 0 is off
    #[arg(long, default_value_t = 0.0)]
    pub mixup: f64,
}

impl TrainArgs {
    pub(crate) fn request(self) -> TrainRequest {
        TrainRequest {
            task: match self.task {
                TrainTask::Jailbreak => LabelTask::Jailbreak,
                TrainTask::Category | TrainTask::Names => LabelTask::Category,
            },
            fit: self.fit.config(self.seed),
            data: self.data,
            validation: self.validation,
            test: self.test,
            out: Some(self.out),
            features: FeatureSpec {
                mean: self.features.mean_layers,
                max: self.features.max_layers,
                cls: self.features.cls_layers,
            },
            background: self.background,
            final_on_all: self.final_on_all,
            progress: !self.quiet,
        }
    }

    pub(crate) fn names_request(self) -> NamesRequest {
        NamesRequest {
            fit: self.fit.config(self.seed),
            data: self.data,
            prompts: self.names.prompts,
            out: Some(self.out),
            texts: self.names.texts,
            layers: self.names.token_layers,
            progress: !self.quiet,
        }
    }
}

impl FitArgs {
    fn config(self, seed: u64) -> FitConfig {
        FitConfig {
            seed,
            members: self.members,
            hidden: self.hidden,
            epochs: self.epochs,
            batch: self.batch,
            learning_rate: self.learning_rate,
            weight_decay: self.weight_decay,
            label_smoothing: self.label_smoothing,
            input_dropout: self.input_dropout,
            hidden_dropout: self.hidden_dropout,
            mixup: self.mixup,
        }
    }
}
