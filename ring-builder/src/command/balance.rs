//! The verbs that make and judge assignments: rebalance, `write_ring`, validate, dispersion.

use apus_base::ring::IdWidth;
use regex::Regex;

use super::grammar::{Format, RebalanceOptions};
use super::show::{duration, rule};
use super::values::invalid;
use super::{Exit, Session};
use crate::{Builder, Error, MAX_BALANCE, Outcome, TierReport};

impl Session<'_> {
    pub(super) fn rebalance(&mut self, options: &RebalanceOptions) -> Result<Exit, Error> {
        let mut builder = self.changeable()?;
        let before = Before {
            balance: builder.balance()?,
            dispersion: builder.dispersion,
            changed: builder.devices_changed,
            seconds_left: builder.min_part_seconds_left(self.now),
        };
        let outcome = builder.rebalance(seed(options)?, self.now)?;
        if options.debug {
            self.tell_plan(&builder)?;
        }
        if outcome.moved == 0 && outcome.removed == 0 && !options.force {
            return self.nothing_moved(&builder, before.seconds_left);
        }
        if !options.force && !before.changed && !before.improved(&outcome) {
            writeln!(self.out, "Cowardly refusing to save rebalance as it did not change at least 1%.")?;
            return Ok(Exit::Warning);
        }
        builder.validate()?;
        let ring = builder.to_ring()?;
        // The builder first: a ring can be written again from it, not the other way round.
        self.files.save_with_backup(&mut builder, self.now)?;
        self.files.save_ring(&ring, options.format.format_version, self.now)?;
        self.tell_outcome(&builder, &outcome)
    }

    fn nothing_moved(&mut self, builder: &Builder, seconds_left: u64) -> Result<Exit, Error> {
        writeln!(self.out, "No partitions could be reassigned.")?;
        if seconds_left > 0 {
            let (hours, left) = (builder.min_part_hours, duration(seconds_left));
            writeln!(
                self.out,
                "The time between rebalances must be at least min_part_hours: {hours} hours ({left} remaining)"
            )?;
        } else {
            writeln!(self.out, "There is no need to do so at this time")?;
        }
        Ok(Exit::Warning)
    }

    #[expect(clippy::cast_precision_loss, reason = "partition counts are far below 2^52")]
    fn tell_outcome(&mut self, builder: &Builder, outcome: &Outcome) -> Result<Exit, Error> {
        let Outcome { moved, balance, dispersion, .. } = *outcome;
        let percent = 100.0 * moved as f64 / builder.parts() as f64;
        writeln!(
            self.out,
            "Reassigned {moved} ({percent:.2}%) partitions. Balance is now {balance:.2}.  Dispersion is now {dispersion:.2}"
        )?;
        let note = if dispersion > 0.0 {
            format!(
                "NOTE: Dispersion of {dispersion:.6} indicates some parts are not\n      optimally dispersed.\n\n      \
                 You may want to adjust some device weights, increase\n      the overload or review the dispersion report."
            )
        } else if balance > 5.0 && balance / 100.0 > builder.overload {
            format!(
                "NOTE: Balance of {balance:.2} indicates you should push this \n      ring, wait at least {} hours, and \
                 rebalance/repush.",
                builder.min_part_hours
            )
        } else {
            return Ok(Exit::Success);
        };
        writeln!(self.out, "{}\n{note}\n{}", rule(79), rule(79))?;
        Ok(Exit::Warning)
    }

    fn tell_plan(&mut self, builder: &Builder) -> Result<(), Error> {
        for entry in builder.iter() {
            let name = entry.device.tier_name();
            writeln!(self.out, "DEBUG: {name} has {} parts and wants {} more", entry.parts, entry.parts_wanted)?;
        }
        Ok(())
    }

    pub(super) fn write_ring(&mut self, format: Format, dev_id_bytes: Option<u8>) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        match dev_id_bytes {
            Some(2) if builder.devices.len() > usize::from(u16::MAX) => {
                return Err(invalid("dev-id-bytes", "2"));
            }
            Some(2) => builder.id_width = IdWidth::TwoBytes,
            Some(4) => builder.id_width = IdWidth::FourBytes,
            Some(other) => return Err(invalid("dev-id-bytes", &other.to_string())),
            None => {}
        }
        self.files.save_ring(&builder.to_ring()?, format.format_version, self.now)?;
        Ok(Exit::Success)
    }

    pub(super) fn validate(&mut self) -> Result<Exit, Error> {
        self.load()?.validate()?;
        Ok(Exit::Success)
    }

    pub(super) fn dispersion(&mut self, filter: Option<&str>, verbose: bool) -> Result<Exit, Error> {
        let builder = self.load()?;
        builder.validate()?;
        // As in Swift the filter is matched from the beginning of the name on.
        let anchored = |filter| Regex::new(&format!("^(?:{filter})")).map_err(|_| invalid("filter", filter));
        let filter = filter.map(anchored).transpose()?;
        let mut tiers = builder.dispersion_report();
        tiers.retain(|tier| filter.as_ref().is_none_or(|filter| filter.is_match(&tier.name)));
        let (dispersion, balance) = (builder.dispersion(), builder.balance()?);
        let overload = builder.overload * 100.0;
        writeln!(self.out, "Dispersion is {dispersion:.6}, Balance is {balance:.6}, Overload is {overload:.2}%")?;
        writeln!(self.out, "Required overload is {:.6}%", builder.required_overload()? * 100.0)?;
        let worst =
            tiers.iter().filter(|tier| tier.dispersion > 0.0).max_by(|a, b| a.dispersion.total_cmp(&b.dispersion));
        if let Some(worst) = worst {
            writeln!(self.out, "Worst tier is {:.6} ({})", worst.dispersion, worst.name)?;
        }
        let exit = if worst.is_some() { Exit::Warning } else { Exit::Success };
        if verbose {
            self.tell_tiers(&builder, &tiers)?;
        }
        Ok(exit)
    }

    fn tell_tiers(&mut self, builder: &Builder, tiers: &[TierReport]) -> Result<(), Error> {
        let Some(name_width) = tiers.iter().map(|tier| tier.name.len()).max() else {
            return Ok(());
        };
        let name_width = name_width.max(30);
        let width = builder.parts().to_string().len().max(5);
        let columns = tiers.iter().map(|tier| tier.by_replicas.len()).max().unwrap_or(0);
        let line = |values: Vec<usize>| values.iter().map(|n| format!("{n:>width$}")).collect::<Vec<_>>().join(" ");
        let header = format!(
            "{:<name_width$} {:>width$} {:>6} {:>6} {}",
            "Tier",
            "Parts",
            "%",
            "Max",
            line((0..columns).collect())
        );
        writeln!(self.out, "{}\n{header}\n{}", rule(header.len()), rule(header.len()))?;
        for tier in tiers {
            let TierReport { name, max_replicas, placed, dispersion, by_replicas } = tier;
            let counts = line(by_replicas.clone());
            writeln!(self.out, "{name:<name_width$} {placed:>width$} {dispersion:>6.2} {max_replicas:>6} {counts}")?;
        }
        Ok(())
    }
}

/// How the ring was before a rebalance.
struct Before {
    balance: f64,
    dispersion: Option<f64>,
    changed: bool,
    seconds_left: u64,
}

impl Before {
    /// Whether saving is worth pushing a new ring: balance or dispersion changed by a percent.
    fn improved(&self, outcome: &Outcome) -> bool {
        let drained = |balance: f64| (balance - MAX_BALANCE).abs() < f64::EPSILON;
        let balance =
            (self.balance - outcome.balance).abs() >= 1.0 || (drained(self.balance) && drained(outcome.balance));
        balance || self.dispersion.is_none_or(|dispersion| (dispersion - outcome.dispersion).abs() >= 1.0)
    }
}

/// The seed as a number (FNV-1a of its text), or a random one.
fn seed(options: &RebalanceOptions) -> Result<u64, Error> {
    let Some(text) = options.seed.as_ref().or(options.seed_value.as_ref()) else {
        return getrandom::u64().map_err(|error| Error::Output(std::io::Error::other(error)));
    };
    Ok(text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)))
}
