//! What to push and what to remove: decided from what this device has and what the others said, and nothing else.

use apus_base::timestamp::Timestamp;
use apus_base::wire::replication::Want;
use apus_object::store::index::Version;
use apus_object::store::names::{FileName, Kind};

/// What is known of the place where objects are decided about.
#[derive(Clone, Copy, Debug)]
pub struct Terms {
    /// Whether this device is one of the partition's primaries.
    pub home: bool,
    /// Versions before are old: tombstones may go, and a device that was away must not bring them back.
    pub cutoff: Timestamp,
    /// Whether this device was away for longer than tombstones are kept.
    pub stale: bool,
}

/// What one other device made of an offer; `None` from one that did not answer.
pub type Answered = Option<Vec<Want>>;

/// A file: the place of its object in the offer, and its own in the object.
pub type Place = (usize, usize);

/// What to do with an offer that was answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// For each other device the files to push to it.
    pub pushes: Vec<Vec<Place>>,
    /// Files to be left alone: old, known to this device only, which was away.
    pub stale: Vec<Place>,
}

/// What to push where.
pub fn pushes(versions: &[Version], answers: &[Answered], terms: &Terms) -> Plan {
    let mut plan = Plan { pushes: vec![Vec::new(); answers.len()], stale: Vec::new() };
    for place in places(versions) {
        let file = &versions[place.0].files[place.1];
        if is_doubtful(file, terms) && is_unknown(place.0, answers) {
            plan.stale.push(place);
            continue;
        }
        for (pushes, answer) in plan.pushes.iter_mut().zip(answers) {
            let want = answer.as_ref().and_then(|wants| wants.get(place.0)).copied().unwrap_or_default();
            if want.file(place.1) && !is_spent(file, want, terms) {
                pushes.push(place);
            }
        }
    }
    plan
}

/// What to remove once the pushes are done. `confirmed` says of each other device and file whether the push was confirmed.
pub fn removals(
    versions: &[Version],
    answers: &[Answered],
    terms: &Terms,
    confirmed: impl Fn(usize, Place) -> bool,
) -> Vec<Place> {
    let settled = |side: usize, place: Place| {
        let Some(want) = answers[side].as_ref().and_then(|wants| wants.get(place.0)) else { return false };
        let file = &versions[place.0].files[place.1];
        !want.file(place.1) || is_spent(file, *want, terms) || confirmed(side, place)
    };
    let goes = |place: &Place| {
        let file = &versions[place.0].files[place.1];
        let may_go = !terms.home || is_old_tombstone(file, terms);
        may_go && !answers.is_empty() && (0..answers.len()).all(|side| settled(side, *place))
    };
    places(versions).filter(goes).collect()
}

fn places(versions: &[Version]) -> impl Iterator<Item = Place> + '_ {
    versions.iter().enumerate().flat_map(|(object, version)| (0..version.files.len()).map(move |file| (object, file)))
}

/// Whether a file may have been deleted, and that forgotten, while this device was away.
fn is_doubtful(file: &FileName, terms: &Terms) -> bool {
    terms.stale && file.timestamp < terms.cutoff && file.kind != Kind::Tombstone
}

/// Whether all who answered have nothing of the object, and somebody did.
fn is_unknown(object: usize, answers: &[Answered]) -> bool {
    let mut known = answers.iter().flatten().filter_map(|wants| wants.get(object)).map(|want| want.empty).peekable();
    known.peek().is_some() && known.all(|empty| empty)
}

/// Whether a tombstone is of no use to a device: it is old, and there is nothing there that it could delete.
fn is_spent(file: &FileName, want: Want, terms: &Terms) -> bool {
    want.empty && is_old_tombstone(file, terms)
}

fn is_old_tombstone(file: &FileName, terms: &Terms) -> bool {
    file.kind == Kind::Tombstone && file.timestamp < terms.cutoff
}

#[cfg(test)]
mod tests;
