//! The verbs that change a builder: create, add, remove, and everything that sets something.

use apus_base::ring::Device;

use super::grammar::{Change, Devices};
use super::values::{Parts, invalid};
use super::{Exit, Session};
use crate::{Builder, Error};

impl Session<'_> {
    pub(super) fn create(&mut self, part_power: u8, replicas: f64, min_part_hours: u32) -> Result<Exit, Error> {
        if self.files.builder.exists() {
            writeln!(
                self.out,
                "{} exists already; remove it first or choose another name.",
                self.files.builder.display()
            )?;
            return Ok(Exit::Failure);
        }
        let mut builder = Builder::create(part_power, replicas, min_part_hours)?;
        self.files.save_with_backup(&mut builder, self.now)?;
        Ok(Exit::Success)
    }

    pub(super) fn add(&mut self, devices: &Devices) -> Result<Exit, Error> {
        let options = devices.options()?.is_some();
        let (pairs, odd) = devices.values.as_chunks::<2>();
        let new = match (options, pairs.is_empty()) {
            (true, true) if odd.is_empty() => vec![devices.described()?],
            (false, false) if odd.is_empty() => {
                pairs.iter().map(|[value, weight]| Parts::new_device(value, weight)).collect::<Result<_, _>>()?
            }
            _ => {
                return self.misused("add takes pairs of a device and a weight, or one device by options");
            }
        };
        let mut builder = self.changeable()?;
        for device in new {
            let weight = device.weight;
            let id = builder.add_device(device)?;
            if let Some(added) = builder.device(id) {
                writeln!(self.out, "Device {} with {weight:?} weight got id {id}", full_name(&added.device))?;
            }
        }
        self.save(&mut builder)
    }

    pub(super) fn remove(&mut self, devices: &Devices) -> Result<Exit, Error> {
        let mut builder = self.changeable()?;
        let ids = self.matching(&builder, devices)?;
        if !self.confirmed(&builder, &ids, devices.yes, "remove these")? {
            return Ok(Exit::Failure);
        }
        for id in ids {
            let name = builder.device(id).map(|entry| full_name(&entry.device)).unwrap_or_default();
            builder.remove_device(id)?;
            writeln!(self.out, "{name} marked for removal and will be removed next rebalance.")?;
        }
        self.save(&mut builder)
    }

    pub(super) fn set_weight(&mut self, devices: &Devices) -> Result<Exit, Error> {
        self.set_each(devices, "weight", |builder, id, weight: f64| {
            builder.set_weight(id, weight)?;
            Ok(format!("weight set to {weight:?}"))
        })
    }

    pub(super) fn set_region(&mut self, devices: &Devices) -> Result<Exit, Error> {
        self.set_each(devices, "region", |builder, id, region: u32| {
            builder.set_region(id, region)?;
            Ok(format!("region set to {region}"))
        })
    }

    pub(super) fn set_zone(&mut self, devices: &Devices) -> Result<Exit, Error> {
        self.set_each(devices, "zone", |builder, id, zone: u32| {
            builder.set_zone(id, zone)?;
            Ok(format!("zone set to {zone}"))
        })
    }

    /// Runs `set` for each device of each pair of search value and number, or of the options and one number.
    fn set_each<T: std::str::FromStr + Copy>(
        &mut self,
        devices: &Devices,
        what: &'static str,
        set: impl Fn(&mut Builder, u32, T) -> Result<String, Error>,
    ) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        let mut changes: Vec<(Vec<u32>, T)> = Vec::new();
        let number = |text: &String| text.parse().map_err(|_| invalid(what, text));
        match (devices.options()?, devices.values.as_slice()) {
            (Some(search), [value]) => changes.push((search.matches(&builder), number(value)?)),
            (None, values) if !values.is_empty() && values.len().is_multiple_of(2) => {
                for [search, value] in values.as_chunks::<2>().0 {
                    changes.push((Parts::search(search)?.matches(&builder), number(value)?));
                }
            }
            _ => {
                return self.misused("give pairs of a search value and a number, or options and one number");
            }
        }
        for (ids, value) in changes {
            if !self.confirmed(&builder, &ids, devices.yes, &format!("update the {what} for these"))? {
                return Ok(Exit::Failure);
            }
            for id in ids {
                let done = set(&mut builder, id, value)?;
                if let Some(entry) = builder.device(id) {
                    writeln!(self.out, "{} {done}", full_name(&entry.device))?;
                }
            }
        }
        self.save(&mut builder)
    }

    pub(super) fn set_info(&mut self, devices: &Devices, change: &Change) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        let mut changes: Vec<(Vec<u32>, Parts)> = Vec::new();
        match (devices.options()?, change.parts()?, devices.values.as_slice()) {
            (Some(search), Some(change), []) => changes.push((search.matches(&builder), change)),
            (None, None, values) if !values.is_empty() && values.len().is_multiple_of(2) => {
                for [search, change] in values.as_chunks::<2>().0 {
                    changes.push((Parts::search(search)?.matches(&builder), Parts::change(change)?));
                }
            }
            _ => {
                return self.misused("give pairs of a search value and a change, or options of both kinds");
            }
        }
        for (ids, change) in changes {
            if !self.confirmed(&builder, &ids, devices.yes, "update the info for these")? {
                return Ok(Exit::Failure);
            }
            for id in ids {
                let before = builder.device(id).map(|entry| full_name(&entry.device)).unwrap_or_default();
                builder.set_info(id, |device| change.clone().apply(device))?;
                let after = builder.device(id).map(|entry| full_name(&entry.device)).unwrap_or_default();
                writeln!(self.out, "Device {before} is now {after}")?;
            }
        }
        self.save(&mut builder)
    }

    pub(super) fn set_replicas(&mut self, replicas: f64) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        builder.set_replicas(replicas)?;
        writeln!(self.out, "The replica count is now {replicas:.6}.")?;
        writeln!(self.out, "The change will take effect after the next rebalance.")?;
        self.save(&mut builder)
    }

    pub(super) fn set_overload(&mut self, text: &str) -> Result<Exit, Error> {
        let percent = text.strip_suffix('%');
        let number: f64 = percent.unwrap_or(text).parse().map_err(|_| invalid("overload", text))?;
        let overload = if percent.is_some() { number / 100.0 } else { number };
        let mut builder = self.load()?;
        builder.set_overload(overload)?;
        let much = overload > 1.0 && percent.is_none();
        if much {
            writeln!(self.out, "!?! Warning overload is greater than 100% !?!")?;
        }
        writeln!(self.out, "The overload factor is now {:.2}% ({overload:.6})", overload * 100.0)?;
        writeln!(self.out, "The change will take effect after the next rebalance.")?;
        self.save(&mut builder)?;
        Ok(if much { Exit::Warning } else { Exit::Success })
    }

    pub(super) fn set_min_part_hours(&mut self, hours: u32) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        builder.set_min_part_hours(hours);
        writeln!(self.out, "The minimum number of hours before a partition can be reassigned is now set to {hours}")?;
        self.save(&mut builder)
    }

    pub(super) fn pretend_min_part_hours_passed(&mut self) -> Result<Exit, Error> {
        let mut builder = self.load()?;
        builder.pretend_min_part_hours_passed();
        self.save(&mut builder)
    }

    pub(super) fn load(&self) -> Result<Builder, Error> {
        self.files.load()
    }

    /// A builder whose devices and assignments may change: not in the middle of a partition power increase.
    pub(super) fn changeable(&self) -> Result<Builder, Error> {
        let builder = self.load()?;
        if builder.next_part_power.is_some() {
            return Err(Error::PartPowerIncrease);
        }
        Ok(builder)
    }

    fn save(&self, builder: &mut Builder) -> Result<Exit, Error> {
        self.files.save(builder)?;
        Ok(Exit::Success)
    }

    pub(super) fn misused(&mut self, how: &str) -> Result<Exit, Error> {
        writeln!(self.out, "{how} (see --help)\nThe on-disk ring builder is unchanged.")?;
        Ok(Exit::Failure)
    }

    /// The devices that any of the search values names, or the options.
    pub(super) fn matching(&self, builder: &Builder, devices: &Devices) -> Result<Vec<u32>, Error> {
        let mut ids = Vec::new();
        if let Some(search) = devices.options()? {
            ids = search.matches(builder);
        }
        for value in &devices.values {
            ids.extend(Parts::search(value)?.matches(builder));
        }
        ids.sort_unstable();
        ids.dedup();
        Ok(ids)
    }

    /// Whether to go on with these devices: there must be one, and of several the operator is asked.
    fn confirmed(&mut self, builder: &Builder, ids: &[u32], yes: bool, what: &str) -> Result<bool, Error> {
        if ids.is_empty() {
            writeln!(self.out, "Search value matched 0 devices.\nThe on-disk ring builder is unchanged.")?;
            return Ok(false);
        }
        if ids.len() == 1 {
            return Ok(true);
        }
        writeln!(self.out, "Matched more than one device:")?;
        for entry in ids.iter().filter_map(|id| builder.device(*id)) {
            writeln!(self.out, "    {}", full_name(&entry.device))?;
        }
        if yes {
            return Ok(true);
        }
        write!(self.out, "Are you sure you want to {what} {} devices? (y/N) ", ids.len())?;
        self.out.flush()?;
        let mut answer = String::new();
        self.input.read_line(&mut answer)?;
        let agreed = answer.trim() == "y";
        if !agreed {
            writeln!(self.out, "Aborting; the on-disk ring builder is unchanged.")?;
        }
        Ok(agreed)
    }
}

/// `d0r1z1-10.0.0.1:6200R10.0.0.1:6200/sdb1_"meta"`, which is also a search value for the device.
pub(super) fn full_name(device: &Device) -> String {
    let Device { id, region, zone, port, replication_port, device: name, meta, .. } = device;
    let (ip, replication_ip) = (bracketed(&device.ip), bracketed(&device.replication_ip));
    format!("d{id}r{region}z{zone}-{ip}:{port}R{replication_ip}:{replication_port}/{name}_\"{meta}\"")
}

pub(super) fn bracketed(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}
