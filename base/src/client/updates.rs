//! Which listing servers each replica of a write has to tell: pure.

use http::{HeaderMap, HeaderValue};

use super::nodes::authority;
use super::target::{ObjectPath, Rings, Target};
use crate::hash_path::HashPath;
use crate::quorum::container_updates;
use crate::ring::{Device, Ring};
use crate::wire::header::{
    ACCOUNT_DEVICE, ACCOUNT_HOST, ACCOUNT_PARTITION, CONTAINER_DEVICE, CONTAINER_HOST, CONTAINER_PARTITION,
};

/// How many object servers of a DELETE or POST also clean the queue of expiring objects (Swift's number).
const CLEAN_QUEUE: usize = 2;
const CLEAN_EXPIRING_QUEUE: &str = "x-backend-clean-expiring-object-queue";

/// The headers of each of `replicas` requests: the common ones, and the listing servers to tell.
///
/// An object server tells container servers; a container server tells account servers.
pub(super) fn for_each_replica(
    headers: &HeaderMap,
    replicas: usize,
    target: &Target<'_>,
    rings: &Rings,
    salt: &HashPath,
) -> Vec<HeaderMap> {
    let each = vec![headers.clone(); replicas];
    match target {
        Target::Object(object) => tell_containers(each, object, rings, salt),
        Target::Container { account, .. } => tell_accounts(each, account, rings, salt),
        Target::Account { .. } => each,
    }
}

fn tell_containers(
    mut each: Vec<HeaderMap>,
    object: &ObjectPath<'_>,
    rings: &Rings,
    salt: &HashPath,
) -> Vec<HeaderMap> {
    let ring = &rings.container;
    let partition = ring.partition(&salt.container(object.account, object.container).0);
    let containers = ring.primaries(partition).count();
    let updates = container_updates(containers, each.len());
    spread(&mut each, ring, partition, updates, &[CONTAINER_PARTITION, CONTAINER_HOST, CONTAINER_DEVICE]);
    for (i, headers) in each.iter_mut().enumerate() {
        let clean = if i < CLEAN_QUEUE { "t" } else { "f" };
        headers.entry(CLEAN_EXPIRING_QUEUE).or_insert(HeaderValue::from_static(clean));
    }
    each
}

fn tell_accounts(mut each: Vec<HeaderMap>, account: &str, rings: &Rings, salt: &HashPath) -> Vec<HeaderMap> {
    let ring = &rings.account;
    let partition = ring.partition(&salt.account(account).0);
    let updates = ring.primaries(partition).count();
    spread(&mut each, ring, partition, updates, &[ACCOUNT_PARTITION, ACCOUNT_HOST, ACCOUNT_DEVICE]);
    each
}

/// Deals `updates` listing servers out to the requests, one after the other.
fn spread(each: &mut [HeaderMap], ring: &Ring, partition: u32, updates: usize, names: &[&'static str; 3]) {
    let servers: Vec<_> = ring.primaries(partition).collect();
    let mut dealt: Vec<Vec<&Device>> = vec![Vec::new(); each.len()];
    for (i, server) in servers.iter().cycle().take(updates).enumerate() {
        if let Some(to) = i.checked_rem(dealt.len()).and_then(|to| dealt.get_mut(to)) {
            to.push(server);
        }
    }
    let [name_of_partition, name_of_hosts, name_of_devices] = names;
    for (headers, servers) in each.iter_mut().zip(dealt).filter(|(_, servers)| !servers.is_empty()) {
        headers.insert(*name_of_partition, HeaderValue::from(partition));
        let hosts = join(&servers, |device| authority(&device.ip, device.port));
        let devices = join(&servers, |device| device.device.clone());
        if let (Ok(hosts), Ok(devices)) = (HeaderValue::try_from(hosts), HeaderValue::try_from(devices)) {
            headers.insert(*name_of_hosts, hosts);
            headers.insert(*name_of_devices, devices);
        }
    }
}

fn join(servers: &[&Device], text: impl Fn(&Device) -> String) -> String {
    servers.iter().map(|device| text(device)).collect::<Vec<_>>().join(",")
}
