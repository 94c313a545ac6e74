//! How far a pass is, for who looks on: a bar that moves on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use apus_base::pass::Report;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::cli;

/// How often a line is said where nothing can move.
const SAY_EVERY: Duration = Duration::from_secs(2);

/// What shows it.
pub(crate) struct Shown {
    name: &'static str,
    bar: Option<ProgressBar>,
    said: Instant,
}

impl Shown {
    /// For the pass of that name; a bar if standard error is a terminal.
    pub(crate) fn new(name: &'static str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {percent}% {msg}");
        let bar = style.ok().filter(|_| std::io::stderr().is_terminal());
        let bar = bar.map(|style| ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(name));
        Self { name, bar, said: Instant::now() }
    }

    /// Shows how far it is.
    pub(crate) fn update(&mut self, report: &Report) {
        if let Some(bar) = &self.bar {
            let (done, total) = report.measure();
            bar.set_length(total.max(1));
            bar.set_position(done);
            let left = report.remaining().map(|rest| format!(", {} left", HumanDuration(rest))).unwrap_or_default();
            bar.set_message(format!("{}{left}", report.brief()));
        } else if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            cli::say(&format!("{}: {report}", self.name));
        }
    }

    /// The last line, which stays.
    pub(crate) fn end(self, report: &Report) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        cli::say(&format!("{}: {report}", self.name));
    }
}
