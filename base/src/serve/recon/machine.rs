//! What the kernel says of the machine, in the shapes of Swift's recon. Reading blocks, shortly; parsing is pure.

use std::fs;
use std::io;

use serde_json::{Map, Value, json};

pub(super) fn load() -> io::Result<Value> {
    parse_load(&fs::read_to_string("/proc/loadavg")?).ok_or_else(|| odd("/proc/loadavg"))
}

pub(super) fn memory() -> io::Result<Value> {
    Ok(parse_memory(&fs::read_to_string("/proc/meminfo")?))
}

pub(super) fn mounted() -> io::Result<Value> {
    Ok(parse_mounts(&fs::read_to_string("/proc/mounts")?))
}

pub(super) fn sockets() -> io::Result<Value> {
    let read = |path| match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        read => read,
    };
    let page = rustix::param::page_size();
    Ok(parse_sockets(&read("/proc/net/sockstat")?, &read("/proc/net/sockstat6")?, page as u64))
}

fn odd(path: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not understood"))
}

/// `0.20 0.18 0.12 1/80 11206`.
fn parse_load(text: &str) -> Option<Value> {
    let mut words = text.split_whitespace();
    let mut average = || words.next()?.parse::<f64>().ok();
    let (one, five, fifteen) = (average()?, average()?, average()?);
    let (tasks, processes) = (words.next()?, words.next()?.parse::<u64>().ok()?);
    Some(json!({"1m": one, "5m": five, "15m": fifteen, "tasks": tasks, "processes": processes}))
}

/// `MemTotal:  16384 kB` in each line.
fn parse_memory(text: &str) -> Value {
    let items = text.lines().filter_map(|line| line.split_once(':'));
    items.map(|(name, value)| (name.to_owned(), value.trim().into())).collect::<Map<_, _>>().into()
}

/// `/dev/sdb1 /srv/node/sdb1 xfs rw,noatime 0 0` in each line.
fn parse_mounts(text: &str) -> Value {
    let mount = |line: &str| {
        let mut words = line.split_whitespace();
        Some(json!({"device": words.next()?, "path": words.next()?}))
    };
    text.lines().filter_map(mount).collect::<Vec<_>>().into()
}

/// `TCP: inuse 5 orphan 0 tw 2 alloc 7 mem 1`, of which `mem` is in pages.
fn parse_sockets(v4: &str, v6: &str, page: u64) -> Value {
    let number = |text: &str, protocol: &str, name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(protocol))?;
        let mut words = line.split_whitespace();
        words.find(|word| *word == name)?;
        words.next()?.parse::<u64>().ok()
    };
    let tcp = |name| number(v4, "TCP: ", name).unwrap_or(0);
    let mut told = json!({
        "tcp_in_use": tcp("inuse"),
        "orphan": tcp("orphan"),
        "time_wait": tcp("tw"),
        "tcp_mem_allocated_bytes": tcp("mem").saturating_mul(page),
    });
    if let Some(v6) = number(v6, "TCP6: ", "inuse") {
        told["tcp6_in_use"] = v6.into();
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn as_swift_says_it() {
        assert_eq!(
            parse_load("0.20 1.5 12 1/80 11206\n").unwrap(),
            json!({"1m": 0.2, "5m": 1.5, "15m": 12.0, "tasks": "1/80", "processes": 11206})
        );
        assert_eq!(parse_memory("MemTotal:   16 kB\nHuge: 0\n"), json!({"MemTotal": "16 kB", "Huge": "0"}));
        assert_eq!(
            parse_mounts("/dev/sdb1 /srv/node/sdb1 xfs rw 0 0\n"),
            json!([{"device": "/dev/sdb1", "path": "/srv/node/sdb1"}])
        );
        let (v4, v6) = ("sockets: used 9\nTCP: inuse 5 orphan 1 tw 2 alloc 7 mem 3\nUDP: inuse 4\n", "TCP6: inuse 6\n");
        let told =
            json!({"tcp_in_use": 5, "orphan": 1, "time_wait": 2, "tcp_mem_allocated_bytes": 12288, "tcp6_in_use": 6});
        assert_eq!(parse_sockets(v4, v6, 4096), told);
    }

    #[test]
    fn this_machine_is_understood() {
        for told in [load(), memory(), mounted(), sockets()] {
            told.unwrap();
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,80}") {
            let _ = (parse_load(&text), parse_memory(&text), parse_mounts(&text), parse_sockets(&text, &text, 4096));
        }
    }
}
