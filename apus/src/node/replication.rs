//! A node's ends of replication: what answers others, and the passes that ask them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use apus_auditor::listing::ListingAudit;
use apus_base::db::Kind;
use apus_base::db::replica::Room;
use apus_base::here::Here;
use apus_base::link::{Identity, IdentityFiles, Link};
use apus_base::listing::receiver::ListingReceiver;
use apus_base::metrics::Metrics;
use apus_base::pass::Filter;
use apus_base::policy::PolicyIndex;
use apus_base::ring::Ring;
use apus_object::{Receiver, repair};
use apus_replicator::{Front, Listings, Replicate, Side, listings, replicate};

use super::{Node, address, audit};
use crate::error::StartError;
use crate::links::Replicating;
use crate::rings;
use crate::roles::Role;

/// The replicator of objects, and who repairs them.
pub(super) type ObjectPasses = (Replicating<Replicate>, Option<repair::Repairer>);

impl Node {
    /// An account or container server's end of replication, if this node replicates.
    pub(super) fn listings<R: Room>(
        &self,
        server: SocketAddr,
        metrics: &Metrics,
        changed: listings::Changed,
        place: impl Fn(&Front) -> &OnceLock<Side<R>>,
        audit: &Arc<ListingAudit<R>>,
    ) -> Result<Replicating<Listings<R>>, StartError> {
        let Some(config) = &self.config.replication else { return Ok(Replicating::default()) };
        let served = self.links.get(config, server, || self.identity(config))?;
        let node = listings::Node {
            databases: Arc::clone(&self.databases),
            rings: Arc::clone(&self.current_rings),
            link: Arc::clone(&served.link),
            here: Here::new(server),
            recon: self.recon(),
            changed: Arc::clone(&changed),
        };
        let pass = Arc::new(Listings::new(config.clone(), node, metrics));
        let (databases, cluster) = (Arc::clone(&self.databases), Arc::clone(&self.cluster));
        let receiver = ListingReceiver::new(databases, cluster, metrics, changed);
        // A role is started once.
        let _ =
            place(&self.links.front).set(Side { receiver, pass: Arc::clone(&pass), audit: audit::answering(audit) });
        Ok(Replicating(Some((served, pass))))
    }

    /// What answers other nodes' replicators, and the replicator of this one, if it has certificates.
    pub(super) fn replication(&self, object: SocketAddr, metrics: &Metrics) -> Result<ObjectPasses, StartError> {
        let Some(config) = &self.config.replication else {
            tracing::warn!("there is no [replication] in the configuration, so nothing is replicated, nor repaired");
            return Ok((Replicating::default(), None));
        };
        let served = self.links.get(config, object, || self.identity(config))?;
        let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
        let receiver = Receiver::new(devices, cluster, self.config.object.fallocate_reserve, metrics);
        let (receiver, here) = (Arc::new(receiver), Here::new(object));
        let pass = self.replicate(config, Arc::clone(&served.link), here, metrics);
        let repairer = self.repairer(Arc::clone(&served.link), Arc::clone(&receiver), here, metrics);
        // A role is started once.
        let _ = self.links.front.objects.set(receiver);
        Ok((Replicating(Some((served, Arc::new(pass)))), Some(repairer)))
    }

    pub(super) fn replicate(
        &self,
        config: &replicate::Config,
        link: Arc<Link>,
        here: Here,
        metrics: &Metrics,
    ) -> Replicate {
        let (devices, rings) = (Arc::clone(&self.devices), Arc::clone(&self.current_rings));
        let rings_changed = Arc::clone(&self.rings_changed);
        let node = replicate::Node { devices, rings, rings_changed, link, here, recon: self.recon() };
        Replicate::new(config.clone(), node, metrics)
    }

    /// The replicator by itself, and who repairs what it finds damaged.
    pub(crate) fn replicator(
        &self,
        path: &Path,
        metrics: &Metrics,
    ) -> Result<(Replicate, repair::Repairer), StartError> {
        let none = || StartError::NoReplication { path: path.to_owned() };
        let config = self.config.replication.as_ref().ok_or_else(none)?;
        let object = self.object_address(path)?;
        let (here, link) = (Here::new(object), Arc::new(Link::asking_from(object.ip(), &self.identity(config)?)?));
        let repairer = self.repairer_alone(&link, here, metrics);
        Ok((self.replicate(config, link, here, metrics), repairer))
    }

    /// The end of a link that asks this node's own servers, and where they answer for accounts and for containers.
    pub(crate) fn own_listings(&self, path: &Path) -> Result<(Link, Vec<(Kind, SocketAddr)>), StartError> {
        let none = || StartError::NoReplication { path: path.to_owned() };
        let config = self.config.replication.as_ref().ok_or_else(none)?;
        let listen = config.listen.as_deref().map(address).transpose()?;
        let mut own = Vec::new();
        for (kind, role) in [(Kind::Account, Role::Account), (Kind::Container, Role::Container)] {
            own.extend(self.address(role)?.map(|address| (kind, reachable(listen.unwrap_or(address)))));
        }
        let none = || StartError::NoAddress { path: path.to_owned(), role: Role::Container.name() };
        let (_, first) = own.first().ok_or_else(none)?;
        Ok((Link::asking_from(first.ip(), &self.identity(config)?)?, own))
    }

    /// The object rings that `apus pass move` is from.
    pub(crate) fn old_rings(
        &self,
        from: Option<&Path>,
        filter: &Filter,
    ) -> Result<BTreeMap<PolicyIndex, Arc<Ring>>, StartError> {
        let Some(from) = from else { return Ok(BTreeMap::new()) };
        let policies: Vec<PolicyIndex> =
            self.rings.objects.keys().copied().filter(|policy| filter.policy(*policy)).collect();
        rings::read_old(from, &policies, &self.addresses)
    }

    /// Who this node is to others; whoever is kept from backend requests does not replicate either.
    pub(super) fn identity(&self, config: &replicate::Config) -> Result<Identity, StartError> {
        self.identity_files(config).identity().map_err(|error| StartError::Link(error.into()))
    }

    pub(super) fn identity_files(&self, config: &replicate::Config) -> IdentityFiles {
        let backends = || self.config.backend_tls.as_ref().and_then(|tls| tls.crl.clone());
        let crl = config.crl.clone().or_else(backends);
        let (certificate, key, ca) = (config.certificate.clone(), config.key.clone(), config.ca.clone());
        IdentityFiles { certificate, key, ca, crl }
    }
}

/// Where a server of this machine is reached that listens on every address.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, address.port()).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}
