//! What a lifecycle does to the versions of a bucket, in the order in which they are listed: by their keys, those of a key from
//! the newest to the oldest. Pure; it remembers one key at a time, however many versions that has.
//!
//! Tags are in no listing, so here every object has those that a rule asks for; whoever does what is said here looks at them.

use apus_base::timestamp::Timestamp;

use super::rule::{Facts, Rules};
use crate::ops::rows::Object;
use crate::ops::versions::{DELETE_MARKER, Version};

/// A version, as listings know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub(super) key: String,
    pub(super) version: Version,
    /// In seconds since 1970.
    pub(super) written: u64,
    pub(super) bytes: u64,
    pub(super) is_latest: bool,
    pub(super) is_marker: bool,
}

impl Listed {
    /// Reads a row of a listing of versions; `None` if it is none.
    pub(super) fn of(row: &Object) -> Option<Self> {
        let version: Version = row.version_id.as_deref().unwrap_or("null").parse().ok()?;
        let written = match version {
            Version::Id(id) => id.secs(),
            Version::Null => Timestamp::from_isoformat(&row.last_modified)?.secs(),
        };
        Some(Self {
            key: row.name.clone(),
            version,
            written,
            bytes: row.bytes,
            is_latest: row.is_latest.unwrap_or(true),
            is_marker: row.content_type == DELETE_MARKER,
        })
    }

    /// What rules look at, with these tags.
    pub(super) fn facts<'a>(&'a self, tags: Option<&'a crate::s3::tagging::Tags>) -> Facts<'a> {
        Facts { key: &self.key, bytes: self.bytes, tags }
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The current version expires.
    Expire(Listed),
    /// A version goes that was the current one until `since`, and than which so many others that were are newer.
    Drop { listed: Listed, since: u64, newer: u32 },
    /// A delete marker goes behind which there is nothing.
    DropMarker(Listed),
}

/// One time, and how long days are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) secs: u64,
    pub(super) day: u64,
}

/// The judge.
#[derive(Debug, Default)]
pub(super) struct Judge {
    key: Option<Key>,
}

/// What is remembered of the versions of a key that were seen.
#[derive(Debug)]
struct Key {
    name: String,
    /// When the last one that was seen was written.
    after: Option<u64>,
    /// How many were seen that are not the current one.
    noncurrent: u32,
    /// The current one, if it is a delete marker and nothing else was seen.
    marker: Option<Listed>,
}

impl Judge {
    /// Takes the next version and gives what is to be done for it, and for the key before if it has ended.
    pub(super) fn next(&mut self, rules: &Rules, now: Now, listed: Listed) -> Vec<Task> {
        let mut tasks = Vec::new();
        if self.key.as_ref().is_none_or(|key| key.name != listed.key) {
            tasks.extend(self.end(rules, now));
            self.key = Some(Key { name: listed.key.clone(), after: None, noncurrent: 0, marker: None });
        }
        if let Some(key) = &mut self.key {
            tasks.extend(key.next(rules, now, listed));
        }
        tasks
    }

    /// No more comes.
    pub(super) fn end(&mut self, rules: &Rules, now: Now) -> Option<Task> {
        let marker = self.key.take()?.marker?;
        rules.drops_marker(&marker.key, marker.written, now.secs, now.day).then_some(Task::DropMarker(marker))
    }

    /// The key that it is in.
    pub(super) fn key(&self) -> Option<&str> {
        self.key.as_ref().map(|key| key.name.as_str())
    }
}

impl Key {
    fn next(&mut self, rules: &Rules, now: Now, listed: Listed) -> Option<Task> {
        let is_first = self.after.is_none();
        self.marker = None;
        let since = self.after.replace(listed.written);
        if listed.is_latest {
            if is_first && listed.is_marker {
                self.marker = Some(listed);
                return None;
            }
            let expiry = rules.expiry(listed.facts(None), listed.written, now.day);
            return (!listed.is_marker && expiry?.0 <= now.secs).then_some(Task::Expire(listed));
        }
        // Until when a version was current is said by the next one. Without that it is nobody's: an upload that was never
        // acknowledged, or what a bucket has that stopped keeping versions.
        let since = since?;
        let newer = self.noncurrent;
        self.noncurrent = newer.saturating_add(1);
        let drops = rules.drops(listed.facts(None), since, newer, now.secs, now.day);
        drops.then_some(Task::Drop { listed, since, newer })
    }
}

#[cfg(test)]
mod tests;
