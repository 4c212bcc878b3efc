//! The table.

use std::fmt::Write as _;

use super::{
    Options,
    cpu::{self, Cores},
    load::Outcome,
    subject::Kind,
};

/// What was measured of one configuration at one body size, a value a round.
#[derive(Debug)]
pub(super) struct Cell {
    pub kind: Kind,
    pub bytes: usize,
    cpu_micros: Vec<f64>,
    rates: Vec<f64>,
    busy: Vec<f64>,
    added_p50: Vec<f64>,
    added_p99: Vec<f64>,
    classification: Vec<f64>,
}

pub(super) fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let upper = sorted.get(middle).copied()?;
    let lower = if sorted.len().is_multiple_of(2) { sorted.get(middle.checked_sub(1)?).copied()? } else { upper };
    Some(f64::midpoint(lower, upper))
}

impl Cell {
    pub(super) const fn new(kind: Kind, bytes: usize) -> Self {
        Self {
            kind,
            bytes,
            cpu_micros: Vec::new(),
            rates: Vec::new(),
            busy: Vec::new(),
            added_p50: Vec::new(),
            added_p99: Vec::new(),
            classification: Vec::new(),
        }
    }

    /// Takes a saturated round. `cpu` is in nanoseconds.
    pub(super) fn add(&mut self, outcome: &Outcome, cpu: u64) {
        let (requests, seconds) = (outcome.requests.max(1) as f64, outcome.elapsed.as_secs_f64());
        self.cpu_micros.push(cpu as f64 / 1_000.0 / requests);
        self.rates.push(requests / seconds);
        self.busy.push(cpu as f64 / 1e9 / seconds);
    }

    /// Takes a round at half load, beside bare Envoy at the same rate.
    pub(super) fn add_latency(&mut self, bare: &Outcome, own: &Outcome) {
        let added =
            |quantile| own.latency.value_at_quantile(quantile) as f64 - bare.latency.value_at_quantile(quantile) as f64;
        self.added_p50.push(added(0.5));
        self.added_p99.push(added(0.99));
        let (sum, count) = own.classification;
        if count > 0 {
            self.classification.push(sum as f64 / count as f64);
        }
    }

    pub(super) fn requests_per_second(&self) -> f64 {
        median(&self.rates).unwrap_or_default()
    }
}

pub(super) struct Report<'a> {
    pub cells: Vec<Cell>,
    pub options: &'a Options,
    pub cores: &'a Cores,
    pub load_before: f64,
}

impl Report<'_> {
    pub(super) fn markdown(&self) -> String {
        let mut text = String::from(
            "# Benchmarks\n\nWhat the filter costs, against the same Envoy (listener, route, cluster) without it.\n\n",
        );
        // Writing to a string cannot fail.
        let _written = self.write(&mut text);
        text.push_str(&super::core::section());
        text
    }

    fn write(&self, text: &mut String) -> std::fmt::Result {
        let Options { seconds, rounds, command, .. } = self.options;
        let pinned = match (self.cores.envoy, self.cores.rest) {
            (Some(_), Some(_)) => {
                "Envoy's one worker is pinned to one core; load generator, backend and classifier share another."
            }
            _ => "Nothing is pinned: the machine has one core.",
        };
        writeln!(
            text,
            "- Command: `{command}`\n- Machine: {}; load average of the minute before the run {:.2}\n- Envoy 1.40.0, `--concurrency 1`. {pinned}",
            cpu::machine(),
            self.load_before
        )?;
        writeln!(text, "- {rounds} rounds of {seconds} s each, all configurations in turn in every round; medians.")?;
        writeln!(
            text,
            "- CPU is Envoy's own (`/proc/PID/task/*/schedstat`) per answered request, closed loop over {} connections. Where Envoy is not near 100 % busy, requests/s is bound by the rest of the machine, not by Envoy.",
            super::CONNECTIONS
        )?;
        writeln!(
            text,
            "- Added latency: open loop at half of that configuration's own requests/s, minus bare Envoy at the same rate."
        )?;
        writeln!(
            text,
            "- Bodies are chats with a history; the question that is classified is short. Answers get `routing_metadata`, as by default, where the table does not say otherwise.\n"
        )?;
        for bytes in self.options.bodies.iter().map(|kib| kib * 1_024) {
            self.section(text, bytes)?;
        }
        Ok(())
    }

    fn section(&self, text: &mut String, bytes: usize) -> std::fmt::Result {
        writeln!(text, "## {} KB\n", bytes / 1_024)?;
        writeln!(
            text,
            "| configuration | Envoy CPU us/request | x bare | requests/s | x bare | Envoy busy | added p50 us | added p99 us | of it in the classifier |"
        )?;
        writeln!(text, "|---|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        let bare = self.cells.iter().find(|cell| cell.kind == Kind::Bare && cell.bytes == bytes);
        let (bare_cpu, bare_rate) = bare.map_or((f64::NAN, f64::NAN), |bare| {
            (median(&bare.cpu_micros).unwrap_or(f64::NAN), bare.requests_per_second())
        });
        for cell in self.cells.iter().filter(|cell| cell.bytes == bytes) {
            let cpu = median(&cell.cpu_micros).unwrap_or(f64::NAN);
            let number = |values: &[f64], digits: usize| {
                median(values).map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
            };
            let classified =
                median(&cell.classification).map_or_else(|| "-".to_owned(), |millis| format!("{millis:.1} ms"));
            writeln!(
                text,
                "| {} | {cpu:.1} | {:.2} | {:.0} | {:.2} | {:.0} % | {} | {} | {classified} |",
                cell.kind.name(),
                cpu / bare_cpu,
                cell.requests_per_second(),
                cell.requests_per_second() / bare_rate,
                median(&cell.busy).unwrap_or_default() * 100.0,
                number(&cell.added_p50, 0),
                number(&cell.added_p99, 0),
            )?;
        }
        writeln!(text)
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0]), Some(3.0));
        assert_eq!(median(&[9.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 9.0]), Some(3.0));
    }
}
