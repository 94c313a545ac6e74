//! The table, on the terminal and as Markdown.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;
use crate::{Kind, Measured};

/// What was found so far.
pub(crate) struct Report {
    path: Option<PathBuf>,
    markdown: String,
}

/// One measurement.
pub(crate) struct Row<'a> {
    pub(crate) kind: Kind,
    pub(crate) clients: &'a str,
    pub(crate) measured: &'a Measured,
    /// Requests a second, if they did not wait for answers.
    pub(crate) offered: Option<f64>,
    /// The best that was found, in requests a second.
    pub(crate) best: f64,
    /// Bytes of memory before this kind.
    pub(crate) before: u64,
}

const COLUMNS: [&str; 14] = [
    "kind",
    "clients",
    "offered/s",
    "sent/s",
    "good/s",
    "of the best",
    "refused/s",
    "p50 ms",
    "p99 ms",
    "p50 of 503, ms",
    "server us/op",
    "client us/op",
    "MiB before, most, after",
    "failures",
];

impl Report {
    pub(crate) fn new(path: Option<PathBuf>) -> Self {
        Self { path, markdown: String::new() }
    }

    pub(crate) fn heading(&mut self, options: &Options) {
        println!("{} times the best of each kind for {} s\n", options.factor, options.time.as_secs_f64());
        let row = format!("| {} |", COLUMNS.join(" | "));
        let rule = format!("|---|---|{}|---|---:|", "---:|".repeat(COLUMNS.len() - 4).trim_end_matches('|'));
        self.add(&[row, rule]);
    }

    pub(crate) fn row(&mut self, row: &Row<'_>) {
        let Measured { outcome, server, most, after } = row.measured;
        let seconds = outcome.took.as_secs_f64();
        let answers = outcome.count() + outcome.late + outcome.refused.len();
        let each = |spent: Duration| format!("{:.0}", spent.as_secs_f64() * 1e6 / answers.max(1) as f64);
        let mut refusals: Vec<_> = outcome.refused.iter().map(|(_, took)| *took).collect();
        refusals.sort_unstable();
        let refusal =
            refusals.get(refusals.len() / 2).map_or(String::new(), |took| format!("{:.0}", took.as_secs_f64() * 1e3));
        let mebibytes = [row.before, *most, *after].map(|bytes| (bytes >> 20).to_string());
        let cells = [
            format!("{:?}", row.kind).to_uppercase(),
            row.clients.to_owned(),
            row.offered.map_or(String::new(), |rate| format!("{rate:.0}")),
            format!("{:.0}", (answers + outcome.failures) as f64 / seconds),
            format!("{:.0}", outcome.rate()),
            format!("{:.0} %", 100.0 * outcome.rate() / row.best),
            format!("{:.0}", outcome.refused.len() as f64 / seconds),
            format!("{:.1}", outcome.percentile(50)),
            format!("{:.1}", outcome.percentile(99)),
            refusal,
            each(*server),
            each(outcome.processor),
            mebibytes.join(", "),
            outcome.failures.to_string(),
        ];
        self.add(&[format!("| {} |", cells.join(" | "))]);
        if let Some(first) = &outcome.first_failure {
            println!("  the first failure: {first}");
        }
    }

    fn add(&mut self, lines: &[String]) {
        for line in lines {
            println!("{line}");
            let _ = writeln!(self.markdown, "{line}");
        }
        if let Some(path) = &self.path {
            fs::write(path, &self.markdown).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        }
    }
}
