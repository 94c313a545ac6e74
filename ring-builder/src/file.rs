//! Swift's builder files: a pickled dict (protocol 2) with the fields of `RingBuilder.to_dict`, in its order.
//!
//! Files of any age are read: old ones lack regions, replication addresses, overload, ids. Everything is checked on the way
//! in, because the numbers size tables. Swift's cache of the dispersion graph is not kept; Swift rebuilds it when asked.

use apus_base::pickle::{self, Array, Value};
use apus_base::ring::{Device, IdWidth};

use crate::Error;
use crate::builder::{Builder, BuilderDevice, check_size, check_weight};
use crate::place::NOBODY;

/// Devices in one builder: four-byte ids allow more, memory and sense do not.
const MAX_DEVICES: usize = 1 << 20;

impl Builder {
    /// Reads a builder file.
    ///
    /// # Errors
    /// [`Error::Pickle`] or [`Error::File`] if the bytes hold no sound builder.
    pub fn from_bytes(bytes: &[u8]) -> Result<Builder, Error> {
        let limits = pickle::Limits { depth: 16, values: 32 * MAX_DEVICES };
        builder(&pickle::loads_with(bytes, limits)?)
    }

    /// This builder as a file that Swift reads. The id must have been given (see [`Builder::ensure_id`]) or stays empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        pickle::dumps(&to_value(self))
    }

    /// Gives the builder an id, 32 hex digits, unless it has one.
    pub fn ensure_id(&mut self, random: u128) {
        self.id.get_or_insert_with(|| format!("{random:032x}"));
    }
}

fn field<'v>(dict: &'v Value, key: &'static str) -> Option<&'v Value> {
    dict.get(key).filter(|value| **value != Value::None)
}

fn int<T: TryFrom<i64>>(dict: &Value, key: &'static str) -> Result<Option<T>, Error> {
    let Some(value) = field(dict, key) else {
        return Ok(None);
    };
    let whole = value.as_int().or_else(|| whole(value.as_float()?));
    whole.and_then(|n| T::try_from(n).ok()).map(Some).ok_or(Error::File(key))
}

/// Python programs sometimes leave a float where an int belongs.
#[expect(clippy::cast_possible_truncation, reason = "the float is a small whole number")]
fn whole(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64)
}

fn must<T>(found: Option<T>, key: &'static str) -> Result<T, Error> {
    found.ok_or(Error::File(key))
}

fn float(dict: &Value, key: &'static str) -> Result<Option<f64>, Error> {
    field(dict, key).map(|value| value.as_float().ok_or(Error::File(key))).transpose()
}

fn text(dict: &Value, key: &'static str) -> Result<Option<String>, Error> {
    field(dict, key).map(|value| value.as_str().map(str::to_owned).ok_or(Error::File(key))).transpose()
}

fn builder(dict: &Value) -> Result<Builder, Error> {
    let part_power = must(int(dict, "part_power")?, "part_power")?;
    let replicas = must(float(dict, "replicas")?, "replicas")?;
    check_size(part_power, replicas)?;
    let (devices, removed) = (devices(dict)?, removed(dict)?);
    let rows = rows(dict, 1 << part_power, &devices)?;
    let overload = float(dict, "overload")?.unwrap_or(0.0);
    let max_id = u32::try_from(devices.len().saturating_sub(1)).map_err(|_| Error::File("devs"))?;
    let stored_width = match int(dict, "dev_id_bytes")? {
        Some(4) => IdWidth::FourBytes,
        _ => IdWidth::TwoBytes,
    };
    let mut builder = Builder::create(part_power, replicas, int(dict, "min_part_hours")?.unwrap_or(0))?;
    builder.set_overload(overload)?;
    builder.next_part_power = int(dict, "next_part_power")?;
    builder.devices = devices;
    builder.devices_changed = dict.get("devs_changed").and_then(Value::as_int).is_some_and(|n| n != 0);
    builder.version = int(dict, "version")?.unwrap_or(0);
    builder.removed = removed;
    builder.rows = rows;
    builder.id_width = stored_width.max(IdWidth::for_max_id(max_id));
    builder.last_moves = last_moves(dict, builder.parts())?;
    builder.last_moves_epoch = int(dict, "_last_part_moves_epoch")?.unwrap_or(0);
    builder.gather_start = int(dict, "_last_part_gather_start")?.unwrap_or(0);
    builder.dispersion = float(dict, "dispersion")?;
    builder.id = text(dict, "id")?;
    Ok(builder)
}

fn devices(dict: &Value) -> Result<Vec<Option<BuilderDevice>>, Error> {
    let devs = dict.get("devs").and_then(Value::as_items).ok_or(Error::File("devs"))?;
    if devs.len() > MAX_DEVICES {
        return Err(Error::File("more than 1,048,576 devices"));
    }
    let placed = devs.iter().enumerate();
    placed.map(|(place, dev)| if *dev == Value::None { Ok(None) } else { device(place, dev).map(Some) }).collect()
}

fn device(place: usize, dict: &Value) -> Result<BuilderDevice, Error> {
    let id = must(int(dict, "id")?, "id of a device")?;
    if u32::try_from(place) != Ok(id) {
        return Err(Error::File("the id of a device is not its place"));
    }
    let weight = must(float(dict, "weight")?, "weight of a device")?;
    check_weight(weight)?;
    let (ip, port) = (must(text(dict, "ip")?, "ip of a device")?, must(int(dict, "port")?, "port of a device")?);
    let device = Device {
        id,
        weight,
        region: int(dict, "region")?.unwrap_or(1),
        zone: must(int(dict, "zone")?, "zone of a device")?,
        replication_ip: text(dict, "replication_ip")?.unwrap_or_else(|| ip.clone()),
        replication_port: int(dict, "replication_port")?.unwrap_or(port),
        ip,
        port,
        device: must(text(dict, "device")?, "name of a device")?,
        meta: text(dict, "meta")?.unwrap_or_default(),
    };
    // Swift writes a fraction here for drained devices of a fractional ring. Only a note for readers: it is made anew each time.
    let parts_wanted = float(dict, "parts_wanted")?.and_then(|wanted| whole(wanted.trunc())).unwrap_or(0);
    Ok(BuilderDevice { device, parts: int(dict, "parts")?.unwrap_or(0), parts_wanted })
}

fn removed(dict: &Value) -> Result<Vec<u32>, Error> {
    let devs = dict.get("_remove_devs").and_then(Value::as_items).unwrap_or_default();
    devs.iter().map(|dev| must(int(dev, "id")?, "id of a removed device")).collect()
}

/// The assignments. Every id must be a device or nobody, every row but the last full.
fn rows(dict: &Value, parts: usize, devices: &[Option<BuilderDevice>]) -> Result<Option<Vec<Vec<u32>>>, Error> {
    const KEY: Error = Error::File("_replica2part2dev");
    let Some(rows) = field(dict, "_replica2part2dev") else {
        return Ok(None);
    };
    let rows: Vec<Vec<u32>> = rows.as_items().ok_or(KEY)?.iter().map(row).collect::<Option<_>>().ok_or(KEY)?;
    let full = rows.iter().rev().skip(1).all(|row| row.len() == parts);
    let fits = rows.last().is_none_or(|row| row.len() <= parts);
    let known = |id: &u32| *id == NOBODY || devices.get(*id as usize).is_some_and(Option::is_some);
    if !full || !fits || !rows.iter().flatten().all(known) {
        return Err(KEY);
    }
    Ok(Some(rows).filter(|rows| !rows.is_empty()))
}

fn row(value: &Value) -> Option<Vec<u32>> {
    match value {
        Value::Array(Array::U16(ids)) => {
            Some(ids.iter().map(|id| if *id == u16::MAX { NOBODY } else { u32::from(*id) }).collect())
        }
        Value::Array(Array::U32(ids)) => Some(ids.clone()),
        _ => None,
    }
}

/// An array, or a plain list after a partition power increase, or nothing in a builder made from a ring.
fn last_moves(dict: &Value, parts: usize) -> Result<Vec<u8>, Error> {
    const KEY: Error = Error::File("_last_part_moves");
    let moves = match field(dict, "_last_part_moves") {
        None => vec![0; parts],
        Some(Value::Array(Array::U8(moves))) => moves.clone(),
        Some(list) => {
            let age = |age: &Value| age.as_int().and_then(|age| u8::try_from(age).ok());
            list.as_items().ok_or(KEY)?.iter().map(age).collect::<Option<_>>().ok_or(KEY)?
        }
    };
    if moves.len() == parts { Ok(moves) } else { Err(KEY) }
}

fn to_value(builder: &Builder) -> Value {
    let devices = builder.devices.iter().map(|d| d.as_ref().map_or(Value::None, device_value)).collect();
    let removed = builder.removed.iter().filter_map(|id| builder.device(*id)).map(device_value).collect();
    let rows = builder
        .rows
        .as_ref()
        .map_or(Value::None, |rows| Value::List(rows.iter().map(|row| row_value(row, builder.id_width)).collect()));
    dict([
        ("part_power", Value::Int(builder.part_power.into())),
        ("next_part_power", builder.next_part_power.map_or(Value::None, |power| Value::Int(power.into()))),
        ("replicas", Value::Float(builder.replicas)),
        ("min_part_hours", Value::Int(builder.min_part_hours.into())),
        ("parts", unsigned(builder.parts() as u64)),
        ("devs", Value::List(devices)),
        ("devs_changed", Value::Bool(builder.devices_changed)),
        ("dev_id_bytes", unsigned(builder.id_width.bytes() as u64)),
        ("version", unsigned(builder.version)),
        ("overload", Value::Float(builder.overload)),
        ("_replica2part2dev", rows),
        ("_last_part_moves_epoch", unsigned(builder.last_moves_epoch)),
        ("_last_part_moves", Value::Array(Array::U8(builder.last_moves.clone()))),
        ("_last_part_gather_start", Value::Int(builder.gather_start)),
        ("_dispersion_graph", Value::Dict(Vec::new())),
        ("dispersion", builder.dispersion.map_or(Value::None, Value::Float)),
        ("_remove_devs", Value::List(removed)),
        ("id", builder.id.as_ref().map_or(Value::None, |id| Value::Str(id.clone()))),
    ])
}

fn dict<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Dict(fields.into_iter().map(|(key, value)| (Value::Str(key.to_owned()), value)).collect())
}

fn unsigned(n: u64) -> Value {
    Value::Int(i64::try_from(n).unwrap_or(i64::MAX))
}

fn device_value(entry: &BuilderDevice) -> Value {
    let device = &entry.device;
    dict([
        ("region", Value::Int(device.region.into())),
        ("zone", Value::Int(device.zone.into())),
        ("ip", Value::Str(device.ip.clone())),
        ("port", Value::Int(device.port.into())),
        ("device", Value::Str(device.device.clone())),
        ("replication_ip", Value::Str(device.replication_ip.clone())),
        ("replication_port", Value::Int(device.replication_port.into())),
        ("meta", Value::Str(device.meta.clone())),
        ("weight", Value::Float(device.weight)),
        ("id", Value::Int(device.id.into())),
        ("parts", unsigned(entry.parts)),
        ("parts_wanted", Value::Int(entry.parts_wanted)),
    ])
}

fn row_value(row: &[u32], width: IdWidth) -> Value {
    match width {
        IdWidth::TwoBytes => {
            Value::Array(Array::U16(row.iter().map(|id| u16::try_from(*id).unwrap_or(u16::MAX)).collect()))
        }
        IdWidth::FourBytes => Value::Array(Array::U32(row.to_vec())),
    }
}
