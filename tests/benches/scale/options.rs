//! What the command line says.

use std::path::PathBuf;

use crate::names::MOST;

const HELP: &str = "\
Measures what grows with the number of objects stored: make bench-scale, or

  cargo bench -p apus-tests --bench scale -- [OPTIONS]

  --sizes LIST     objects in the container, with k or m, growing; default 10k,100k,1m. 10m takes an hour and 30 GB.
  --rounds N       how often each thing is measured, in turn with the smallest size; default 2
  --threads N      threads that write files; default 2
  --hold           at the largest size, measure again for each line on standard input: with servers that were built meanwhile
  --markdown FILE  the table goes there too
  --plot FILE      the plot goes there, as SVG

The devices are images on loop devices below TMPDIR, which needs root.
";

/// What to measure.
pub(crate) struct Options {
    pub(crate) sizes: Vec<u64>,
    pub(crate) rounds: usize,
    pub(crate) threads: usize,
    pub(crate) hold: bool,
    pub(crate) markdown: Option<PathBuf>,
    pub(crate) plot: Option<PathBuf>,
}

impl Options {
    /// Reads the arguments; `None` when they only asked for help. `cargo bench` adds `--bench`.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            sizes: vec![10_000, 100_000, 1_000_000],
            rounds: 2,
            threads: 2,
            hold: false,
            markdown: None,
            plot: None,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| wrong(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" => {}
                "--sizes" => options.sizes = value().split(',').map(number).collect(),
                "--rounds" => options.rounds = count(&value()),
                "--threads" => options.threads = count(&value()),
                "--hold" => options.hold = true,
                "--markdown" => options.markdown = Some(value().into()),
                "--plot" => options.plot = Some(value().into()),
                "--help" | "-h" => {
                    print!("{HELP}");
                    return None;
                }
                other => wrong(&format!("unknown option {other}")),
            }
        }
        let fits = options.sizes.first().is_some_and(|first| *first >= 2000)
            && options.sizes.is_sorted_by(|a, b| a < b)
            && options.sizes.last().is_some_and(|last| *last <= MOST / 2);
        if fits { Some(options) } else { wrong("sizes have to grow, from at least 2000 to at most 50m") }
    }
}

fn count(text: &str) -> usize {
    usize::try_from(number(text)).unwrap_or(usize::MAX).max(1)
}

fn number(text: &str) -> u64 {
    let (digits, factor) = match text.chars().last() {
        Some('k') => (&text[..text.len() - 1], 1000),
        Some('m') => (&text[..text.len() - 1], 1_000_000),
        _ => (text, 1),
    };
    digits.parse::<u64>().unwrap_or_else(|_| wrong(&format!("{text:?} is no number"))) * factor
}

fn wrong(message: &str) -> ! {
    eprintln!("{message}\n\n{HELP}");
    std::process::exit(2)
}
