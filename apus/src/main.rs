//! `apus`: every role and tool of the cluster in one binary.

mod bar;
mod ca;
mod cli;
mod config;
mod data;
mod dispersion;
mod error;
mod import;
mod inspect;
mod links;
mod listings;
mod node;
mod pass;
mod recon;
mod rekey;
mod rings;
mod roles;
mod serve;
mod status;
mod up;
mod view;

use std::process::ExitCode;

use clap::Parser as _;

use crate::cli::{CaCommand, Command, Options};

/// A request makes some hundred small allocations and frees most of them on another thread, which the system's allocator is
/// slow at (`docs/performance.md`). By its feature `override` it is RocksDB's, too.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
        Command::Dispersion(command) => cli::logged(&options.log, || dispersion::run(command)),
        Command::Inspect(command) => cli::logged(&options.log, || inspect::run(command)),
        Command::Recon(arguments) => cli::logged(&options.log, || recon::run(arguments)),
        Command::Status(arguments) => cli::logged(&options.log, || status::run(&arguments)),
        Command::Up(arguments) => cli::logged(&options.log, || up::run(&arguments)).map(|()| ExitCode::SUCCESS),
        Command::Serve { roles, config } => {
            cli::logged(&options.log, || serve::run(&roles, &config)).map(|()| ExitCode::SUCCESS)
        }
    }
}
