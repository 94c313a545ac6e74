//! How far a pass is, for who looks on: a bar that moves on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;

use apus_base::pass::{Lines, Report};
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};

use crate::cli;

/// What shows it.
pub(crate) struct Shown {
    bar: Option<ProgressBar>,
    lines: Lines,
}

impl Shown {
    /// For the pass of that name; a bar if standard error is a terminal.
    pub(crate) fn new(name: &'static str) -> Self {
        let style = ProgressStyle::with_template("{prefix} [{wide_bar}] {percent}% {msg}");
        let bar = style.ok().filter(|_| std::io::stderr().is_terminal());
        let bar = bar.map(|style| ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(name));
        Self { bar, lines: Lines::new(name) }
    }

    /// Shows how far it is.
    pub(crate) fn update(&mut self, report: &Report) {
        if let Some(bar) = &self.bar {
            let (done, total) = report.measure();
            bar.set_length(total.max(1));
            bar.set_position(done);
            let left = report.remaining().map(|rest| format!(", {} left", HumanDuration(rest))).unwrap_or_default();
            bar.set_message(format!("{}{left}", report.brief()));
        } else if let Some(line) = self.lines.due(report) {
            cli::say(&line);
        }
    }

    /// The last line, which stays.
    pub(crate) fn end(self, report: &Report) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        cli::say(&self.lines.line(report));
    }
}
