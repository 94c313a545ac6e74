//! Where something belongs: partition, hash, primaries and handoffs, and commands to look there, as swift-get-nodes says it.

use std::path::{Path, PathBuf};

use apus_base::hash_path::{HashPath, PathHash};
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use clap::Args;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::{Common, InspectError, Sight};
use crate::error::StartError;
use crate::rings;
use crate::view::{Host, View};

/// What Python's `quote` leaves as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~').remove(b'/');

#[derive(Debug, Args)]
pub(crate) struct NodesArguments {
    /// `[RING.ring.gz] ACCOUNT [CONTAINER [OBJECT]]`; the names may also be one, ACCOUNT/CONTAINER/OBJECT.
    #[arg(num_args = 0..=4, value_name = "RING|NAME")]
    target: Vec<String>,
    /// Show all handoffs, not only as many as there are primaries.
    #[arg(short, long)]
    all: bool,
    /// Show this partition of the ring instead of a name's.
    #[arg(short, long, value_name = "N")]
    partition: Option<u32>,
    /// The policy of an object, by name or index, instead of a ring file.
    #[arg(short = 'P', long, value_name = "POLICY")]
    policy_name: Option<String>,
    /// The names are percent-encoded.
    #[arg(short = 'Q', long)]
    quoted: bool,
    #[command(flatten)]
    common: Common,
}

/// Something that has a place, and the ring that gives it.
pub(super) struct Place<'a> {
    pub(super) ring: &'a Ring,
    /// The folder on a device: `objects-1`.
    pub(super) folder: String,
    pub(super) names: Vec<String>,
    pub(super) hash: Option<PathHash>,
    pub(super) partition: u32,
    /// In the header that object servers need; not for the others.
    pub(super) policy: Option<PolicyIndex>,
}

pub(super) fn nodes(arguments: &NodesArguments) -> Result<Sight, StartError> {
    let mut target: Vec<&str> = arguments.target.iter().map(String::as_str).collect();
    let file = target.first().filter(|first| first.ends_with(".ring.gz")).map(|first| PathBuf::from(*first));
    if file.is_some() {
        target.remove(0);
    }
    let names = names(&target, arguments.quoted)?;
    if names.is_empty() && arguments.partition.is_none() {
        return Err(InspectError::Usage("name an account, a container or an object, or a partition with -p").into());
    }
    let view = View::read(&arguments.common.config)?;
    let (ring, ring_name) = ring(&view, arguments, file.as_deref(), &names)?;
    if arguments.partition.is_some_and(|partition| partition as usize >= ring.part_count()) {
        return Err(InspectError::Usage("the ring has no such partition").into());
    }
    let mut sight = Sight::default();
    for (title, name) in ["Account  ", "Container", "Object   "].iter().zip(&names) {
        let gap = if *title == "Account  " { "\n" } else { "" };
        sight.line(format!("{gap}{title}\t{}", utf8_percent_encode(name, PLAIN)));
    }
    if names.len() == 3 {
        sight.line("\n");
    }
    let policy = ring_name.strip_prefix("object-").and_then(|index| index.parse().ok()).map(PolicyIndex);
    let by_policy = file.is_none() && names.len() == 3;
    let hash = (!names.is_empty() && arguments.partition.is_none()).then(|| hash(&view.cluster.hash_path, &names));
    let partition = arguments.partition.or(hash.map(|hash| ring.partition(&hash.0))).unwrap_or_default();
    let place = Place {
        ring: &ring,
        folder: folder(&ring_name, policy),
        names,
        hash,
        partition,
        policy: policy.or(by_policy.then_some(PolicyIndex(0))),
    };
    show(&mut sight, &place, arguments.all);
    Ok(sight)
}

fn names(target: &[&str], quoted: bool) -> Result<Vec<String>, InspectError> {
    let decoded = |name: &&str| match quoted {
        true => percent_decode_str(name).decode_utf8_lossy().into_owned(),
        false => (*name).to_owned(),
    };
    let mut names: Vec<String> = target.iter().map(decoded).collect();
    if let [one] = names.as_slice() {
        names = one.trim_matches('/').splitn(3, '/').map(str::to_owned).collect();
    }
    if names.len() > 3 || names.iter().any(String::is_empty) {
        return Err(InspectError::Usage("expected at most an account, a container and an object, none of them empty"));
    }
    Ok(names)
}

/// The ring that was meant, and its name.
fn ring(
    view: &View,
    arguments: &NodesArguments,
    file: Option<&Path>,
    names: &[String],
) -> Result<(Ring, String), StartError> {
    if let Some(path) = file {
        if !path.exists() {
            return Err(InspectError::NoRing(path.to_owned()).into());
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        return Ok((rings::read(path)?, name.trim_end_matches(".ring.gz").to_owned()));
    }
    let role = match (names.len(), arguments.policy_name.is_some()) {
        (1, _) => "account",
        (2, _) => "container",
        _ => "object",
    };
    let ring = match role {
        "account" => &view.rings.account,
        "container" => &view.rings.container,
        _ => {
            let index = match &arguments.policy_name {
                Some(policy) => view.policy(policy)?,
                None if view.rings.objects.len() == 1 => PolicyIndex(0),
                None => return Err(InspectError::Usage("name a ring file, or the object's policy with -P").into()),
            };
            let ring = view.rings.objects.get(&index).ok_or_else(|| StartError::NoPolicy(index.to_string()))?;
            return Ok((ring.as_ref().clone(), index.suffixed("object")));
        }
    };
    Ok((ring.as_ref().clone(), role.to_owned()))
}

fn folder(ring_name: &str, policy: Option<PolicyIndex>) -> String {
    match policy {
        Some(policy) => policy.suffixed("objects"),
        None => format!("{ring_name}s"),
    }
}

pub(super) fn hash(salt: &HashPath, names: &[String]) -> PathHash {
    match names {
        [account] => salt.account(account),
        [account, container] => salt.container(account, container),
        [account, container, object, ..] => salt.object(account, container, object),
        [] => salt.account(""),
    }
}

/// Shows the nodes, and commands to look there with.
pub(super) fn show(sight: &mut Sight, place: &Place<'_>, all: bool) {
    let primaries: Vec<&Device> = place.ring.primaries(place.partition).collect();
    let many = if all { usize::MAX } else { primaries.len() };
    let handoffs: Vec<&Device> = place.ring.handoffs(place.partition).take(many).collect();
    let nodes =
        || primaries.iter().map(|device| (*device, "")).chain(handoffs.iter().map(|device| (*device, "[Handoff]")));
    sight.line(format!("Partition\t{}", place.partition));
    sight.line(format!("Hash     \t{}\n", place.hash.map_or("None".to_owned(), |hash| hash.hex())));
    for (device, handoff) in nodes() {
        let handoff = if handoff.is_empty() { String::new() } else { format!("\t {handoff}") };
        sight.line(format!("Server:Port Device\t{}:{} {}{handoff}", device.ip, device.port, device.device));
    }
    sight.line("\n");
    let comment = |handoff: &str| if handoff.is_empty() { String::new() } else { format!(" # {handoff}") };
    for (device, handoff) in nodes() {
        sight.line(curl(place, device) + &comment(handoff));
    }
    sight.line("\n\nUse your own device location of servers:\nsuch as \"export DEVICE=/srv/node\"");
    let below = match place.hash {
        Some(hash) => format!("{}/{}/{}/{hash}", place.folder, place.partition, hash.suffix()),
        None => format!("{}/{}", place.folder, place.partition),
    };
    for (device, handoff) in nodes() {
        let list = format!("ssh {} \"ls -lah ${{DEVICE:-/srv/node*}}/{}/{below}\"", device.ip, device.device);
        sight.line(list + &comment(handoff));
    }
    sight.line(
        "\nnote: `/srv/node*` is used as default value of `devices`, the real value is set in the config file on each storage node.",
    );
}

fn curl(place: &Place<'_>, device: &Device) -> String {
    let target = place.names.join("/");
    let target = utf8_percent_encode(&target, PLAIN);
    let url = format!("{}/{}/{}/{target}", Host::of(device).url(), device.device, place.partition);
    let policy = place.policy.map(|policy| format!(" -H \"X-Backend-Storage-Policy-Index: {policy}\""));
    format!("curl -g -I -XHEAD \"{url}\"{} --path-as-is", policy.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_apart_at_slashes_but_the_objects_own() {
        assert_eq!(names(&["/a/c/o/p"], false).unwrap(), ["a", "c", "o/p"]);
        assert_eq!(names(&["a", "c", "o%2Fp"], true).unwrap(), ["a", "c", "o/p"]);
        assert!(names(&["a", "c", "o", "p"], false).is_err() && names(&["a//o"], false).is_err());
        assert!(names(&[], false).unwrap().is_empty());
    }
}
