//! What lies in quarantine on this node's disks: which object it was, since when, and whether another copy has taken its
//! place.

use std::path::Path;
use std::time::UNIX_EPOCH;

use apus_base::hash_path::PathHash;
use apus_base::policy::PolicyIndex;
use apus_object::store::attributes;
use apus_object::store::metadata::NAME;

use super::{InspectError, Sight, copies, metadata, object};
use crate::error::StartError;
use crate::recon::report::date;
use crate::view::View;

pub(super) fn list(view: &View) -> Result<Sight, StartError> {
    let (mut sight, mut all, mut unrepaired) = (Sight::default(), 0, 0);
    for device in copies::devices(view) {
        let quarantine = view.config.node.devices.join(&device).join("quarantined");
        let unreadable = |error: std::io::Error| InspectError::Unreadable(quarantine.clone(), error.to_string());
        for kind in apus_object::store::index::file_names(&quarantine).map_err(unreadable)? {
            let folder = quarantine.join(&kind);
            for name in apus_object::store::index::file_names(&folder).map_err(unreadable)? {
                let path = folder.join(&name);
                let repaired = policy(&kind).and_then(|policy| is_repaired(view, &device, policy, &name));
                let state = match repaired {
                    Some(true) => "a good copy is in its place",
                    Some(false) => "NOT REPAIRED: nothing is in its place",
                    None => "left to look at",
                };
                all += 1;
                unrepaired += usize::from(repaired == Some(false));
                sight.line(format!("{}  {}  {}  {state}", since(&path), path.display(), object_name(&path)));
            }
        }
    }
    sight.line(format!("{all} in quarantine, {unrepaired} of them not repaired"));
    sight.unsound = unrepaired > 0;
    Ok(sight)
}

fn policy(kind: &str) -> Option<PolicyIndex> {
    match kind.strip_prefix("objects")? {
        "" => Some(PolicyIndex(0)),
        suffix => suffix.strip_prefix('-')?.parse().ok().map(PolicyIndex),
    }
}

/// Whether the device has an object of the same hash; none when that cannot be said.
fn is_repaired(view: &View, device: &str, policy: PolicyIndex, name: &str) -> Option<bool> {
    let hash = PathHash::from_hex(name.get(..32)?)?;
    let partition = view.rings.objects.get(&policy)?.partition(&hash.0);
    let below = format!("{}/{partition}/{}/{hash}", policy.suffixed("objects"), hash.suffix());
    Some(!object::files(&view.config.node.devices.join(device).join(below)).ok()?.is_empty())
}

/// When it was put there.
fn since(path: &Path) -> String {
    let at = std::fs::metadata(path).and_then(|found| found.modified()).ok();
    at.and_then(|at| at.duration_since(UNIX_EPOCH).ok()).map_or("?".to_owned(), |at| date(at.as_secs_f64()))
}

/// The name in the first file that still has one.
fn object_name(path: &Path) -> String {
    let names = apus_object::store::index::file_names(path).unwrap_or_default();
    let read = |name: String| {
        let attributes = attributes::read(&std::fs::File::open(path.join(name)).ok()?).ok()?;
        attributes.metadata.get(NAME).map(metadata::text)
    };
    names.into_iter().find_map(read).unwrap_or_else(|| "(its name is lost)".to_owned())
}
