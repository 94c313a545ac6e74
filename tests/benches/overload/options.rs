//! What the command line says.

use std::path::PathBuf;
use std::time::Duration;

use crate::Kind;

const HELP: &str = "\
Offers a fresh cluster of one process more than it can do: make bench-overload, or

  cargo bench -p apus-tests --bench overload -- --factor 5 [OPTIONS]

  --factor N         times its best throughput; without it there is only this text
  --seconds N        time for each of the twelve measurements; default 5
  --connections N    over which it is offered; default 1000
  --best N           connections over which the best is found; default 64
  --only LIST        of get, put and mixed
  --markdown PATH    writes the table there as well
  --server ARGUMENT  of `apus up`, may be said again
  --help             this text
";

/// What to measure.
pub(crate) struct Options {
    pub(crate) factor: f64,
    pub(crate) time: Duration,
    pub(crate) connections: usize,
    pub(crate) best: usize,
    only: Vec<String>,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) server: Vec<String>,
}

impl Options {
    /// Reads the arguments; `None` when they only asked for help, or for nothing, as `make bench` does of all benches. `cargo bench`
    /// adds `--bench`.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut is_asked = false;
        let mut options = Self {
            factor: 0.0,
            time: Duration::from_secs(5),
            connections: 1000,
            best: 64,
            only: Vec::new(),
            markdown: None,
            server: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| wrong(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" => {}
                "--factor" => options.factor = number(&value()),
                "--seconds" => options.time = Duration::from_secs(number(&value())),
                "--connections" => options.connections = number(&value()),
                "--best" => options.best = number(&value()),
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--markdown" => options.markdown = Some(value().into()),
                "--server" => options.server.push(value()),
                "--help" | "-h" => is_asked = true,
                other => wrong(&format!("unknown option {other}")),
            }
        }
        if is_asked || options.factor <= 0.0 {
            print!("{HELP}");
            return None;
        }
        Some(options)
    }

    /// Whether a kind is asked for.
    pub(crate) fn wants(&self, kind: Kind) -> bool {
        let name = format!("{kind:?}").to_lowercase();
        self.only.is_empty() || self.only.contains(&name)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse().unwrap_or_else(|_| wrong(&format!("{text:?} is no number")))
}

fn wrong(message: &str) -> ! {
    eprintln!("{message}\n\n{HELP}");
    std::process::exit(2)
}
