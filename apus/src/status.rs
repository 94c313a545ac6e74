//! `apus status`: is all data fully redundant now, what is at risk, how long until it is repaired?
//!
//! It asks every server of the rings ([`gather`]), compares what the devices hold, partition by partition ([`redundancy`]), and
//! judges ([`facts`]). What is not known is said to be unknown, and counts as trouble: the exit status is 0 only when every
//! partition is known to have all of its copies in their places and nothing else is out of order.

mod facts;
mod gather;
mod redundancy;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use crate::cli;
use crate::error::StartError;
use crate::serve;
use crate::view::View;

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The configuration of any node, which has the rings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Say it as JSON.
    #[arg(short, long)]
    json: bool,
    /// How long a server has to answer, in seconds.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// By how many seconds clocks may differ.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    jitter: f64,
}

/// Looks, and says how it is.
pub(crate) fn run(arguments: &StatusArguments) -> Result<ExitCode, StartError> {
    let view = View::read(&arguments.config)?;
    let patience = Duration::from_secs(arguments.timeout);
    let facts = serve::runtime()?.block_on(gather::gather(&view, patience, arguments.jitter));
    let verdict = facts.verdict();
    if arguments.json {
        cli::say(&show::json(&facts, &verdict));
    } else {
        cli::say(&show::screen(&facts, &verdict));
    }
    Ok(if verdict.redundant { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
