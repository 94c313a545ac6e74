//! The results: lines on the terminal as they come, and the same as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use crate::contender::Measured;
use crate::points::Point;

/// What is told, and where the Markdown goes.
pub(crate) struct Report {
    path: Option<PathBuf>,
    markdown: String,
}

/// What all rounds of a system found at a point.
#[derive(Default)]
pub(crate) struct Rounds {
    sum: Option<Measured>,
    /// Requests a second of each round.
    rates: Vec<f64>,
}

impl Rounds {
    pub(crate) fn add(&mut self, measured: Measured) {
        self.rates.push(measured.outcome.rate());
        let Some(sum) = &mut self.sum else {
            self.sum = Some(measured);
            return;
        };
        sum.server += measured.server;
        sum.resident = sum.resident.max(measured.resident);
        sum.outcome.merge(measured.outcome);
    }

    fn rate(&self) -> f64 {
        self.sum.as_ref().map_or(0.0, |sum| sum.outcome.rate())
    }

    /// Microseconds of the servers for each request.
    fn server(&self) -> f64 {
        self.sum.as_ref().map_or(0.0, |sum| sum.outcome.each(sum.server))
    }
}

impl Report {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, markdown: String::new() }
    }

    /// A line of the preliminaries.
    pub(crate) fn item(&mut self, line: &str) {
        clear();
        println!("- {line}");
        let _ = writeln!(self.markdown, "- {line}");
        self.save();
    }

    pub(crate) fn heading(&mut self) {
        clear();
        println!(
            "\n{:<17}{:<7}{:>9}{:>9}{:>10}{:>10}{:>11}{:>8}{:>9}{:>9}  rounds, ops/s",
            "point", "system", "ops/s", "MB/s", "p50 ms", "p99 ms", "CPU us/op", "MiB", "client", "Apus is"
        );
        self.markdown.push_str(
            "\n| point | system | ops/s | MB/s | p50 ms | p99 ms | CPU us/op | memory MiB | client us/op | Apus: ops/s | Apus: CPU | rounds, ops/s |\n\
             |---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---|\n",
        );
    }

    /// The lines of a point; the first system is what the others are compared with.
    pub(crate) fn point(&mut self, point: &Point, results: &[(&str, Rounds)]) {
        clear();
        let Some((_, first)) = results.first() else { return };
        for (name, result) in results {
            self.row(&point.name, name, result, first);
        }
        self.save();
    }

    fn row(&mut self, point: &str, name: &str, result: &Rounds, first: &Rounds) {
        let Some(Measured { outcome, resident, .. }) = &result.sum else { return };
        let ratio = |more: f64, less: f64| if more == less { String::new() } else { format!("{:.1} x", more / less) };
        let rounds: Vec<_> = result.rates.iter().map(|rate| figure(*rate)).collect();
        let cells = [
            figure(outcome.rate()),
            figure(outcome.megabytes()),
            format!("{:.2}", outcome.percentile(50)),
            format!("{:.2}", outcome.percentile(99)),
            figure(result.server()),
            (resident >> 20).to_string(),
            figure(outcome.each(outcome.processor)),
            ratio(first.rate(), result.rate()),
        ];
        let [rate, megabytes, p50, p99, server, memory, client, faster] = &cells;
        let rounds = rounds.join(", ");
        println!(
            "{point:<17}{name:<7}{rate:>9}{megabytes:>9}{p50:>10}{p99:>10}{server:>11}{memory:>8}{client:>9}{faster:>9}  {rounds}"
        );
        let cheaper = ratio(result.server(), first.server());
        let _ = writeln!(self.markdown, "| {point} | {name} | {} | {cheaper} | {rounds} |", cells.join(" | "));
        if outcome.failures > 0 {
            let first = outcome.first_failure.as_deref().unwrap_or_default();
            let line = format!(
                "{name} at {point}: {} answers of {} were wrong, first: {first}",
                outcome.failures,
                outcome.count()
            );
            println!("  {line}");
            let _ = writeln!(self.markdown, "| | | {} | | | | | | | | | |", line.replace(['|', '\n'], " "));
        }
    }

    fn save(&self) {
        if let Some(path) = &self.path {
            fs::write(path, &self.markdown).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}

/// What goes on, in a line that the next one replaces.
pub(crate) fn progress(since: Duration, what: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{:>3}:{:02}  {what}", since.as_secs() / 60, since.as_secs() % 60);
        let _ = std::io::stderr().flush();
    }
}

fn clear() {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

/// Three digits that matter.
fn figure(number: f64) -> String {
    match number {
        _ if number >= 100.0 => format!("{number:.0}"),
        _ if number >= 10.0 => format!("{number:.1}"),
        _ => format!("{number:.2}"),
    }
}
