//! Which listing servers each replica of a write has to tell: pure.

use http::{HeaderMap, HeaderValue};

use super::nodes::authority;
use super::target::{ObjectPath, Rings, Target};
use crate::expiring;
use crate::hash_path::HashPath;
use crate::quorum::container_updates;
use crate::ring::{Device, Ring};
use crate::wire::header::{
    ACCOUNT_DEVICE, ACCOUNT_HOST, ACCOUNT_PARTITION, CLEAN_EXPIRING_QUEUE, CONTAINER_DEVICE, CONTAINER_HOST,
    CONTAINER_PARTITION, DELETE_AT, DELETE_AT_CONTAINER, DELETE_AT_DEVICE, DELETE_AT_HOST, DELETE_AT_PARTITION,
};

/// How many object servers of a DELETE or POST also clean the queue of expiring objects (Swift's number).
const CLEAN_QUEUE: usize = 2;

/// The headers of each of `replicas` requests: the common ones, and the listing servers to tell.
///
/// An object server tells the servers of its container, and those of the expirer's queue if the object will expire; a
/// container server tells account servers.
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
    tell_queue(&mut each, object, ring, salt, updates);
    for (i, headers) in each.iter_mut().enumerate() {
        let clean = if i < CLEAN_QUEUE { "t" } else { "f" };
        headers.entry(CLEAN_EXPIRING_QUEUE).or_insert(HeaderValue::from_static(clean));
    }
    each
}

/// Dealt from the last request on, so that the object servers with the fewest containers to tell have the most of these.
fn tell_queue(each: &mut [HeaderMap], object: &ObjectPath<'_>, ring: &Ring, salt: &HashPath, updates: usize) {
    let at = each.first().and_then(|headers| headers.get(DELETE_AT)?.to_str().ok()?.trim().parse().ok());
    let Some(at) = at.filter(|at| *at > 0) else { return };
    let container = expiring::container(at, &salt.object(object.account, object.container, object.object));
    let partition = ring.partition(&salt.container(expiring::ACCOUNT, &container).0);
    each.reverse();
    spread(each, ring, partition, updates, &[DELETE_AT_PARTITION, DELETE_AT_HOST, DELETE_AT_DEVICE]);
    each.reverse();
    // Ten digits are always a header's value.
    let Ok(container) = HeaderValue::try_from(container) else { return };
    for headers in each.iter_mut().filter(|headers| headers.contains_key(DELETE_AT_HOST)) {
        headers.insert(DELETE_AT_CONTAINER, container.clone());
    }
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
