//! `apus ring`: the operator's hand on builders and rings, in the grammar of `swift-ring-builder`.
//!
//! `grammar.rs` says what may be typed, `values.rs` reads device descriptions and search values, `change.rs`, `show.rs` and
//! `balance.rs` are the verbs, `files.rs` reads and writes. A verb works on a builder in memory and saves it at the end, so
//! what fails changes nothing on disk. Answers and complaints go to the same output, as Swift's tool does it; the exit code
//! tells them apart.

mod balance;
mod change;
mod files;
mod grammar;
mod show;
#[cfg(test)]
mod tests;
mod values;

use std::ffi::OsString;
use std::io::{BufRead, ErrorKind, Write};
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Parser;
use clap::error::ErrorKind as ClapKind;

use crate::Error;
use files::Files;
use grammar::{Command, Verb};

/// How a command ended, as scripts around `swift-ring-builder` know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Exit {
    /// Done.
    Success = 0,
    /// Nothing changed, or it did but something should be looked at.
    Warning = 1,
    /// Not done.
    Failure = 2,
}

/// Runs `apus ring`. `args` are those after `ring`; the answer goes to `out`. Returns the exit code: 0 done, 1 a warning (nothing
/// changed, or the ring should be looked at), 2 an error.
pub fn run(args: impl Iterator<Item = OsString>, out: &mut dyn Write) -> i32 {
    run_with(args, &mut std::io::stdin().lock(), out)
}

fn run_with(args: impl Iterator<Item = OsString>, input: &mut dyn BufRead, out: &mut dyn Write) -> i32 {
    let exit = match Command::try_parse_from(std::iter::once(OsString::from("apus ring")).chain(args)) {
        Ok(command) => session(command, input, out),
        Err(help) => explain(&help, out),
    };
    let exit = exit.unwrap_or_else(|error| complain(&error, out));
    exit as i32
}

fn explain(help: &clap::Error, out: &mut dyn Write) -> Result<Exit, Error> {
    write!(out, "{}", help.render())?;
    Ok(match help.kind() {
        ClapKind::DisplayHelp | ClapKind::DisplayHelpOnMissingArgumentOrSubcommand => Exit::Success,
        _ => Exit::Failure,
    })
}

fn complain(error: &Error, out: &mut dyn Write) -> Exit {
    if let Error::Output(source) = error
        && source.kind() == ErrorKind::BrokenPipe
    {
        return Exit::Success;
    }
    // If the complaint cannot be written either, the exit code has to say it all.
    let _ = writeln!(out, "{error}");
    Exit::Failure
}

/// What a verb has at hand.
struct Session<'io> {
    files: Files,
    input: &'io mut dyn BufRead,
    out: &'io mut dyn Write,
    /// Seconds since 1970.
    now: u64,
}

fn session(command: Command, input: &mut dyn BufRead, out: &mut dyn Write) -> Result<Exit, Error> {
    let files = Files::named(&command.builder_file);
    if files.builder != command.builder_file {
        let (used, typed) = (files.builder.display(), command.builder_file.display());
        writeln!(out, "Note: using {used} instead of {typed} as builder file")?;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut session = Session { files, input, out, now };
    match command.verb {
        None => session.show(),
        Some(verb) => session.verb(verb),
    }
}

impl Session<'_> {
    fn verb(&mut self, verb: Verb) -> Result<Exit, Error> {
        let _lock = if verb.only_looks() { None } else { Some(self.files.lock()?) };
        match verb {
            Verb::Create { part_power, replicas, min_part_hours } => self.create(part_power, replicas, min_part_hours),
            Verb::Add(devices) => self.add(&devices),
            Verb::Remove(devices) => self.remove(&devices),
            Verb::SetWeight(devices) => self.set_weight(&devices),
            Verb::SetRegion(devices) => self.set_region(&devices),
            Verb::SetZone(devices) => self.set_zone(&devices),
            Verb::SetInfo { devices, change } => self.set_info(&devices, &change),
            Verb::SetReplicas { replicas } => self.set_replicas(replicas),
            Verb::SetOverload { overload } => self.set_overload(&overload),
            Verb::SetMinPartHours { hours } => self.set_min_part_hours(hours),
            Verb::PretendMinPartHoursPassed => self.pretend_min_part_hours_passed(),
            Verb::Rebalance(options) => self.rebalance(&options),
            Verb::Validate => self.validate(),
            Verb::Search(devices) => self.search(&devices),
            Verb::ListParts(devices) => self.list_parts(&devices),
            Verb::Dispersion { filter, verbose, .. } => self.dispersion(filter.as_deref(), verbose),
            Verb::WriteRing { format, dev_id_bytes } => self.write_ring(format, dev_id_bytes),
        }
    }
}
