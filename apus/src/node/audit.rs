//! The audits of a node, and who repairs what they find.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use apus_auditor::listing::{self, ListingAudit};
use apus_auditor::object::{self, ObjectAudit};
use apus_auditor::watch::command::CommandWatcher;
use apus_auditor::watch::dark_data::DarkData;
use apus_auditor::watch::{Mode, Watcher};
use apus_base::db::replica::Room;
use apus_base::here::Here;
use apus_base::link::Link;
use apus_base::listing::ask;
use apus_base::metrics::Metrics;
use apus_object::Receiver;
use apus_object::repair::{self, Repairer};

use apus_replicator::Audit;

use super::Node;
use crate::error::StartError;
use crate::roles::Role;

impl Node {
    pub(super) fn repairer(&self, link: Arc<Link>, receiver: Arc<Receiver>, here: Here, metrics: &Metrics) -> Repairer {
        let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
        let rings = Arc::clone(&self.current_rings);
        Repairer::new(repair::Node { devices, cluster, rings, link, here, receiver }, metrics)
    }

    /// The repairer beside a pass by itself, whose link is `link`.
    pub(super) fn repairer_alone(&self, link: &Arc<Link>, here: Here, metrics: &Metrics) -> Repairer {
        let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
        let receiver = Receiver::new(devices, cluster, self.config.object.fallocate_reserve, metrics);
        self.repairer(Arc::clone(link), Arc::new(receiver), here, metrics)
    }

    /// The audit of objects beside the object server that is `here`.
    pub(super) fn audit(&self, here: Here, mode: Mode, metrics: &Metrics) -> ObjectAudit {
        let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
        let (rings, recon) = (Arc::clone(&self.current_rings), self.recon());
        let watchers = Arc::new(self.watchers(metrics));
        let node = object::Node { devices, cluster, rings, here, recon, watchers };
        ObjectAudit::new(self.config.auditor.clone(), node, mode, metrics)
    }

    /// The audit of accounts or containers inside their server.
    pub(super) fn listing_audit<R: Room>(
        &self,
        server: SocketAddr,
        metrics: &Metrics,
    ) -> Result<Arc<ListingAudit<R>>, StartError> {
        // A port of its own could be that of a role that starts next.
        let asking = |config| self.links.asking(config, server, || self.identity(config));
        let node = listing::Node {
            databases: Arc::clone(&self.databases),
            cluster: Arc::clone(&self.cluster),
            rings: Arc::clone(&self.current_rings),
            here: Here::new(server),
            link: self.config.replication.as_ref().map(asking).transpose()?,
            recon: self.recon(),
        };
        Ok(Arc::new(ListingAudit::new(self.config.auditor.clone(), node, metrics)))
    }

    fn watchers(&self, metrics: &Metrics) -> Vec<Box<dyn Watcher>> {
        let config = &self.config.auditor;
        let mut watchers: Vec<Box<dyn Watcher>> = Vec::new();
        if !config.watcher_command.is_empty() {
            let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
            watchers.push(Box::new(CommandWatcher::new(config.watcher_command.clone(), devices, cluster)));
        }
        if let Some(action) = config.dark_data_action {
            watchers.push(Box::new(DarkData::new(self.passes(metrics), action, config.dark_data_grace_age)));
        }
        watchers
    }

    /// The audit of objects by itself, and who repairs what it finds, if there are certificates for that.
    pub(crate) fn auditor(
        &self,
        path: &Path,
        mode: Mode,
        metrics: &Metrics,
    ) -> Result<(ObjectAudit, Option<Repairer>), StartError> {
        let object = self.object_address(path)?;
        let here = Here::new(object);
        let asking = |config| Ok::<_, StartError>(Link::asking_from(object.ip(), &self.identity(config)?)?);
        let link = self.config.replication.as_ref().map(asking);
        let repairer = link.transpose()?.map(|link| self.repairer_alone(&Arc::new(link), here, metrics));
        Ok((self.audit(here, mode, metrics), repairer))
    }

    /// Where this node's object server is.
    pub(super) fn object_address(&self, path: &Path) -> Result<SocketAddr, StartError> {
        let none = || StartError::NoAddress { path: path.to_owned(), role: Role::Object.name() };
        self.address(Role::Object)?.ok_or_else(none)
    }
}

/// Runs an audit of listings for who asks for it over the link.
pub(super) fn answering<R: Room>(audit: &Arc<ListingAudit<R>>) -> Audit {
    let audit = Arc::clone(audit);
    Box::new(move |filter, stream| {
        let audit = Arc::clone(&audit);
        Box::pin(async move { ask::answer(&*audit, &filter, stream).await })
    })
}
