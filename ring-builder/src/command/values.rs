//! Devices in one word: descriptions to add, values to search by, changes to make.
//!
//! All three share one shape, `d74r1z2-10.0.0.1:6200R10.1.0.1:6300/sdb1_meta`, of which a description lacks the id and the
//! others leave out what they like.

use std::net::IpAddr;

use apus_base::ring::Device;

use super::grammar::{Change, Devices};
use crate::{Builder, Error, NewDevice};

/// The parts of such a word; what is not said is `None`.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Parts {
    pub(super) id: Option<u32>,
    pub(super) region: Option<u32>,
    pub(super) zone: Option<u32>,
    pub(super) ip: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) replication_ip: Option<String>,
    pub(super) replication_port: Option<u16>,
    pub(super) device: Option<String>,
    pub(super) weight: Option<f64>,
    pub(super) meta: Option<String>,
}

impl Parts {
    /// Reads a search value.
    pub(super) fn search(value: &str) -> Result<Parts, Error> {
        Parts::read(value).filter(|parts| *parts != Parts::default()).ok_or_else(|| invalid("search value", value))
    }

    /// Reads what `set_info` changes: no id, region or zone.
    pub(super) fn change(value: &str) -> Result<Parts, Error> {
        let fixed = |parts: &Parts| parts.id.is_some() || parts.region.is_some() || parts.zone.is_some();
        let parts = Parts::read(value).filter(|parts| *parts != Parts::default() && !fixed(parts));
        parts.ok_or_else(|| invalid("set info change value", value))
    }

    /// Reads a description of a device to add.
    pub(super) fn new_device(value: &str, weight: &str) -> Result<NewDevice, Error> {
        let complete = |parts: Parts| {
            if parts.id.is_some() {
                return None;
            }
            let (ip, port) = (parts.ip?, parts.port?);
            Some(NewDevice {
                region: parts.region.unwrap_or(1),
                zone: parts.zone?,
                replication_ip: parts.replication_ip.unwrap_or_else(|| ip.clone()),
                replication_port: parts.replication_port.unwrap_or(port),
                ip,
                port,
                device: parts.device?,
                weight: weight.parse().ok()?,
                meta: parts.meta.unwrap_or_default(),
            })
        };
        if weight.parse::<f64>().is_err() {
            return Err(invalid("weight", weight));
        }
        Parts::read(value).and_then(complete).ok_or_else(|| invalid("add value", value))
    }

    fn read(value: &str) -> Option<Parts> {
        let mut rest = Rest(value);
        let mut parts =
            Parts { id: rest.number('d')?, region: rest.number('r')?, zone: rest.number('z')?, ..Parts::default() };
        rest.eat('-');
        parts.ip = rest.address()?;
        parts.port = rest.number(':')?;
        if rest.eat('R') {
            parts.replication_ip = rest.address()?;
            parts.replication_port = rest.number(':')?;
        }
        if rest.eat('/') {
            parts.device = Some(rest.until('_').to_owned());
        }
        if rest.eat('_') {
            parts.meta = Some(std::mem::take(&mut rest.0).to_owned());
        }
        rest.0.is_empty().then_some(parts)
    }

    /// The devices of a builder that match every part. Addresses match whole, meta by containing.
    pub(super) fn matches(&self, builder: &Builder) -> Vec<u32> {
        let device = |d: &Device| {
            fits(&self.id, &d.id)
                && fits(&self.region, &d.region)
                && fits(&self.zone, &d.zone)
                && fits(&self.ip, &d.ip)
                && fits(&self.port, &d.port)
                && fits(&self.replication_ip, &d.replication_ip)
                && fits(&self.replication_port, &d.replication_port)
                && fits(&self.device, &d.device)
                && fits(&self.weight, &d.weight)
                && self.meta.as_ref().is_none_or(|meta| d.meta.contains(meta))
        };
        builder.iter().map(|entry| &entry.device).filter(|d| device(d)).map(|d| d.id).collect()
    }

    /// Makes the change to a device.
    pub(super) fn apply(self, device: &mut Device) {
        replace(&mut device.ip, self.ip);
        replace(&mut device.port, self.port);
        replace(&mut device.replication_ip, self.replication_ip);
        replace(&mut device.replication_port, self.replication_port);
        replace(&mut device.device, self.device);
        replace(&mut device.meta, self.meta);
    }
}

fn fits<T: PartialEq>(wanted: &Option<T>, value: &T) -> bool {
    wanted.as_ref().is_none_or(|wanted| wanted == value)
}

fn replace<T>(value: &mut T, change: Option<T>) {
    if let Some(change) = change {
        *value = change;
    }
}

impl Devices {
    /// The options as a search; `None` if there are none.
    pub(super) fn options(&self) -> Result<Option<Parts>, Error> {
        let parts = Parts {
            id: self.id,
            region: self.region,
            zone: self.zone,
            ip: self.ip.as_deref().map(host).transpose()?,
            port: self.port,
            replication_ip: self.replication_ip.as_deref().map(host).transpose()?,
            replication_port: self.replication_port,
            device: self.device.clone(),
            weight: self.weight,
            meta: self.meta.clone(),
        };
        Ok(Some(parts).filter(|parts| *parts != Parts::default()))
    }

    /// The device that the options describe.
    pub(super) fn described(&self) -> Result<NewDevice, Error> {
        let missing = |option: &'static str| Error::Invalid { what: "device", value: format!("{option} is missing") };
        let parts = self.options()?.unwrap_or_default();
        let (ip, port) = (parts.ip.ok_or(missing("--ip"))?, parts.port.ok_or(missing("--port"))?);
        Ok(NewDevice {
            region: parts.region.ok_or(missing("--region"))?,
            zone: parts.zone.ok_or(missing("--zone"))?,
            replication_ip: parts.replication_ip.unwrap_or_else(|| ip.clone()),
            replication_port: parts.replication_port.unwrap_or(port),
            ip,
            port,
            device: parts.device.ok_or(missing("--device"))?,
            weight: parts.weight.ok_or(missing("--weight"))?,
            meta: parts.meta.unwrap_or_default(),
        })
    }
}

impl Change {
    /// The options as a change; `None` if there are none.
    pub(super) fn parts(&self) -> Result<Option<Parts>, Error> {
        let parts = Parts {
            ip: self.change_ip.as_deref().map(host).transpose()?,
            port: self.change_port,
            replication_ip: self.change_replication_ip.as_deref().map(host).transpose()?,
            replication_port: self.change_replication_port,
            device: self.change_device.clone(),
            meta: self.change_meta.clone(),
            ..Parts::default()
        };
        Ok(Some(parts).filter(|parts| *parts != Parts::default()))
    }
}

/// An IP address in its shortest form, or a host name in lower case.
fn host(text: &str) -> Result<String, Error> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text).to_lowercase();
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let name = bare.strip_suffix('.').unwrap_or(&bare);
    if bare.len() <= 255 && name.split('.').all(label) { Ok(bare) } else { Err(invalid("address", text)) }
}

pub(super) fn invalid(what: &'static str, value: &str) -> Error {
    Error::Invalid { what, value: value.to_owned() }
}

/// What is left of a word to read.
struct Rest<'v>(&'v str);

impl<'v> Rest<'v> {
    fn eat(&mut self, prefix: char) -> bool {
        let rest = self.0.strip_prefix(prefix);
        self.0 = rest.unwrap_or(self.0);
        rest.is_some()
    }

    /// `Some(None)` without the prefix, `None` if no number that fits follows it.
    fn number<T: std::str::FromStr>(&mut self, prefix: char) -> Option<Option<T>> {
        if !self.eat(prefix) {
            return Some(None);
        }
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let (digits, rest) = self.0.split_at(end);
        self.0 = rest;
        digits.parse().ok().map(Some)
    }

    /// An IPv4 address, or an IPv6 address in brackets; `None` if it is malformed.
    fn address(&mut self) -> Option<Option<String>> {
        let text = if self.eat('[') {
            let text = self.until(']');
            if !self.eat(']') {
                return None;
            }
            text
        } else if self.0.starts_with(|c: char| c.is_ascii_digit()) {
            self.span(|c| c.is_ascii_digit() || c == '.')
        } else {
            return Some(None);
        };
        text.to_lowercase().parse::<IpAddr>().ok().map(|ip| Some(ip.to_string()))
    }

    fn until(&mut self, end: char) -> &'v str {
        self.span(|c| c != end)
    }

    fn span(&mut self, inside: impl Fn(char) -> bool) -> &'v str {
        let (span, rest) = self.0.split_at(self.0.find(|c| !inside(c)).unwrap_or(self.0.len()));
        self.0 = rest;
        span
    }
}
