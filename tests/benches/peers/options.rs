//! What the command line of the comparison says.

use std::path::PathBuf;
use std::time::Duration;

const HELP: &str = "\
Measures Apus and its peers in turn, with the same load: make bench-peers, or

  cargo bench -p apus-tests --bench peers -- --peers LIST [OPTIONS]

  --peers LIST     beside Apus: swift, ceph, or nothing (''); without it there is only this text
  --only LIST      points whose names begin so, such as put-4k or get-1m-64; default all
  --seconds N      time for each measurement; default 5
  --rounds N       how often each system is measured at each point, in turn; default 2
  --rows N         rows of the container that is listed, at least 20000; default 100000
  --markdown PATH  writes the results there as well
  --help           this text

Everything is stored below the system's temporary folder: TMPDIR says which disk is measured.
";

/// Rows with which every page that is asked for is a full one.
const LEAST_ROWS: u64 = 20_000;

/// What to measure.
pub(crate) struct Options {
    pub(crate) peers: Vec<String>,
    pub(crate) only: Vec<String>,
    pub(crate) time: Duration,
    pub(crate) rounds: usize,
    pub(crate) rows: u64,
    pub(crate) markdown: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; `None` when they only asked for help, or for nothing, as `make bench` does of all benches. `cargo bench`
    /// adds `--bench`.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let (mut is_wanted, mut is_asked) = (false, false);
        let mut options = Self {
            peers: Vec::new(),
            only: vec![String::new()],
            time: Duration::from_secs(5),
            rounds: 2,
            rows: 100_000,
            markdown: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| wrong(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" => {}
                "--peers" => (is_wanted, options.peers) = (true, list(&value())),
                "--only" => options.only = list(&value()),
                "--seconds" => options.time = Duration::from_secs(number(&value()).max(1)),
                "--rounds" => options.rounds = usize::try_from(number(&value()).max(1)).expect("few rounds"),
                "--rows" => options.rows = number(&value()).max(LEAST_ROWS),
                "--markdown" => options.markdown = Some(value().into()),
                "--help" | "-h" => is_asked = true,
                other => wrong(&format!("unknown option {other}")),
            }
        }
        if let Some(unknown) = options.peers.iter().find(|peer| !["swift", "ceph"].contains(&&***peer)) {
            wrong(&format!("no such peer: {unknown}"));
        }
        if is_asked || !is_wanted {
            print!("{HELP}");
            return None;
        }
        Some(options)
    }

    /// Whether a point is asked for.
    pub(crate) fn wants(&self, point: &str) -> bool {
        self.only.iter().any(|beginning| point.starts_with(beginning))
    }
}

fn list(text: &str) -> Vec<String> {
    text.split(',').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| wrong(&format!("{text:?} is no number")))
}

fn wrong(message: &str) -> ! {
    eprintln!("{message}\n\n{HELP}");
    std::process::exit(2)
}
