//! All copies of an object, by its name: what each node of its partition answers, and what lies on this machine's disks.

use std::collections::BTreeSet;

use apus_base::client::{ClusterClient, ContainerInfo, Info};
use apus_base::metrics::Metrics;
use apus_base::policy::PolicyIndex;
use apus_base::ring::Device;
use apus_base::wire::{backend_path, header};
use http::{HeaderMap, HeaderValue};
use std::time::Duration;

use super::nodes::{self, Place};
use super::object::{self, Shown};
use super::{InspectError, Sight, split};
use crate::error::StartError;
use crate::view::{self, Host, Scout, View};

/// How long a node has to answer.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn object(
    view: &View,
    target: &[String],
    policy: Option<&str>,
    shown: Shown,
) -> Result<Sight, StartError> {
    let names = split(target, 3, "a file, or ACCOUNT/CONTAINER/OBJECT")?;
    let policy = match policy {
        Some(policy) => view.policy(policy)?,
        None => policy_of(view, &names[0], &names[1]).await?,
    };
    let ring = view.rings.objects.get(&policy).ok_or_else(|| StartError::NoPolicy(policy.to_string()))?;
    let hash = nodes::hash(&view.cluster.hash_path, &names);
    let partition = ring.partition(&hash.0);
    let folder = policy.suffixed("objects");
    let mut sight = Sight::default();
    let place = Place { ring, folder, names, hash: Some(hash), partition, policy: Some(policy) };
    asked(&mut sight, &place, &view.scout(PATIENCE)).await;
    let below = format!("{}/{partition}/{}/{hash}", place.folder, hash.suffix());
    for device in devices(view) {
        let folder = view.config.node.devices.join(device).join(&below);
        for path in object::files(&folder).unwrap_or_default() {
            sight.line(format!("\n{}", path.display()));
            let (_, wrong) = object::describe(view, &path, shown, &mut sight)?;
            sight.unsound |= !wrong.is_empty();
        }
    }
    sight.line("");
    nodes::show(&mut sight, &place, false);
    Ok(sight)
}

/// The policy that a container follows, as its servers say.
async fn policy_of(view: &View, account: &str, container: &str) -> Result<PolicyIndex, StartError> {
    if view.rings.objects.len() == 1 {
        return Ok(view.cluster.policies.default_index());
    }
    let config = view.config.proxy.client.clone();
    let client = ClusterClient::new(config, view.cluster.clone(), view.rings.clone(), &Metrics::new("inspect"));
    match client.container_info(account, container).await {
        Ok(Info::Found(info)) => {
            let ContainerInfo { policy, .. } = &*info;
            Ok(*policy)
        }
        _ => Err(InspectError::Usage("the container's servers do not tell its policy; name it with -P").into()),
    }
}

/// The names of this node's devices.
pub(super) fn devices(view: &View) -> BTreeSet<String> {
    let entries = std::fs::read_dir(&view.config.node.devices).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.')).collect()
}

/// One line for each node: a primary without the newest version, and a handoff with any, are unsound.
async fn asked(sight: &mut Sight, place: &Place<'_>, scout: &Scout) {
    let primaries: Vec<&Device> = place.ring.primaries(place.partition).collect();
    let handoffs = place.ring.handoffs(place.partition).take(primaries.len());
    let nodes: Vec<_> =
        primaries.iter().map(|device| (*device, "")).chain(handoffs.map(|device| (device, " [Handoff]"))).collect();
    let names: Vec<&str> = place.names.iter().map(String::as_str).collect();
    let mut headers = HeaderMap::new();
    headers.insert(header::POLICY_INDEX, HeaderValue::from(place.policy.unwrap_or_default().0));
    headers.insert("x-backend-replication", HeaderValue::from_static("true"));
    headers.insert("x-backend-open-expired", HeaderValue::from_static("true"));
    let heard = view::each(&nodes, |(device, _)| {
        let target = backend_path(&device.device, place.partition, &names);
        let (scout, headers, host) = (&scout, headers.clone(), Host::of(device));
        async move { scout.head(&host, &target, headers).await }
    });
    let mut versions = BTreeSet::new();
    for ((device, handoff), answer) in nodes.iter().zip(heard.await) {
        let said = match answer {
            Err(reason) => {
                sight.unsound |= handoff.is_empty();
                format!("no answer: {reason}")
            }
            Ok(answer) => {
                let value = |name: &str| {
                    answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned()
                };
                let found = answer.status.is_success();
                sight.unsound |= found != handoff.is_empty();
                let at = value(header::BACKEND_TIMESTAMP);
                if handoff.is_empty() {
                    versions.insert((at.clone(), value("etag")));
                }
                match found {
                    true => format!("{at}  ETag {}  {} bytes", value("etag"), value("content-length")),
                    false => format!("{}{}", answer.status, if at == "-" { String::new() } else { format!("  {at}") }),
                }
            }
        };
        sight.line(format!("{}:{} {}{handoff}\t{said}", device.ip, device.port, device.device));
    }
    sight.unsound |= versions.len() > 1;
    let verdict = if sight.unsound {
        "WRONG: not every primary has the same version, or a handoff has one"
    } else {
        "OK: every primary has the same version"
    };
    sight.line(verdict);
}
