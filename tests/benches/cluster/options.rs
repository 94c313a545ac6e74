//! What the command line of the load generator says.

use std::time::Duration;

const HELP: &str = "\
Measures a fresh cluster of one process: PUT, HEAD, GET, LIST and DELETE.

  cargo bench -p apus-tests --bench cluster -- [OPTIONS]

  --sizes LIST        bytes of an object, with k or m; default 4k,64k,1m,16m
  --connections LIST  clients at once; default 1,16
  --seconds N         time for each row; default 3
  --devices N         default 4
  --replicas N        default 3
  --help              this text
";

/// What to measure.
pub(crate) struct Options {
    pub(crate) sizes: Vec<usize>,
    pub(crate) connections: Vec<usize>,
    pub(crate) time: Duration,
    pub(crate) devices: usize,
    pub(crate) replicas: usize,
}

impl Options {
    /// Reads the arguments; `None` when they only asked for help. `cargo bench` adds `--bench`.
    pub(crate) fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let mut options = Self {
            sizes: vec![4 << 10, 64 << 10, 1 << 20, 16 << 20],
            connections: vec![1, 16],
            time: Duration::from_secs(3),
            devices: 4,
            replicas: 3,
        };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().unwrap_or_else(|| wrong(&format!("{argument} needs a value")));
            match argument.as_str() {
                "--bench" => {}
                "--sizes" => options.sizes = list(&value()),
                "--connections" => options.connections = list(&value()),
                "--seconds" => options.time = Duration::from_secs(number(&value()) as u64),
                "--devices" => options.devices = number(&value()),
                "--replicas" => options.replicas = number(&value()),
                "--help" | "-h" => {
                    print!("{HELP}");
                    return None;
                }
                other => wrong(&format!("unknown option {other}")),
            }
        }
        Some(options)
    }
}

fn list(text: &str) -> Vec<usize> {
    text.split(',').map(number).collect()
}

fn number(text: &str) -> usize {
    let (digits, factor) = match text.chars().last() {
        Some('k') => (&text[..text.len() - 1], 1 << 10),
        Some('m') => (&text[..text.len() - 1], 1 << 20),
        _ => (text, 1),
    };
    let digits: usize = digits.parse().unwrap_or_else(|_| wrong(&format!("{text:?} is no number")));
    digits * factor
}

fn wrong(message: &str) -> ! {
    eprintln!("{message}\n\n{HELP}");
    std::process::exit(2)
}
