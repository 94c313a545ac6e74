//! What the command line says: commands, options, and how errors and logs reach the person who typed it.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;

use clap::{Args, Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::dispersion::DispersionCommand;
use crate::error::StartError;
use crate::import::ImportArguments;
use crate::inspect::InspectCommand;
use crate::pass::PassArguments;
use crate::recon::ReconArguments;
use crate::roles::Role;
use crate::status::StatusArguments;

/// A Swift-compatible object store: every role and tool in one binary.
#[derive(Debug, Parser)]
#[command(name = "apus", version, disable_help_subcommand = true)]
pub(crate) struct Options {
    /// What to log, as in `info` or `warn,apus::access=info`, which is one line for each request.
    #[arg(long, global = true, default_value = "warn", value_name = "FILTER")]
    pub(crate) log: String,

    /// Kill this process at a crash point, for the crash tests: NAME, or NAME:N to pass it N times first.
    #[arg(long, global = true, hide = true, value_name = "NAME[:N]")]
    pub(crate) crash_at: Option<CrashPoint>,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start a whole cluster in this process, with all its data in one folder.
    Up(UpArguments),
    /// Start one or more roles of a node, as its configuration says.
    Serve {
        /// proxy, account, container, object; the account and container roles of a device belong in one process.
        #[arg(required = true)]
        roles: Vec<Role>,
        /// The node's configuration.
        #[arg(long, value_name = "FILE")]
        config: PathBuf,
    },
    /// Take over the data of a Swift node that has been stopped: load its account and container databases, and look whether
    /// its objects can be served where they are.
    Import(ImportArguments),
    /// Run one background pass of this node: once, or for ever.
    Pass(PassArguments),
    /// Ask every server of the rings how it is, in swift-recon's options.
    Recon(ReconArguments),
    /// Look at one thing from close by: a file, a listing, a place in the rings; changes nothing.
    #[command(subcommand)]
    Inspect(InspectCommand),
    /// Say whether all data is fully redundant, what is at risk, and how long until it is repaired.
    Status(StatusArguments),
    /// Spread containers and objects over a share of the partitions, and count their copies.
    #[command(subcommand)]
    Dispersion(DispersionCommand),
    /// Make the certificates by which the nodes of a cluster know each other.
    #[command(subcommand)]
    Ca(CaCommand),
    /// Make and change rings: `apus ring FILE.builder VERB ...`, in swift-ring-builder's words.
    #[command(disable_help_flag = true)]
    Ring {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum CaCommand {
    /// Make a cluster's CA: DIR/ca.pem, which every node needs, and DIR/ca.key, which none does.
    Create {
        /// A folder that only the operator can read.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Make a node's certificate and key, DIR/NAME.pem and DIR/NAME.key, for `[replication]` and `[backend_tls]` of its configuration.
    Issue {
        /// The folder of the CA.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// What to call the node's files; its certificate holds no address.
        #[arg(value_name = "NAME")]
        node: String,
        /// After how many days it ends. [default: never]
        #[arg(long, value_name = "N")]
        days: Option<u32>,
    },
    /// Revoke a node's certificate: adds it to DIR/crl.pem, which then has to get to all other nodes.
    Revoke {
        /// The folder of the CA.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// The node, whose DIR/NAME.pem is still there.
        #[arg(value_name = "NAME")]
        node: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct UpArguments {
    /// The folder that holds everything; made at the first start.
    #[arg(long, default_value = "data", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Where clients connect; port 0 lets the system choose. [default: 127.0.0.1:8080]
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) listen: Option<String>,
    /// Speak HTTPS with this certificate (PEM, those that lead to a known one behind it).
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_certificate: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub(crate) tls_key: Option<PathBuf>,
    /// How many devices to make at the first start. [default: 4]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) devices: Option<u16>,
    /// How many copies of everything to keep, set at the first start. [default: 3, or as many as there are devices]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) replicas: Option<u16>,
    /// A user who may log in, instead of those in DIR/apus.toml; may be given several times. Groups such as .admin
    /// come last. Without any, the first start makes the admin admin:admin with a random key and keeps it.
    #[arg(long = "user", value_name = "ACCOUNT:USER:KEY[:GROUP[,GROUP]]")]
    pub(crate) users: Vec<String>,
}

/// `NAME[:N]`.
#[derive(Clone, Debug)]
pub(crate) struct CrashPoint {
    name: String,
    skip: u64,
}

impl CrashPoint {
    pub(crate) fn arm(&self) {
        apus_base::crash::arm(&self.name, self.skip);
    }
}

impl FromStr for CrashPoint {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, skip) = text.split_once(':').unwrap_or((text, "0"));
        Ok(Self { name: name.to_owned(), skip: skip.parse()? })
    }
}

/// Sends logs to standard error while `work` runs.
pub(crate) fn logged<T>(filter: &str, work: impl FnOnce() -> Result<T, StartError>) -> Result<T, StartError> {
    let filter = EnvFilter::try_new(filter).map_err(|e| StartError::LogFilter(e.to_string()))?;
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_writer(std::io::stderr).init();
    work()
}

/// Runs a verb of the ring builder.
pub(crate) fn ring(arguments: Vec<OsString>) -> ExitCode {
    let status = apus_ring_builder::command::run(arguments.into_iter(), &mut std::io::stdout().lock());
    ExitCode::from(u8::try_from(status).unwrap_or(2))
}

/// Says on standard error why the command failed.
pub(crate) fn complain(error: &StartError) {
    // If standard error is gone there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "apus: {error}");
}

/// Says a line on standard error.
pub(crate) fn complain_line(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Says a line on standard output at once, also into a pipe.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
