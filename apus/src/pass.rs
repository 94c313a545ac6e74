//! `apus pass NAME`: one background pass of this node in a process of its own, once or for ever.
//!
//! The roles may run meanwhile: a pass shares nothing with them but the disks and the network. A pass that does not want to
//! find the listings locked must ask the servers, as replication of objects and the updater do.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use apus_auditor::object::ObjectAudit;
use apus_auditor::watch::Mode;
use apus_base::listing::ask::What;
use apus_base::metrics::Metrics;
use apus_base::pass::{self, Filter, Pass};
use apus_object::repair::Repairer;
use apus_replicator::replicate::moves::Move;
use clap::{Args, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::bar::Shown;
use crate::cli;
use crate::config::NodeConfig;
use crate::error::StartError;
use crate::listings;
use crate::node::Node;
use crate::rekey;
use crate::rings::Addresses;
use crate::serve;

#[derive(Debug, Args)]
pub(crate) struct PassArguments {
    /// Which pass.
    #[arg(value_enum)]
    name: PassName,
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Go over everything once, say what was done, and end; the exit status is 1 if anything failed.
    #[arg(long)]
    once: bool,
    /// Only this device; may be given several times, as may the two below.
    #[arg(long = "device", value_name = "NAME")]
    devices: Vec<String>,
    /// Only this partition.
    #[arg(long = "partition", value_name = "NUMBER")]
    partitions: Vec<u32>,
    /// Only this storage policy.
    #[arg(long = "policy", value_name = "INDEX")]
    policies: Vec<u32>,
    /// For `expire`: into how many shares the work is divided. [default: as the configuration says, or not at all]
    #[arg(long, value_name = "N", requires = "process")]
    processes: Option<u64>,
    /// For `expire`: which of the shares, from 0, to do.
    #[arg(long, value_name = "N", requires = "processes")]
    process: Option<u64>,
    /// For `move`: the object ring as it was, or a folder with those of several policies; `apus ring` keeps them in
    /// `backups/`. A single file is of the one policy that --policy says, or of policy 0. [default: go on with moves that
    /// were begun]
    #[arg(long, value_name = "RING.GZ|DIR")]
    from: Option<PathBuf>,
    /// For `audit`: read no bodies, only metadata, and find soon what is cut off or gone.
    #[arg(long)]
    zero_byte_fast: bool,
    /// For `rekey`: where it keeps its place. [default: rekey.state beside the configuration]
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
}

/// The passes there are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum PassName {
    /// Copies objects to the devices where they belong, and brings handoffs home.
    Replicate,
    /// Copies accounts and containers to the devices where they belong, and brings handoffs home. The node's servers do it,
    /// which must run.
    ReplicateListings,
    /// Brings the partitions that a ring change gave to other devices there, and ends when this node has done its part. The
    /// object server does so by itself when it sees a new ring, unless `[replication] interval` is 0.
    Move,
    /// Tells container servers the rows that they did not hear when an object was written.
    Update,
    /// Deletes objects whose time has come.
    Expire,
    /// Removes objects, versions and uploads whose time has come by the rules of their buckets. Proxies do so by themselves,
    /// each bucket once a day; this goes through all that have rules. Killed and begun anew, it goes on where it was.
    Lifecycle,
    /// Sends webhooks the events of buckets that wait for them. Proxies do so by themselves; this sends those too that a proxy
    /// may be just sending.
    Notify,
    /// Empties accounts that were deleted.
    Reap,
    /// Reads everything to see whether it still is what was written; what is not goes to quarantine and is repaired. Killed and
    /// begun anew, it goes on where it was.
    Audit,
    /// Moves objects that are under another storage policy than their container's.
    Reconcile,
    /// Brings all encrypted objects of the cluster under the active root secret, and proves it, so that the others can be
    /// removed. Killed and begun anew, it goes on where it was.
    Rekey,
}

/// What is the same for every pass.
pub(crate) struct Run {
    pub(crate) once: bool,
    pub(crate) filter: Filter,
    pub(crate) stop: CancellationToken,
}

/// Runs until the pass has ended or a signal comes.
pub(crate) fn run(arguments: PassArguments) -> Result<ExitCode, StartError> {
    let mut config = NodeConfig::read(&arguments.config)?;
    if let (Some(processes), Some(process)) = (arguments.processes, arguments.process) {
        (config.expirer.processes, config.expirer.process) = (processes, process);
        config.check(&arguments.config)?;
    }
    let cluster = config.cluster(&arguments.config)?;
    // Beside the configuration of an `apus up` are the addresses that it listens on just now.
    let addresses = Addresses::read(&arguments.config.with_file_name(crate::data::ADDRESSES))?;
    serve::runtime()?.block_on(async {
        let node = Node::new(config, cluster, addresses)?;
        let run = Run {
            once: arguments.once,
            filter: Filter {
                devices: arguments.devices.into_iter().collect(),
                partitions: arguments.partitions.into_iter().collect(),
                policies: arguments.policies.into_iter().collect(),
            },
            stop: stop_at_signal()?,
        };
        let metrics = Metrics::new("pass");
        match arguments.name {
            PassName::Replicate => {
                let (pass, repairer) = node.replicator(&arguments.config, &metrics)?;
                repairer.beside(run.pass(&pass, node.pause(arguments.name))).await.0
            }
            PassName::ReplicateListings => {
                let (link, own) = node.own_listings(&arguments.config)?;
                listings::run(&link, &own, &run, node.pause(arguments.name)).await
            }
            PassName::Move => {
                let from = node.old_rings(arguments.from.as_deref(), &run.filter)?;
                let (replicate, repairer) = node.replicator(&arguments.config, &metrics)?;
                let pass = Move::new(replicate, from);
                // It ends when it is done, as that of an operator.
                let run = Run { once: true, ..run };
                repairer.beside(run.pass(&pass, Duration::ZERO)).await.0
            }
            PassName::Update => run.pass(&node.updater(&metrics), node.pause(arguments.name)).await,
            PassName::Audit => {
                let mode = if arguments.zero_byte_fast { Mode::ZeroByteFast } else { Mode::All };
                let (pass, repairer) = node.auditor(&arguments.config, mode, &metrics)?;
                let objects = run.audit(&pass, repairer).await?;
                // Those who want only bodies left out, or one policy, mean objects.
                if mode == Mode::ZeroByteFast || !run.once || !run.filter.policies.is_empty() {
                    return Ok(objects);
                }
                let (link, own) = match node.own_listings(&arguments.config) {
                    Err(StartError::NoReplication { .. } | StartError::NoAddress { .. }) => {
                        tracing::warn!("no server of this node can be asked to audit its listings");
                        return Ok(objects);
                    }
                    own => own?,
                };
                let failures = listings::ask_all(What::Audit, &link, &own, &run).await?;
                Ok(if failures == 0 { objects } else { ExitCode::FAILURE })
            }
            PassName::Expire => run.pass(&node.expirer(None, &metrics), node.pause(arguments.name)).await,
            // It keeps its place, so it can be stopped anywhere.
            PassName::Rekey => tokio::select! {
                done = rekey::run(&arguments.config, arguments.once, arguments.state) => done.map(|()| ExitCode::SUCCESS),
                () = run.stop.cancelled() => Ok(ExitCode::FAILURE),
            },
            PassName::Reconcile => {
                run.pass(&node.reconciler(&arguments.config, &metrics)?, node.pause(arguments.name)).await
            }
            PassName::Lifecycle => {
                run.pass(&node.lifecycle(&metrics)?.everything(), node.pause(arguments.name)).await
            }
            PassName::Notify => {
                run.pass(&node.notify(&metrics)?.everything(), node.pause(arguments.name)).await
            }
            PassName::Reap => run.pass(&node.reaper(&arguments.config, &metrics)?, node.pause(arguments.name)).await,
        }
    })
}

impl Run {
    /// An audit, and the repair of what it finds.
    async fn audit(&self, pass: &ObjectAudit, repairer: Option<Repairer>) -> Result<ExitCode, StartError> {
        let Some(repairer) = repairer else {
            tracing::warn!("there is no [replication] in the configuration, so what is damaged is not repaired");
            return self.pass(pass, pass.interval()).await;
        };
        let auditing = async {
            repairer.retry_all().await;
            self.pass(pass, pass.interval()).await
        };
        let (ended, repaired, failed) = repairer.beside(auditing).await;
        cli::say(&format!("audit: repaired {repaired}, without a good copy {failed}"));
        if failed > 0 { Ok(ExitCode::FAILURE) } else { ended }
    }

    async fn pass<P: Pass>(&self, pass: &P, pause: Duration) -> Result<ExitCode, StartError> {
        if !self.once {
            pass::forever(pass, pause, None, &self.stop).await;
            return Ok(ExitCode::SUCCESS);
        }
        let mut shown = Shown::new(P::NAME);
        let report = pass::once(pass, &self.filter, &self.stop, |report| shown.update(report)).await;
        shown.end(&report);
        Ok(if report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

pub(crate) fn stop_at_signal() -> Result<CancellationToken, StartError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(StartError::Runtime)?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        stopping.cancel();
    });
    Ok(stop)
}
