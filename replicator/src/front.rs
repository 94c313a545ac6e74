//! What answers the streams of other nodes in a process: each goes to the role that it is for.

use std::sync::{Arc, OnceLock};

use apus_account::store::Accounts;
use apus_base::db::Kind;
use apus_base::db::replica::Room;
use apus_base::link::{Answerer, LinkError, Stream};
use apus_base::listing::ask;
use apus_base::listing::receiver::{self, ListingReceiver};
use apus_base::pass::Filter;
use apus_base::wire::listings::ListingRequest;
use apus_base::wire::replication::{Answer, Refusal, Request};
use apus_container::store::Containers;
use futures_util::future::BoxFuture;

use crate::listings::Listings;

/// The roles of a process, as far as they are there.
#[derive(Default)]
pub struct Front {
    /// Takes objects.
    pub objects: OnceLock<Arc<apus_object::Receiver>>,
    /// Takes accounts and replicates them.
    pub accounts: OnceLock<Side<Accounts>>,
    /// Takes containers and replicates them.
    pub containers: OnceLock<Side<Containers>>,
}

/// Both halves of the replication of one kind of listings.
pub struct Side<R> {
    /// Takes what others push.
    pub receiver: ListingReceiver<R>,
    /// Pushes.
    pub pass: Arc<Listings<R>>,
    /// Audits, for who asks for that: the auditor is another room.
    pub audit: Audit,
}

/// Runs an audit and tells on the stream how it goes.
pub type Audit = Box<dyn for<'a> Fn(Filter, &'a mut Stream) -> BoxFuture<'a, Result<(), LinkError>> + Send + Sync>;

impl<R: Room> Side<R> {
    async fn respond(&self, request: ListingRequest, stream: &mut Stream) -> Result<(), LinkError> {
        match request {
            ListingRequest::Run { devices, partitions, .. } => {
                ask::answer(&*self.pass, &filter(devices, partitions), stream).await
            }
            ListingRequest::Audit { devices, partitions, .. } => {
                (self.audit)(filter(devices, partitions), stream).await
            }
            request => self.receiver.respond(request, stream).await,
        }
    }
}

fn filter(devices: Vec<String>, partitions: Vec<u32>) -> Filter {
    let (devices, partitions) = (devices.into_iter().collect(), partitions.into_iter().collect());
    Filter { devices, partitions, ..Filter::default() }
}

impl Front {
    async fn converse(&self, stream: &mut Stream) -> Result<(), LinkError> {
        match stream.receiver.message().await? {
            None => Ok(()),
            Some(Request::Listings(request)) => match (request.kind(), self.accounts.get(), self.containers.get()) {
                (Kind::Account, Some(accounts), _) => accounts.respond(request, stream).await,
                (Kind::Container, _, Some(containers)) => containers.respond(request, stream).await,
                _ => receiver::refuse(&mut stream.sender, Refusal::Busy).await,
            },
            Some(request) => match self.objects.get() {
                Some(objects) => objects.respond(request, stream).await,
                None => {
                    stream.sender.message(&Answer::Refused(Refusal::Busy)).await?;
                    stream.sender.finish();
                    Ok(())
                }
            },
        }
    }
}

impl Answerer for Front {
    async fn answer(self: Arc<Self>, mut stream: Stream) {
        if let Err(error) = self.converse(&mut stream).await {
            tracing::debug!(%error, "an exchange with a replicator ended early");
        }
    }
}
