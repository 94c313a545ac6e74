//! What may be typed after `apus ring`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

/// Build and change rings: which devices hold which partitions.
#[derive(Debug, Parser)]
#[command(name = "apus ring", arg_required_else_help = true, disable_version_flag = true, after_help = AFTER_HELP)]
pub(super) struct Command {
    /// The builder file, such as object.builder; the ring goes to object.ring.gz beside it
    pub(super) builder_file: PathBuf,
    /// What to do; without it the builder is shown
    #[command(subcommand)]
    pub(super) verb: Option<Verb>,
}

const AFTER_HELP: &str = "\
A first ring:
  apus ring object.builder create 10 3 1
  apus ring object.builder add r1z1-127.0.0.1:6200/d1 100 r1z2-127.0.0.1:6201/d2 100 r1z3-127.0.0.1:6202/d3 100
  apus ring object.builder rebalance

A search value names devices: d<id>r<region>z<zone>-<ip>:<port>R<replication ip>:<port>/<device>_<meta>, every part of it
optional: d74, r4, z1-1.2.3.4, :6200, R5.6.7.8, /sdb1, _shiny, [::1]:6200.

Builder files and rings are those of Swift. Each change that writes a ring keeps a copy of ring and builder in backups/.
Exit codes: 0 done, 1 a warning (nothing changed, or the ring should be looked at), 2 an error (nothing changed).";

#[derive(Debug, Subcommand)]
#[command(rename_all = "snake_case")]
pub(super) enum Verb {
    /// Make a builder of 2^PART_POWER partitions; a partition rests MIN_PART_HOURS after each move
    Create { part_power: u8, replicas: f64, min_part_hours: u32 },
    /// Add devices: `r1z1-10.0.0.1:6200[R10.1.0.1:6300]/sdb1[_meta] WEIGHT ...`, or one device by options
    Add(Devices),
    /// Take devices out at the next rebalance, for disks that have failed (drain others with set_weight 0 first)
    Remove(Devices),
    /// Change weights: SEARCH_VALUE WEIGHT ..., or options and one WEIGHT
    SetWeight(Devices),
    /// Move devices to another region: SEARCH_VALUE REGION ..., or options and one REGION
    SetRegion(Devices),
    /// Move devices to another zone: SEARCH_VALUE ZONE ..., or options and one ZONE
    SetZone(Devices),
    /// Change address, name or meta: `SEARCH_VALUE [IP][:PORT][R[IP][:PORT]][/DEVICE][_META] ...`, or options
    SetInfo {
        #[command(flatten)]
        devices: Devices,
        #[command(flatten)]
        change: Change,
    },
    /// Change the number of replicas, such as 3 or 2.5, at the next rebalance
    SetReplicas { replicas: f64 },
    /// Let devices hold more than their weight says if that keeps replicas apart: 0.1 or 10%
    SetOverload { overload: String },
    /// Change for how many hours a partition rests after a move
    SetMinPartHours { hours: u32 },
    /// Let all partitions move again now (objects may be unreachable until replication has caught up)
    PretendMinPartHoursPassed,
    /// Assign partitions to devices and write the ring
    Rebalance(RebalanceOptions),
    /// Check that the assignments are sound
    Validate,
    /// Show the devices that match
    Search(Devices),
    /// List the partitions of the devices that match, those with most matches first
    ListParts(Devices),
    /// Tell how far apart replicas are
    Dispersion {
        /// Only regions, zones, servers and devices whose name begins with this regular expression
        filter: Option<String>,
        /// Show every one of them
        #[arg(short, long)]
        verbose: bool,
        /// Accepted for Swift's sake; the report is always made anew
        #[arg(long)]
        recalculate: bool,
    },
    /// Write the ring again, after set_info say
    WriteRing {
        #[command(flatten)]
        format: Format,
        /// Bytes of a device id, 2 or 4 (4 needs format version 2)
        #[arg(long = "dev-id-bytes", value_parser = clap::value_parser!(u8).range(2..=4))]
        dev_id_bytes: Option<u8>,
    },
}

impl Verb {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Verb::Validate | Verb::Search(_) | Verb::ListParts(_) | Verb::Dispersion { .. })
    }
}

#[derive(Debug, Clone, Copy, Args)]
pub(super) struct Format {
    /// Ring file version: 1, or 2 for Swift 2.36 and later
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(super) format_version: u8,
}

#[derive(Debug, Args)]
pub(super) struct RebalanceOptions {
    /// Write the ring even if it hardly changed
    #[arg(short, long)]
    pub(super) force: bool,
    /// Any text; the same builder and seed give the same ring
    #[arg(short, long)]
    pub(super) seed: Option<String>,
    /// Tell what the plan was
    #[arg(short, long)]
    pub(super) debug: bool,
    #[command(flatten)]
    pub(super) format: Format,
    /// The seed, as Swift also takes it
    #[arg(value_name = "SEED", conflicts_with = "seed")]
    pub(super) seed_value: Option<String>,
}

/// Devices by descriptions and search values, or by options.
#[derive(Debug, Default, Args)]
pub(super) struct Devices {
    /// Descriptions or search values, with what the verb needs after each
    pub(super) values: Vec<String>,
    /// Device id
    #[arg(short = 'u', long)]
    pub(super) id: Option<u32>,
    /// Region
    #[arg(short, long)]
    pub(super) region: Option<u32>,
    /// Zone
    #[arg(short, long)]
    pub(super) zone: Option<u32>,
    /// IP address or host name
    #[arg(short, long)]
    pub(super) ip: Option<String>,
    /// Port
    #[arg(short, long)]
    pub(super) port: Option<u16>,
    /// Replication IP address or host name
    #[arg(short = 'j', long)]
    pub(super) replication_ip: Option<String>,
    /// Replication port
    #[arg(short = 'q', long)]
    pub(super) replication_port: Option<u16>,
    /// Device name, such as sdb1
    #[arg(short, long)]
    pub(super) device: Option<String>,
    /// Weight
    #[arg(short, long)]
    pub(super) weight: Option<f64>,
    /// Free text about the device
    #[arg(short, long)]
    pub(super) meta: Option<String>,
    /// Answer yes to all questions
    #[arg(short, long)]
    pub(super) yes: bool,
}

/// What `set_info` changes, by options.
#[derive(Debug, Default, Args)]
pub(super) struct Change {
    /// New IP address or host name
    #[arg(short = 'I', long)]
    pub(super) change_ip: Option<String>,
    /// New port
    #[arg(short = 'P', long)]
    pub(super) change_port: Option<u16>,
    /// New replication IP address or host name
    #[arg(short = 'J', long)]
    pub(super) change_replication_ip: Option<String>,
    /// New replication port
    #[arg(short = 'Q', long)]
    pub(super) change_replication_port: Option<u16>,
    /// New device name
    #[arg(short = 'D', long)]
    pub(super) change_device: Option<String>,
    /// New free text
    #[arg(short = 'M', long)]
    pub(super) change_meta: Option<String>,
}
