//! `apus`: every role and tool of the cluster in one binary.

mod ca;
mod cli;
mod config;
mod data;
mod error;
mod import;
mod node;
mod pass;
mod rekey;
mod rings;
mod roles;
mod serve;
mod up;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{CaCommand, Command, Options};

fn main() -> ExitCode {
    let options = Options::parse();
    match run(options) {
        Ok(code) => code,
        Err(error) => {
            cli::complain(&error);
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<ExitCode, error::StartError> {
    if let Some(point) = &options.crash_at {
        point.arm();
    }
    match options.command {
        Command::Ca(CaCommand::Create { folder }) => ca::create(&folder).map(|()| ExitCode::SUCCESS),
        Command::Ca(CaCommand::Issue { folder, node, days }) => {
            ca::issue(&folder, &node, days).map(|()| ExitCode::SUCCESS)
        }
        Command::Ca(CaCommand::Revoke { folder, node }) => ca::revoke(&folder, &node).map(|()| ExitCode::SUCCESS),
        Command::Ring { arguments } => Ok(cli::ring(arguments)),
        Command::Import(arguments) => cli::logged(&options.log, || import::run(&arguments)),
        Command::Pass(arguments) => cli::logged(&options.log, || pass::run(arguments)),
        Command::Up(arguments) => cli::logged(&options.log, || up::run(&arguments)).map(|()| ExitCode::SUCCESS),
        Command::Serve { roles, config } => {
            cli::logged(&options.log, || serve::run(&roles, &config)).map(|()| ExitCode::SUCCESS)
        }
    }
}
