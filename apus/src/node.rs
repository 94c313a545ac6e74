//! What the roles of one process share, and how each is started with its part of it.

mod audit;
mod passes;
mod replication;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apus_auditor::watch::Mode;
use apus_base::client::pool::{Pool, Timeouts};
use apus_base::client::{ClusterClient, Rings};
use apus_base::clock::Clock;
use apus_base::cluster::Cluster;
use apus_base::db::Databases;
use apus_base::fs::Devices;
use apus_base::here::Here;
use apus_base::metrics::Metrics;
use apus_base::recon::ReconCache;
use apus_base::ring::Ring;
use apus_base::serve::recon::{Sources, Sums};
use apus_base::serve::{Limits, Recon, Watch};
use apus_container::report::Changes;
use apus_proxy::Proxy;
use apus_proxy::ops::notification::Notifier;
use apus_proxy::s3::lifecycle::Lifecycle;
use apus_replicator::{Share, listings};
use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::config::NodeConfig;
use crate::error::StartError;
use crate::import;
use crate::links::Links;
use crate::rings::{self, Addresses};
use crate::roles::Role;
use crate::serve::Bound;

/// How often the ring files are looked at.
const RING_CHECK: Duration = Duration::from_secs(15);

/// A node: one process with its configuration, rings and devices.
pub(crate) struct Node {
    config: NodeConfig,
    cluster: Arc<Cluster>,
    addresses: Addresses,
    rings: Rings,
    account_ring: Arc<ArcSwap<Ring>>,
    /// All of them, as they are now.
    current_rings: Arc<ArcSwap<Rings>>,
    rings_changed: Arc<Notify>,
    /// The proxy's client, once there is one, to give it new rings.
    client: OnceLock<ClusterClient>,
    /// And that of the background passes.
    passes: OnceLock<ClusterClient>,
    devices: Arc<Devices>,
    databases: Arc<Databases>,
    links: Links,
    /// What the roles answer operators from.
    sources: Arc<Sources>,
}

impl Node {
    /// Reads the rings. No device is opened yet.
    pub(crate) fn new(config: NodeConfig, cluster: Cluster, addresses: Addresses) -> Result<Self, StartError> {
        let rings = rings::read_all(&config.node.rings, &cluster.policies, &addresses)?;
        let devices = Arc::new(Devices::new(&config.node.devices, config.object.disk_threads));
        let databases = Databases::new(Arc::clone(&devices), config.object.fallocate_reserve);
        let copies = rings.account.table().row_count().min(rings.container.table().row_count());
        let databases = Arc::new(databases.with_copies(config.replication.is_some() && copies > 1));
        let account_ring = Arc::new(ArcSwap::new(Arc::clone(&rings.account)));
        let current_rings = Arc::new(ArcSwap::from_pointee(rings.clone()));
        let sources = Arc::new(Self::sources(&config, &cluster, &devices));
        let cluster = Arc::new(cluster);
        Ok(Self {
            config,
            cluster,
            addresses,
            rings,
            account_ring,
            current_rings,
            rings_changed: Arc::default(),
            client: OnceLock::new(),
            passes: OnceLock::new(),
            devices,
            databases,
            links: Links::default(),
            sources,
        })
    }

    /// Looks at the devices that the rings give this node. A broken one is only said so, since the others can serve;
    /// when none is fit, nothing can be stored and the reason of the first is the answer.
    pub(crate) fn check_devices(&self, bound: &[Bound]) -> Result<(), StartError> {
        let mut first_reason = None;
        let mut fit = false;
        for path in self.own_devices(bound) {
            if import::is_unfinished(&path) {
                return Err(StartError::Unimported { path });
            }
            match apus_object::check_device(&path) {
                Ok(()) => fit = true,
                Err(reason) => {
                    tracing::error!(%reason, "a device is not fit; requests to it are answered with 507");
                    first_reason.get_or_insert(reason);
                }
            }
        }
        first_reason.filter(|_| !fit).map_or(Ok(()), |reason| Err(reason.into()))
    }

    /// The folders of the devices that have an address on which this process listens.
    fn own_devices(&self, bound: &[Bound]) -> BTreeSet<PathBuf> {
        let mut found = BTreeSet::new();
        for Bound { role, address, .. } in bound {
            let here = Here::new(*address);
            let devices = role.rings(&self.rings).into_iter().flat_map(|ring| ring.devices().iter().flatten());
            let own = devices.filter(|device| here.has(device));
            found.extend(own.map(|device| self.devices.root().join(&device.device)));
        }
        found
    }

    /// The public face, the lifecycles of its buckets, and who is told about them.
    pub(crate) fn proxy(
        &self,
        listener: TcpListener,
        shutdown: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
        let metrics = Metrics::new("proxy");
        let address = listener.local_addr().map_err(StartError::Runtime)?;
        let recon = self.config.proxy.recon.then(|| self.recon_of(Role::Proxy, address));
        let config = self.config.proxy.clone();
        let client = ClusterClient::new(config.client.clone(), Arc::clone(&self.cluster), self.rings.clone(), &metrics);
        let client = self.client.get_or_init(|| client).clone();
        let proxy = Proxy::new(config, client, Arc::new(Clock::default()))?;
        let lifecycle = Lifecycle::new(proxy.clone(), self.recon(), &metrics);
        let notify = Notifier::new(proxy.clone(), self.recon(), &metrics);
        if let Some(tls) = &self.cluster.backend_tls {
            tls.register(&metrics);
        }
        let serving = apus_proxy::serve(Arc::new(proxy), Watch { metrics, recon }, listener, shutdown.clone());
        Ok(async move {
            tokio::join!(serving, lifecycle.run(&shutdown), notify.run(&shutdown));
        })
    }

    /// The account server, and the reaper of its accounts.
    pub(crate) fn account(
        &self,
        Bound { listener, address, .. }: Bound,
        shutdown: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
        let metrics = Metrics::new("account");
        let audit = self.listing_audit(address, &metrics)?;
        let replicating = self.listings(address, &metrics, Arc::new(|_| {}), |front| &front.accounts, &audit)?;
        let reaper = self.reaper_beside(Here::new(address), &metrics);
        let shared = apus_account::Shared {
            cluster: Arc::clone(&self.cluster),
            databases: Arc::clone(&self.databases),
            metrics,
            recon: Some(self.recon_of(Role::Account, address)),
            limits: Limits::default(),
        };
        let serving = apus_account::serve(self.config.account.clone(), shared, listener, shutdown.clone());
        Ok(async move {
            tokio::join!(serving, reaper.run(&shutdown), replicating.run(&shutdown), audit.run(&shutdown));
        })
    }

    /// The container server, and the reconciler of what is misplaced on its devices.
    pub(crate) fn container(
        &self,
        Bound { listener, address, .. }: Bound,
        shutdown: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
        let (metrics, changes) = (Metrics::new("container"), Arc::new(Changes::default()));
        let noted = Arc::clone(&changes);
        let changed: listings::Changed = Arc::new(move |device| noted.note(device));
        let audit = self.listing_audit(address, &metrics)?;
        let replicating = self.listings(address, &metrics, changed, |front| &front.containers, &audit)?;
        let here = Here::new(address);
        let reconciler = self.reconciler_beside(here, Share::fair(&here, &self.rings.container), &metrics);
        let shared = apus_container::Shared {
            cluster: Arc::clone(&self.cluster),
            databases: Arc::clone(&self.databases),
            pool: Pool::new(Timeouts::default(), &self.cluster),
            account_ring: Arc::clone(&self.account_ring),
            changes,
            metrics,
            recon: Some(self.recon_of(Role::Container, address)),
            limits: Limits::default(),
        };
        let serving = apus_container::serve(self.config.container.clone(), shared, listener, shutdown.clone());
        Ok(async move {
            tokio::join!(serving, reconciler.run(&shutdown), replicating.run(&shutdown), audit.run(&shutdown));
        })
    }

    /// The object server and its end of replication, the updater of its devices and its share of the expirer.
    pub(crate) fn object(
        &self,
        Bound { listener, address, .. }: Bound,
        shutdown: CancellationToken,
    ) -> Result<impl Future<Output = ()> + Send + 'static, StartError> {
        let metrics = Metrics::new("object");
        let (replication, repairer) = self.replication(address, &metrics)?;
        let updater = self.updater(&metrics);
        let expirer = self.expirer(Some(Here::new(address)), &metrics);
        let audits = [Mode::All, Mode::ZeroByteFast].map(|mode| self.audit(Here::new(address), mode, &metrics));
        let (devices, cluster) = (Arc::clone(&self.devices), Arc::clone(&self.cluster));
        let config = self.config.object.clone();
        let watch = Watch { metrics, recon: Some(self.recon_of(Role::Object, address)) };
        let (journaled, journal_bytes) = (Arc::clone(&self.devices), config.journal_bytes);
        let serving = apus_object::serve(config, devices, cluster, watch, listener, shutdown.clone());
        Ok(async move {
            apus_object::open_journals(&journaled, journal_bytes).await;
            let repairing = async {
                if let Some(repairer) = repairer {
                    repairer.run(&shutdown).await;
                }
            };
            let auditing = async { tokio::join!(audits[0].run(&shutdown), audits[1].run(&shutdown)) };
            let passes = async { tokio::join!(updater.run(&shutdown), expirer.run(&shutdown), repairing, auditing) };
            tokio::join!(serving, replication.run(&shutdown), passes);
            apus_object::close_journals(&journaled).await;
        })
    }

    /// Returns when what a crash left in the journals is where it belongs, which the [object server](Self::object) waits for, too:
    /// both see to it, and it is done once.
    pub(crate) async fn open_journals(&self) {
        apus_object::open_journals(&self.devices, self.config.object.journal_bytes).await;
    }

    /// Where a role of this node listens: as the configuration says, or in an `apus up` that runs.
    fn address(&self, role: Role) -> Result<Option<SocketAddr>, StartError> {
        let said = self.config.listen.of(role).map(address).transpose()?;
        Ok(said.or_else(|| self.addresses.get(role)))
    }

    fn recon(&self) -> ReconCache {
        ReconCache::new(&self.config.node.recon_cache)
    }

    /// What a role answers operators about itself.
    fn recon_of(&self, role: Role, address: SocketAddr) -> Arc<Recon> {
        let (rings, here) = (Arc::clone(&self.current_rings), Here::new(address));
        let own = move || {
            let rings = rings.load();
            let devices = role.rings(&rings).into_iter().flat_map(|ring| ring.devices().iter().flatten());
            devices.filter(|device| here.has(device)).map(|device| device.device.clone()).collect()
        };
        Arc::new(Recon::new(role.name(), Arc::clone(&self.sources), own))
    }

    fn sources(config: &NodeConfig, cluster: &Cluster, devices: &Arc<Devices>) -> Sources {
        let rings = rings::files(&config.node.rings, &cluster.policies);
        Sources {
            devices: Arc::clone(devices),
            reserve: config.object.fallocate_reserve,
            cache: ReconCache::new(&config.node.recon_cache),
            sums: Sums::new(rings, config.node.swift_conf.clone(), &config.cluster.canonical()),
        }
    }

    /// Puts changed ring files to use, for as long as it is awaited. A file that cannot be read leaves the old ring.
    pub(crate) async fn watch_rings(&self) -> Infallible {
        let folder = &self.config.node.rings;
        let mut seen = rings::changed(folder, &self.cluster.policies);
        loop {
            tokio::time::sleep(RING_CHECK).await;
            let now = rings::changed(folder, &self.cluster.policies);
            if now == seen {
                continue;
            }
            seen = now;
            match rings::read_all(folder, &self.cluster.policies, &self.addresses) {
                Ok(rings) => self.use_rings(&rings),
                Err(error) => tracing::error!(%error, "a new ring cannot be used; the old one stays"),
            }
        }
    }

    /// Puts changed certificates for backend requests and for replication to use, for as long as it is awaited.
    pub(crate) async fn watch_certificates(&self) -> Infallible {
        let backend = async {
            match &self.cluster.backend_tls {
                Some(tls) => tls.watch().await,
                None => std::future::pending().await,
            }
        };
        let links = async {
            match &self.config.replication {
                Some(config) => self.links.watch(&self.identity_files(config)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            never = backend => never,
            never = links => never,
        }
    }

    fn use_rings(&self, rings: &Rings) {
        self.account_ring.store(Arc::clone(&rings.account));
        self.current_rings.store(Arc::new(rings.clone()));
        self.rings_changed.notify_one();
        for client in [&self.client, &self.passes].into_iter().filter_map(OnceLock::get) {
            client.set_rings(rings.clone());
        }
        tracing::info!("the rings have changed and are in use");
    }

    /// Closes the databases, after the servers have ended.
    pub(crate) async fn close(&self) {
        self.databases.close().await;
    }
}

fn address(text: &str) -> Result<SocketAddr, StartError> {
    text.parse().map_err(|_| StartError::Address(text.to_owned()))
}
