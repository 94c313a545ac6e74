//! The table: a line for each thing measured, a column for each size.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::options::Options;
use crate::plot;
use crate::points::Point;
use crate::site::Figure;

/// A thing measured at one size, and at the same time at the smallest.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) point: Point,
    pub(crate) here: Figure,
    pub(crate) small: Figure,
}

impl Measured {
    /// This size to the smallest. Below what can be told apart, they are the same.
    pub(crate) fn ratio(&self) -> f64 {
        let least = 0.01;
        self.here.value.max(least) / self.small.value.max(least)
    }
}

/// All that was measured at one size.
pub(crate) struct Column {
    pub(crate) size: u64,
    loaded: Duration,
    indexed: Duration,
    pub(crate) measured: Vec<Measured>,
}

impl Column {
    pub(crate) fn new(size: u64, loaded: Duration, indexed: Duration) -> Self {
        println!(
            "{}: loaded in {:.0} s, index made in {:.0} s",
            readable(size),
            loaded.as_secs_f64(),
            indexed.as_secs_f64()
        );
        Self { size, loaded, indexed, measured: Vec::new() }
    }

    pub(crate) fn add(&mut self, measured: Measured) {
        let extra = |figure: Figure| {
            let p99 = figure.p99.map(|p99| format!(", p99 {p99:.2}")).unwrap_or_default();
            let processor = figure.processor.map(|us| format!(", {us:.0} us")).unwrap_or_default();
            format!("{p99}{processor}")
        };
        let (here, small) = (measured.here, measured.small);
        println!(
            "  {:<52}{:>10}{}   beside {}{}   {:.2} x",
            measured.point.label(),
            figure(here.value),
            extra(here),
            figure(small.value),
            extra(small),
            measured.ratio()
        );
        self.measured.push(measured);
    }
}

/// What is told, and where it goes.
pub(crate) struct Report {
    markdown: Option<PathBuf>,
    plot: Option<PathBuf>,
    columns: Vec<Column>,
}

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self { markdown: options.markdown.clone(), plot: options.plot.clone(), columns: Vec::new() }
    }

    pub(crate) fn add(&mut self, column: Column) {
        self.columns.push(column);
        let table = self.table();
        println!("\n{table}");
        let save = |path: &Option<PathBuf>, text: String| {
            if let Some(path) = path {
                fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            }
        };
        save(&self.markdown, table);
        save(&self.plot, plot::svg(&self.columns));
    }

    /// The last size once more, in the place of what was measured before.
    pub(crate) fn again(&mut self, column: Column) {
        let before = self.columns.pop();
        let times = before.map_or((column.loaded, column.indexed), |before| (before.loaded, before.indexed));
        self.add(Column { loaded: times.0, indexed: times.1, ..column });
    }

    fn table(&self) -> String {
        let mut table = String::from("| objects |");
        self.columns.iter().for_each(|column| _ = write!(table, " {} |", readable(column.size)));
        let _ = write!(table, "\n|---|{}\n", "---:|".repeat(self.columns.len()));
        let points = self.columns.first().map(|column| column.measured.len()).unwrap_or_default();
        for row in 0..points {
            let cells: Vec<_> = self.columns.iter().map(|column| &column.measured[row]).collect();
            line(&mut table, &cells[0].point.label(), cells.iter().map(|cell| cell_text(cell)));
        }
        let each = self.columns.iter().map(|column| self.bytes_each(column));
        line(&mut table, "memory for each object more than the smallest size, bytes", each);
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        line(&mut table, "index made anew from the disk, s", self.columns.iter().map(|column| seconds(column.indexed)));
        line(&mut table, "loaded in s", self.columns.iter().map(|column| seconds(column.loaded)));
        table
    }

    fn bytes_each(&self, column: &Column) -> String {
        let memory = column.measured.iter().find(|measured| measured.point == Point::Memory);
        let more = column.size - self.columns[0].size;
        match memory {
            Some(memory) if more > 0 => {
                format!("{:.1}", (memory.here.value - memory.small.value) * f64::from(1 << 20) / more as f64)
            }
            _ => String::new(),
        }
    }
}

fn line(table: &mut String, label: &str, cells: impl Iterator<Item = String>) {
    let _ = writeln!(table, "| {label} | {} |", cells.collect::<Vec<_>>().join(" | "));
}

fn cell_text(measured: &Measured) -> String {
    let here = &measured.here;
    let p99 = match measured.point {
        Point::Restart | Point::RestartKilled => here.p99.map(|listed| format!(", first page {listed:.0}")),
        Point::Audit => None,
        _ => here.p99.map(|p99| format!(", p99 {p99:.2} ms")),
    };
    let processor = here.processor.map(|us| format!(", {us:.0} us")).unwrap_or_default();
    format!("{}{}{processor} ({:.2} x)", figure(here.value), p99.unwrap_or_default(), measured.ratio())
}

pub(crate) fn readable(size: u64) -> String {
    match size {
        _ if size >= 1_000_000 && size.is_multiple_of(1_000_000) => format!("{} M", size / 1_000_000),
        _ if size >= 1000 && size.is_multiple_of(1000) => format!("{} k", size / 1000),
        _ => size.to_string(),
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
