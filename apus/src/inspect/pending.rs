//! The container updates that wait on this node's disks, by container, those that wait longest first.

use std::collections::BTreeMap;

use apus_base::timestamp::Timestamp;
use apus_object::store::pending::kept;

use super::{InspectError, Sight, copies};
use crate::error::StartError;
use crate::recon::report::elapsed;
use crate::view::{self, View, seconds};

/// What waits for one container.
#[derive(Debug)]
struct Waiting {
    updates: u64,
    oldest: Timestamp,
}

pub(super) fn waiting(view: &View) -> Result<Sight, StartError> {
    let (mut waiting, mut sight): (BTreeMap<String, Waiting>, _) = (BTreeMap::new(), Sight::default());
    for device in copies::devices(view) {
        let path = view.config.node.devices.join(&device);
        let unreadable = |error: std::io::Error| InspectError::Unreadable(path.clone(), error.to_string());
        for (policy, folder) in kept::folders(&path).map_err(unreadable)? {
            for file in kept::list(&folder).map_err(unreadable)?.newest {
                match kept::load(file.clone(), policy) {
                    Ok(Some(kept)) => {
                        let name = format!("{}/{}", kept.update.account, kept.update.container);
                        let one = waiting.entry(name).or_insert(Waiting { updates: 0, oldest: kept.timestamp });
                        one.updates += 1;
                        one.oldest = one.oldest.min(kept.timestamp);
                    }
                    Ok(None) => {}
                    Err(error) => {
                        sight.line(format!("WRONG: {}: {error}", file.display()));
                        sight.unsound = true;
                    }
                }
            }
        }
    }
    let mut sorted: Vec<_> = waiting.iter().collect();
    sorted.sort_by_key(|(_, waiting)| waiting.oldest);
    let now = view::now();
    for (container, Waiting { updates, oldest }) in &sorted {
        let age = elapsed((now - seconds(*oldest)).max(0.0));
        sight.line(format!("{updates:8}  since {} ({age})  {container}", oldest.isoformat()));
    }
    let total: u64 = sorted.iter().map(|(_, waiting)| waiting.updates).sum();
    sight.line(format!("{total} updates wait for {} containers", sorted.len()));
    Ok(sight)
}
