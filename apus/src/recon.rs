//! `apus recon`: asks every server of the rings how it is, and sums up, in swift-recon's options and words.
//!
//! The exit status is 0 when every server answered and nothing is wrong with it: no device is missing, rings and configuration
//! are the same everywhere, clocks agree. Figures (what waits, what failed) are for the reader to judge, or for `apus status`.

pub(crate) mod checks;
mod disks;
pub(crate) mod report;
pub(crate) mod same;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use crate::cli;
use crate::error::StartError;
use crate::roles::Role;
use crate::serve;
use crate::view::{self, Heard, Host, Part, Scout, View};
use checks::Check;
use report::{RULE, date};

/// The options are swift-recon's, but for --config in place of --swiftdir.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("checks").required(true).multiple(true))]
pub(crate) struct ReconArguments {
    /// Which servers to ask. [default: object]
    #[arg(value_enum)]
    servers: Vec<Server>,
    /// The configuration of any node, which has the rings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Also say what each server answers.
    #[arg(short, long)]
    verbose: bool,
    /// Do not say which servers give no answer; the exit status still does.
    #[arg(long)]
    suppress: bool,
    /// How many container updates wait.
    #[arg(short = 'a', long = "async", group = "checks")]
    pending: bool,
    /// When replication passed last, and what failed.
    #[arg(short, long, group = "checks")]
    replication: bool,
    /// Of erasure codes, which there are none of: no server has figures.
    #[arg(short = 'R', long, group = "checks")]
    reconstruction: bool,
    /// What the auditors found.
    #[arg(long, group = "checks")]
    auditor: bool,
    /// How long the updaters take.
    #[arg(long, group = "checks")]
    updater: bool,
    /// What expired.
    #[arg(short = 'x', long, group = "checks")]
    expirer: bool,
    /// Of sharded containers.
    #[arg(long, group = "checks")]
    sharding: bool,
    /// Devices that are not there.
    #[arg(short, long, group = "checks")]
    unmounted: bool,
    /// How full the disks are.
    #[arg(short, long, group = "checks")]
    diskusage: bool,
    /// With --diskusage: say bytes with a unit.
    #[arg(long)]
    human_readable: bool,
    /// With --diskusage: also name the fullest disks.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    top: usize,
    /// With --diskusage: also name the emptiest disks.
    #[arg(long, value_name = "COUNT", default_value_t = 0)]
    lowest: usize,
    /// Load averages.
    #[arg(short, long, group = "checks")]
    loadstats: bool,
    /// What is in quarantine.
    #[arg(short, long, group = "checks")]
    quarantined: bool,
    /// Whether the servers are what the rings say.
    #[arg(long, group = "checks")]
    validate_servers: bool,
    /// Whether rings, swift.conf and `[cluster]` are the same everywhere as here.
    #[arg(long, group = "checks")]
    md5: bool,
    /// Sockets in use.
    #[arg(long, group = "checks")]
    sockstat: bool,
    /// Errors that a drive audit found.
    #[arg(long, group = "checks")]
    driveaudit: bool,
    /// Whether the clocks agree with this one.
    #[arg(short = 'T', long, group = "checks")]
    time: bool,
    /// With --time: by how many seconds they may differ.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
    jitter: f64,
    /// Whether all run the same version.
    #[arg(long, group = "checks")]
    swift_versions: bool,
    /// All of these.
    #[arg(long, group = "checks")]
    all: bool,
    /// Only servers of this region.
    #[arg(long, value_name = "N")]
    region: Option<u32>,
    /// Only servers of this zone.
    #[arg(short, long, value_name = "N")]
    zone: Option<u32>,
    /// How long a server has to answer, in seconds.
    #[arg(short, long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    timeout: u64,
    /// Only object servers of this policy, by name or index.
    #[arg(short, long, value_name = "POLICY")]
    policy: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Server {
    Account,
    Container,
    Object,
}

impl Server {
    fn role(self) -> Role {
        match self {
            Self::Account => Role::Account,
            Self::Container => Role::Container,
            Self::Object => Role::Object,
        }
    }
}

/// One kind of server, and what was heard from all of them.
struct Round<'a> {
    view: &'a View,
    arguments: &'a ReconArguments,
    server: Role,
    hosts: BTreeSet<Host>,
    scout: Scout,
}

/// What a check has to say.
#[derive(Debug, Default)]
struct Finding {
    lines: Vec<String>,
    /// Whether something is wrong.
    trouble: bool,
}

/// Who answered what.
type Answers = Vec<(Host, Heard)>;

/// Asks, and says what was heard.
pub(crate) fn run(mut arguments: ReconArguments) -> Result<ExitCode, StartError> {
    let mut view = View::read(&arguments.config)?;
    if let Some(policy) = &arguments.policy {
        view.keep_policy(policy)?;
    }
    if arguments.servers.is_empty() {
        arguments.servers.push(Server::Object);
    }
    let servers: BTreeSet<Server> = arguments.servers.iter().copied().collect();
    serve::runtime()?.block_on(async {
        let mut trouble = false;
        cli::say(RULE);
        for server in servers {
            let hosts = view.hosts(server.role(), Part { region: arguments.region, zone: arguments.zone });
            let scout = view.scout(Duration::from_secs(arguments.timeout));
            let round = Round { view: &view, arguments: &arguments, server: server.role(), hosts, scout };
            trouble |= round.run().await;
        }
        Ok(if trouble { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

impl Round<'_> {
    /// Says whether there was any trouble.
    async fn run(&self) -> bool {
        cli::say(&format!("--> Starting reconnaissance on {} hosts ({})", self.hosts.len(), self.server.name()));
        cli::say(RULE);
        let (mut trouble, mut silent) = (self.hosts.is_empty(), BTreeSet::new());
        for check in Check::chosen(self.arguments, self.server) {
            trouble |= self.check(check, &mut silent).await;
            cli::say(RULE);
        }
        if !silent.is_empty() {
            let names: Vec<String> = silent.iter().map(Host::to_string).collect();
            cli::say(&format!("{} of {} hosts gave no answer: {}", names.len(), self.hosts.len(), names.join(", ")));
            cli::say(RULE);
        }
        trouble || !silent.is_empty()
    }

    async fn check(&self, check: Check, silent: &mut BTreeSet<Host>) -> bool {
        let Some(question) = check.question(self.server) else {
            cli::say(&format!("Error: Can't check {} on {} servers.", check.name(), self.server.name()));
            return true;
        };
        cli::say(&format!("[{}] {}", date(view::now()), check.title(self)));
        let asked = view::each(&self.hosts, |host| async {
            let answer = match check {
                Check::ValidateServers => self.scout.options(host).await.map(|headers| same::server_header(&headers)),
                _ => self.scout.get(host, &format!("/recon/{question}")).await,
            };
            (host.clone(), answer)
        });
        let (mut answers, url) = (Vec::new(), |host: &Host| format!("-> {}/recon/{question}", host.url()));
        for (host, answer) in asked.await {
            match answer {
                Ok(heard) => {
                    if self.arguments.verbose {
                        cli::say(&format!("{}: {}", url(&host), heard.value));
                    }
                    answers.push((host, heard));
                }
                Err(error) => {
                    if !self.arguments.suppress || self.arguments.verbose {
                        cli::say(&format!("{}: {error}", url(&host)));
                    }
                    silent.insert(host);
                }
            }
        }
        let finding = check.judge(self, &answers);
        finding.lines.iter().for_each(|line| cli::say(line));
        finding.trouble
    }
}
