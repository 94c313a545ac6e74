//! The background passes of a node, beside its servers and by themselves.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use apus_base::client::{ClientConfig, ClusterClient};
use apus_base::clock::Clock;
use apus_base::here::Here;
use apus_base::metrics::Metrics;
use apus_proxy::Proxy;
use apus_proxy::ops::notification::Notifier;
use apus_proxy::s3::lifecycle::Lifecycle;
use apus_replicator::Share;
use apus_replicator::expire::Expirer;
use apus_replicator::reap::Reaper;
use apus_replicator::reconcile::Reconciler;
use apus_replicator::update::Updater;

use super::{Node, address};
use crate::error::StartError;
use crate::pass::PassName;
use crate::roles::Role;

impl Node {
    pub(crate) fn updater(&self, metrics: &Metrics) -> Updater {
        let (config, devices) = (self.config.updater.clone(), Arc::clone(&self.devices));
        Updater::new(config, devices, self.passes(metrics), self.recon(), metrics)
    }

    /// The expirer beside the object server that is `here`, or one by itself that does all.
    pub(crate) fn expirer(&self, here: Option<Here>, metrics: &Metrics) -> Expirer {
        let config = self.config.expirer.clone();
        let ring = self.rings.objects.values().next();
        let share = match (config.processes, here, ring) {
            (1.., _, _) => Share::Fixed { process: config.process, processes: config.processes },
            (0, Some(here), Some(ring)) => Share::fair(&here, ring),
            _ => Share::Everything,
        };
        Expirer::new(config, share, self.passes(metrics), self.recon(), metrics)
    }

    /// What carries out lifecycles, by itself.
    pub(crate) fn lifecycle(&self, metrics: &Metrics) -> Result<Lifecycle, StartError> {
        Ok(Lifecycle::new(self.quiet_proxy(metrics)?, self.recon(), metrics))
    }

    /// What tells webhooks, by itself.
    pub(crate) fn notify(&self, metrics: &Metrics) -> Result<Notifier, StartError> {
        Ok(Notifier::new(self.quiet_proxy(metrics)?, self.recon(), metrics))
    }

    /// A proxy without clients.
    fn quiet_proxy(&self, metrics: &Metrics) -> Result<Proxy, StartError> {
        Ok(Proxy::new(self.config.proxy.clone(), self.passes(metrics), Arc::new(Clock::default()))?)
    }

    /// The reaper by itself, which asks the account server where the configuration has it.
    pub(crate) fn reaper(&self, path: &Path, metrics: &Metrics) -> Result<Reaper, StartError> {
        Ok(self.reaper_beside(self.listening(Role::Account, path)?, metrics))
    }

    pub(super) fn reaper_beside(&self, here: Here, metrics: &Metrics) -> Reaper {
        Reaper::new(self.config.reaper.clone(), here, self.passes(metrics), self.recon(), metrics)
    }

    /// The reconciler by itself, which does the whole queue.
    pub(crate) fn reconciler(&self, path: &Path, metrics: &Metrics) -> Result<Reconciler, StartError> {
        Ok(self.reconciler_beside(self.listening(Role::Container, path)?, Share::Everything, metrics))
    }

    pub(super) fn reconciler_beside(&self, here: Here, share: Share, metrics: &Metrics) -> Reconciler {
        let config = self.config.reconciler.clone();
        Reconciler::new(config, here, share, self.passes(metrics), self.recon(), metrics)
    }

    /// Where the configuration has a server of this node.
    fn listening(&self, role: Role, path: &Path) -> Result<Here, StartError> {
        let none = || StartError::NoAddress { path: path.to_owned(), role: role.name() };
        Ok(Here::new(address(self.config.listen.of(role).ok_or_else(none)?)?))
    }

    /// How long a pass that is run for ever rests.
    pub(crate) fn pause(&self, pass: PassName) -> Duration {
        match pass {
            PassName::Replicate | PassName::ReplicateListings => {
                Duration::from_secs(self.config.replication.as_ref().map_or(0, |replication| replication.interval))
            }
            PassName::Update => self.config.updater.interval,
            PassName::Expire => self.config.expirer.interval,
            PassName::Lifecycle => self.config.proxy.lifecycle.interval,
            PassName::Notify => self.config.proxy.notifications.interval,
            PassName::Reap => self.config.reaper.interval,
            PassName::Audit => self.config.auditor.interval,
            PassName::Reconcile => self.config.reconciler.interval,
            // They end when they are done, and know themselves what to wait for.
            PassName::Move | PassName::Rekey => Duration::ZERO,
        }
    }

    /// The client of all passes; its metrics are with those of the role that needs it first. Nobody waits for a pass, so it gives slow
    /// replicas all the time that they have: what they miss, replication has to bring.
    pub(super) fn passes(&self, metrics: &Metrics) -> ClusterClient {
        let config = ClientConfig::default();
        let config = ClientConfig { post_quorum_timeout: config.node_timeout, ..config };
        let new = || ClusterClient::new(config, Arc::clone(&self.cluster), self.rings.clone(), metrics);
        self.passes.get_or_init(new).clone()
    }
}
