//! What further signals cost: the real classifier asked for one, and for all four, in turns.

use std::{
    fmt::Write as _,
    time::{Duration, Instant},
};

use fingerpost_proto::classifier::{AnalyzeRequest, Segment, Task, classifier_client::ClassifierClient};
use tonic::transport::Channel;

use super::{BenchError, Options, cpu, report::median};
use crate::harness::ClassifierProcess;

/// What is asked for, by its name in the table.
const ASKED: [(&str, &[Task]); 5] = [
    ("category", &[Task::Category]),
    ("embedding", &[Task::Embedding]),
    ("jailbreak", &[Task::Jailbreak]),
    ("personal data", &[Task::Pii]),
    ("all four", &[Task::Category, Task::Embedding, Task::Jailbreak, Task::Pii]),
];
/// Words of the texts.
const LENGTHS: [usize; 2] = [24, 400];
const WORDS: &str =
    "the garden behind our old house was quiet in early spring and Maria asked how long rivers need to carve a valley";

/// What one question cost, a value a round.
#[derive(Debug, Default)]
struct Cost {
    cpu_micros: Vec<f64>,
    wall_micros: Vec<f64>,
}

/// A section of the report.
pub(super) async fn section(options: &Options) -> Result<String, BenchError> {
    let classifier = ClassifierProcess::shared().await?;
    let unreachable = |source: tonic::transport::Error| BenchError::Io {
        what: "the classifier".to_owned(),
        source: std::io::Error::other(source),
    };
    let channel = Channel::from_shared(format!("http://{}", classifier.address));
    let channel = channel.map_err(|e| BenchError::Io {
        what: "the classifier's address".to_owned(),
        source: std::io::Error::other(e),
    })?;
    let mut client = ClassifierClient::new(channel.connect().await.map_err(unreachable)?);
    let gone =
        || BenchError::Io { what: "the classifier has ended".to_owned(), source: std::io::ErrorKind::NotFound.into() };
    let pid = classifier.process.id().ok_or_else(gone)?;
    let mut text = String::from(
        "\n## Signals\n\nOne caller, one segment a call, no text twice; the classifier's own CPU and the caller's wait, medians of the rounds.\n\n\
         | words | asked for | CPU us | x category | wait us | x category |\n|--:|---|--:|--:|--:|--:|\n",
    );
    for words in LENGTHS {
        let mut costs: Vec<Cost> = ASKED.iter().map(|_| Cost::default()).collect();
        for _ in 0..=options.rounds {
            for ((_, tasks), cost) in ASKED.iter().zip(&mut costs) {
                let time = Duration::from_secs_f64(options.seconds);
                cost.add(&mut client, Question { words, tasks, time, pid }).await?;
            }
        }
        // The first round warmed up.
        let medians = costs.iter().map(|cost| [&cost.cpu_micros, &cost.wall_micros].map(|all| of_rounds(all)));
        let medians: Vec<[f64; 2]> = medians.collect();
        let [cpu_one, wall_one] = medians.first().copied().unwrap_or([f64::NAN; 2]);
        for ((name, _), [cpu, wall]) in ASKED.iter().zip(&medians) {
            // Writing to a string cannot fail.
            let _written = writeln!(
                text,
                "| {words} | {name} | {cpu:.0} | {:.2} | {wall:.0} | {:.2} |",
                cpu / cpu_one,
                wall / wall_one
            );
        }
    }
    Ok(text)
}

fn of_rounds(values: &[f64]) -> f64 {
    values.split_first().and_then(|(_, rest)| median(rest)).unwrap_or(f64::NAN)
}

struct Question {
    words: usize,
    tasks: &'static [Task],
    time: Duration,
    pid: u32,
}

impl Cost {
    async fn add(&mut self, client: &mut ClassifierClient<Channel>, question: Question) -> Result<(), BenchError> {
        let Question { words, tasks, time, pid } = question;
        let tasks: Vec<i32> = tasks.iter().map(|task| i32::from(*task)).collect();
        let (before, started) = (cpu::time(pid)?, Instant::now());
        let mut calls = 0_u32;
        while started.elapsed() < time {
            // The number makes the text a new one: what was seen before would come from the cache.
            let body: Vec<&str> = WORDS.split(' ').cycle().take(words).collect();
            let text = format!("{} {calls} {before}", body.join(" "));
            let request = AnalyzeRequest { segments: vec![Segment { text, tasks: tasks.clone() }], tasks: Vec::new() };
            let answer = client.analyze(request).await;
            answer.map_err(|status| BenchError::Io {
                what: "Analyze".to_owned(),
                source: std::io::Error::other(status),
            })?;
            calls += 1;
        }
        let per_call = |micros: f64| micros / f64::from(calls.max(1));
        self.wall_micros.push(per_call(started.elapsed().as_secs_f64() * 1e6));
        self.cpu_micros.push(per_call(cpu::time(pid)?.saturating_sub(before) as f64 / 1_000.0));
        Ok(())
    }
}
