//! The verbs that look: show, search, `list_parts`. Tables are those of `swift-ring-builder`.

use std::collections::{BTreeMap, BTreeSet};

use apus_base::ring::{Device, Ring};

use super::change::bracketed;
use super::grammar::Devices;
use super::{Exit, Session};
use crate::{Builder, BuilderDevice, Error};

impl Session<'_> {
    pub(super) fn show(&mut self) -> Result<Exit, Error> {
        let builder = self.load()?;
        self.tell_summary(&builder)?;
        self.tell_ring_state(&builder)?;
        let table = Widths::of(&builder);
        writeln!(self.out, "{}", table.header())?;
        let mut entries: Vec<&BuilderDevice> = builder.iter().collect();
        entries.sort_by_key(|entry| {
            let Device { region, zone, ip, device, .. } = &entry.device;
            (*region, *zone, ip, device)
        });
        for entry in entries {
            writeln!(self.out, "{}", table.line(&builder, entry))?;
        }
        if let Err(empty) = builder.balance() {
            writeln!(self.out, "{empty}")?;
        }
        Ok(Exit::Success)
    }

    fn tell_summary(&mut self, builder: &Builder) -> Result<(), Error> {
        let regions: BTreeSet<u32> = builder.iter().map(|entry| entry.device.region).collect();
        let zones: BTreeSet<(u32, u32)> =
            builder.iter().map(|entry| (entry.device.region, entry.device.zone)).collect();
        let (file, version) = (self.files.builder.display(), builder.version());
        let id = builder.id.as_deref().unwrap_or("(not assigned)");
        writeln!(self.out, "{file}, build version {version}, id {id}")?;
        let dispersion = builder.dispersion.map_or(String::new(), |value| format!(", {value:.2} dispersion"));
        writeln!(
            self.out,
            "{} partitions, {:.6} replicas, {} regions, {} zones, {} devices, {}-byte IDs, {:.2} balance{dispersion}",
            builder.parts(),
            builder.replicas(),
            regions.len(),
            zones.len(),
            builder.iter().count(),
            builder.id_width.bytes(),
            builder.balance().unwrap_or(0.0),
        )?;
        let (hours, left) = (builder.min_part_hours, duration(builder.min_part_seconds_left(self.now)));
        writeln!(
            self.out,
            "The minimum number of hours before a partition can be reassigned is {hours} ({left} remaining)"
        )?;
        writeln!(self.out, "The overload factor is {:.2}% ({:.6})", builder.overload * 100.0, builder.overload)?;
        Ok(())
    }

    fn tell_ring_state(&mut self, builder: &Builder) -> Result<(), Error> {
        let file = self.files.ring.display();
        let current: Option<Ring> = builder.to_ring().ok();
        match self.files.load_ring() {
            Ok(None) => writeln!(self.out, "Ring file {file} not found, probably it hasn't been written yet")?,
            Ok(written) if written == current => writeln!(self.out, "Ring file {file} is up-to-date")?,
            Ok(Some(_)) => writeln!(self.out, "Ring file {file} is obsolete")?,
            Err(error) => writeln!(self.out, "Ring file {file} is invalid: {error}")?,
        }
        Ok(())
    }

    pub(super) fn search(&mut self, devices: &Devices) -> Result<Exit, Error> {
        if devices.values.len() > 1 || (devices.values.is_empty() && devices.options()?.is_none()) {
            return self.misused("search takes one search value, or options");
        }
        let builder = self.load()?;
        let ids = self.matching(&builder, devices)?;
        if ids.is_empty() {
            writeln!(self.out, "No matching devices found")?;
            return Ok(Exit::Failure);
        }
        writeln!(
            self.out,
            "Devices:    id  region  zone      ip address  port  replication ip  replication port      name weight \
             partitions balance meta"
        )?;
        for entry in ids.iter().filter_map(|id| builder.device(*id)) {
            let (d, parts, balance) = (&entry.device, entry.parts, builder.balance_of(entry));
            writeln!(
                self.out,
                "         {:>5} {:>7} {:>5} {:>15} {:>5} {:>15} {:>17} {:>9} {:>6.2} {parts:>10} {balance:>7.2} {}",
                d.id, d.region, d.zone, d.ip, d.port, d.replication_ip, d.replication_port, d.device, d.weight, d.meta
            )?;
        }
        Ok(Exit::Success)
    }

    pub(super) fn list_parts(&mut self, devices: &Devices) -> Result<Exit, Error> {
        let builder = self.load()?;
        let rows = builder.rows.as_ref().ok_or(Error::NeverRebalanced)?;
        let ids = self.matching(&builder, devices)?;
        let mut matches: BTreeMap<usize, usize> = BTreeMap::new();
        for row in rows {
            for (part, _) in row.iter().enumerate().filter(|(_, id)| ids.binary_search(id).is_ok()) {
                *matches.entry(part).or_default() += 1;
            }
        }
        if matches.is_empty() {
            writeln!(self.out, "No matching devices found")?;
            return Ok(Exit::Failure);
        }
        let mut sorted: Vec<(usize, usize)> = matches.into_iter().collect();
        sorted.sort_by_key(|(part, count)| (std::cmp::Reverse(*count), *part));
        writeln!(self.out, "Partition   Matches")?;
        for (part, count) in sorted {
            writeln!(self.out, "{part:>9}   {count:>7}")?;
        }
        Ok(Exit::Success)
    }
}

/// The columns of the table of devices, as wide as its contents need.
struct Widths {
    ip: usize,
    port: usize,
    replication_ip: usize,
    replication_port: usize,
    weight: usize,
}

impl Widths {
    fn of(builder: &Builder) -> Widths {
        let widest = |least: usize, text: &dyn Fn(&Device) -> String| {
            builder.iter().map(|entry| text(&entry.device).chars().count()).max().unwrap_or(0).max(least)
        };
        let brackets = |ip: &dyn Fn(&Device) -> &String| {
            if builder.iter().any(|entry| ip(&entry.device).contains(':')) { 2 } else { 0 }
        };
        Widths {
            ip: widest(10, &|d| d.ip.clone()) + brackets(&|d| &d.ip),
            port: widest(4, &|d| d.port.to_string()),
            replication_ip: widest(14, &|d| d.replication_ip.clone()) + brackets(&|d| &d.replication_ip),
            replication_port: widest(4, &|d| d.replication_port.to_string()),
            weight: widest(6, &|d| format!("{:.2}", d.weight)),
        }
    }

    fn header(&self) -> String {
        let Widths { ip, port, replication_ip, replication_port, weight } = *self;
        format!(
            "Devices:{:>5} {:>6} {:>4} {:>ip$}:{:<port$} {:>replication_ip$}:{:<replication_port$} {:>5} {:>weight$} {:>10} \
             {:>7} {:>5} meta",
            "id",
            "region",
            "zone",
            "ip address",
            "port",
            "replication ip",
            "port",
            "name",
            "weight",
            "partitions",
            "balance",
            "flags"
        )
    }

    fn line(&self, builder: &Builder, entry: &BuilderDevice) -> String {
        let Widths { ip, port, replication_ip, replication_port, weight } = *self;
        let d = &entry.device;
        let flags = if builder.is_removed(d.id) { "DEL" } else { "" };
        format!(
            "{:>13} {:>6} {:>4} {:>ip$}:{:<port$} {:>replication_ip$}:{:<replication_port$} {:>5} {:>weight$.2} {:>10} {:>7.2} \
             {flags:>5} {}",
            d.id,
            d.region,
            d.zone,
            bracketed(&d.ip),
            d.port,
            bracketed(&d.replication_ip),
            d.replication_port,
            d.device,
            d.weight,
            entry.parts,
            if builder.total_weight() > 0.0 { builder.balance_of(entry) } else { 0.0 },
            d.meta
        )
    }
}

/// `1 day, 2:03:04`, as Python says it.
pub(super) fn duration(seconds: u64) -> String {
    let (days, rest) = (seconds / 86400, seconds % 86400);
    let clock = format!("{}:{:02}:{:02}", rest / 3600, rest / 60 % 60, rest % 60);
    match days {
        0 => clock,
        1 => format!("1 day, {clock}"),
        _ => format!("{days} days, {clock}"),
    }
}

pub(super) fn rule(width: usize) -> String {
    "-".repeat(width)
}
