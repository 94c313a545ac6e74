//! This process's ends of the links between nodes: one for each address, and all of them answer for every role there is.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use apus_base::db::replica::Room;
use apus_base::link::{Identity, IdentityFiles, Link};
use apus_replicator::{Front, Listings, Replicate, replicate};
use tokio_util::sync::CancellationToken;

use crate::error::StartError;

/// The ends that are bound.
#[derive(Default)]
pub(crate) struct Links {
    /// With whether a role has it answer.
    bound: Mutex<HashMap<SocketAddr, (Arc<Link>, bool)>>,
    /// What answers on all of them.
    pub(crate) front: Arc<Front>,
}

/// An end that a role uses.
pub(crate) struct Served {
    pub(crate) link: Arc<Link>,
    /// Set for the role that bound it, which has it answer.
    front: Option<Arc<Front>>,
}

impl Links {
    /// The end for a role: on the one address that the configuration says for all roles, or where the role's server is.
    pub(crate) fn get(
        &self,
        config: &replicate::Config,
        role: SocketAddr,
        identity: impl FnOnce() -> Result<Identity, StartError>,
    ) -> Result<Served, StartError> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        let (link, answers) = bind(&mut bound, address(config, role)?, identity)?;
        let front = (!std::mem::replace(answers, true)).then(|| Arc::clone(&self.front));
        Ok(Served { link, front })
    }

    /// The same end, for who only asks.
    pub(crate) fn asking(
        &self,
        config: &replicate::Config,
        role: SocketAddr,
        identity: impl FnOnce() -> Result<Identity, StartError>,
    ) -> Result<Arc<Link>, StartError> {
        let mut bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
        bind(&mut bound, address(config, role)?, identity).map(|(link, _)| link)
    }

    /// Puts changed certificates to use on all ends, for as long as it is awaited.
    pub(crate) async fn watch(&self, files: &IdentityFiles) -> Infallible {
        let renew = |identity: &Identity| {
            let bound = self.bound.lock().unwrap_or_else(PoisonError::into_inner);
            bound.values().try_for_each(|(link, _)| link.renew(identity))
        };
        files.watch(renew).await
    }
}

fn address(config: &replicate::Config, role: SocketAddr) -> Result<SocketAddr, StartError> {
    let said = config.listen.as_ref().map(|text| text.parse().map_err(|_| StartError::Address(text.clone())));
    Ok(said.transpose()?.unwrap_or(role))
}

/// The end at an address, and whether a role has it answer.
fn bind(
    bound: &mut HashMap<SocketAddr, (Arc<Link>, bool)>,
    own: SocketAddr,
    identity: impl FnOnce() -> Result<Identity, StartError>,
) -> Result<(Arc<Link>, &mut bool), StartError> {
    let (link, answers) = match bound.entry(own) {
        Entry::Occupied(found) => found.into_mut(),
        Entry::Vacant(none) => none.insert((Arc::new(Link::bind(own, &identity()?)?), false)),
    };
    Ok((Arc::clone(link), answers))
}

/// A role's part in replication: nothing without `[replication]`.
pub(crate) struct Replicating<P>(pub(crate) Option<(Served, Arc<P>)>);

impl<P> Default for Replicating<P> {
    fn default() -> Self {
        Self(None)
    }
}

/// A pass that runs in its server for ever.
pub(crate) trait Daemon {
    fn run(&self, stop: &CancellationToken) -> impl Future<Output = ()> + Send;
}

impl Daemon for Replicate {
    async fn run(&self, stop: &CancellationToken) {
        tokio::join!(Self::run(self, stop), self.follow_rings(stop));
    }
}

impl<R: Room> Daemon for Listings<R> {
    fn run(&self, stop: &CancellationToken) -> impl Future<Output = ()> + Send {
        Self::run(self, stop)
    }
}

impl<P: Daemon> Replicating<P> {
    /// Answers peers and replicates until `shutdown`.
    pub(crate) async fn run(self, shutdown: &CancellationToken) {
        let Some((Served { link, front }, pass)) = self.0 else { return };
        let answering = async {
            if let Some(front) = front {
                link.serve(front, shutdown.clone()).await;
            }
        };
        tokio::join!(answering, pass.run(shutdown));
    }
}
