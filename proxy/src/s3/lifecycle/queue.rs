//! Which buckets have a lifecycle, and whose turn each is: rows of a container in a hidden account of the cluster's own, so that
//! nobody has to walk over all containers.
//!
//! ```text
//! .lifecycle/buckets/ACCOUNT/BUCKET      {"by":"5e0c…","began":1795231000,"alive":1795231060,"after":"photos/17","done":false}
//! ```
//!
//! Nothing stands behind a row; where an object has its content type, it says who goes through the bucket, how far they are,
//! and when they said so last. It is a claim, not a lock: rows are merged by their times, so of two who take a bucket in the same
//! moment both may hold it. Whoever takes one looks before and after, which makes that rare, and all that is done to a bucket
//! may be done twice.
//!
//! # What can fail
//!
//! - A row comes into being before its bucket's rules. If the proxy dies in between there is a row too many, which is removed
//!   when it is old; a young one may belong to rules that are about to be stored.
//! - It is removed as of just after the time that it was read with, so one that is added meanwhile stays.
//! - Who goes through a bucket and dies leaves a claim. After [`LEASE`] anybody takes it over and goes on after the last
//!   key that was done with.
//! - A replica that was away may show an old row: then a bucket is gone through once more.

use std::time::Duration;

use apus_base::client::{ClusterClient, NoAnswer};
use apus_base::clock::Clock;
use apus_base::timestamp::Timestamp;
use apus_base::wire::ObjectRow;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::ops::hidden::{self, Hidden};
use crate::ops::listing::Listing;
use crate::ops::rows::Object;

/// The hidden account.
const ACCOUNT: &str = ".lifecycle";
/// Its one container: a million buckets' rows are less than many a bucket has.
const CONTAINER: &str = "buckets";
/// Rows of one page.
const PAGE: u64 = 1000;
/// How long somebody is believed to be alive who said so. A page of removals, each as slow as a timeout, takes a part of it.
const LEASE: Duration = Duration::from_secs(600);
/// How old a row is at least whose bucket has no rules and that is removed. Storing rules takes seconds.
const YOUNG: Duration = Duration::from_secs(3600);

/// A bucket with a lifecycle.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Queued {
    pub(super) account: String,
    pub(super) bucket: String,
    /// When the row was written.
    written: Timestamp,
    /// How far somebody is with it; nobody since its rules are there, without that.
    pub(super) turn: Option<Turn>,
}

/// How far somebody is with a bucket. Times are in seconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Turn {
    /// Who; nobody any more when it is empty.
    pub(super) by: String,
    /// When the whole began.
    pub(super) began: u64,
    /// When that was said.
    pub(super) alive: u64,
    /// By which rules ([`Rules::print`](super::rule::Rules::print)).
    #[serde(default)]
    pub(super) rules: u32,
    /// The last key that was done with.
    #[serde(default)]
    pub(super) after: String,
    /// Whether all are, without a failure.
    #[serde(default)]
    pub(super) done: bool,
}

impl Queued {
    fn of(row: &Object) -> Option<Self> {
        let (account, bucket) = row.name.split_once('/')?;
        let (account, bucket) = (account.to_owned(), bucket.to_owned());
        let written = Timestamp::from_isoformat(&row.last_modified)?;
        Some(Self { account, bucket, written, turn: serde_json::from_str(&row.content_type).ok() })
    }

    fn name(&self) -> String {
        name(&self.account, &self.bucket)
    }

    /// Whether somebody else goes through it.
    pub(super) fn is_taken(&self, me: &str, now: u64) -> bool {
        let is_alive = |turn: &Turn| turn.alive.saturating_add(LEASE.as_secs()) > now;
        let is_anothers = |turn: &Turn| !turn.by.is_empty() && turn.by != me;
        self.turn.as_ref().is_some_and(|turn| !turn.done && is_anothers(turn) && is_alive(turn))
    }

    /// Whether there can be something to do: objects expire at the end of a day, so one look after it is enough, unless it was
    /// not brought to its end.
    pub(super) fn is_due(&self, now: u64, day: u64) -> bool {
        let today = now - now % day.max(1);
        self.turn.as_ref().is_none_or(|turn| !turn.done || turn.began < today)
    }

    /// Where whoever takes it begins: an unfinished turn goes on.
    pub(super) fn take(&self, me: &str, now: u64) -> Turn {
        let unfinished = self.turn.as_ref().filter(|turn| !turn.done && !turn.after.is_empty());
        let fresh = Turn { began: now, ..Turn::default() };
        Turn { by: me.to_owned(), alive: now, done: false, ..unfinished.cloned().unwrap_or(fresh) }
    }

    /// Whether it is so young that its rules may be on their way.
    pub(super) fn is_young(&self, now: u64) -> bool {
        self.written.secs().saturating_add(YOUNG.as_secs()) > now
    }
}

fn name(account: &str, bucket: &str) -> String {
    format!("{account}/{bucket}")
}

fn row(name: String, at: Timestamp, turn: Option<&Turn>) -> ObjectRow {
    hidden::row(name, at, &turn.and_then(|turn| serde_json::to_string(turn).ok()).unwrap_or_default())
}

/// The queue.
pub(super) struct Queue<'a> {
    pub(super) client: &'a ClusterClient,
    pub(super) clock: &'a Clock,
}

impl Queue<'_> {
    /// Adds a bucket, or has it gone through anew.
    pub(super) async fn add(&self, account: &str, bucket: &str) -> Result<(), NoAnswer> {
        self.write(row(name(account, bucket), self.clock.next(), None)).await
    }

    /// Says how far somebody is.
    pub(super) async fn say(&self, queued: &Queued, turn: &Turn) -> Result<(), NoAnswer> {
        self.write(row(queued.name(), self.clock.next(), Some(turn))).await
    }

    /// Removes a bucket's row, if it still is the one that was read.
    pub(super) async fn remove(&self, queued: &Queued) -> Result<(), NoAnswer> {
        self.write(hidden::removal(queued.name(), queued.written)).await
    }

    async fn write(&self, row: ObjectRow) -> Result<(), NoAnswer> {
        self.rows().write(vec![row]).await
    }

    fn rows(&self) -> Hidden<'_> {
        Hidden { client: self.client, account: ACCOUNT, container: CONTAINER }
    }

    /// The rows after the one of that name.
    pub(super) async fn page(&self, marker: &str) -> Result<Vec<Queued>, Error> {
        self.list(&Listing { limit: PAGE, marker: marker.to_owned(), ..Listing::default() }).await
    }

    /// A bucket's row as it is now.
    pub(super) async fn look(&self, queued: &Queued) -> Result<Option<Queued>, Error> {
        // A bucket's name is the beginning of others', but the first of them.
        let rows = self.list(&Listing { limit: 1, prefix: queued.name(), ..Listing::default() }).await?;
        Ok(rows.into_iter().next().filter(|row| row.name() == queued.name()))
    }

    async fn list(&self, listing: &Listing) -> Result<Vec<Queued>, Error> {
        let rows = self.rows().list(listing).await?;
        Ok(rows.iter().filter_map(Queued::of).collect())
    }
}

/// The marker of what comes after a page.
pub(super) fn marker(last: &Queued) -> String {
    last.name()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn queued(turn: Option<&Turn>) -> Queued {
        let written = Timestamp::from_secs(1000);
        let row = row("AUTH_a/b".into(), written, turn);
        Queued::of(&hidden::listed(row)).unwrap()
    }

    #[test]
    fn a_bucket_is_due_once_a_day_and_when_its_rules_are_new() {
        assert!(queued(None).is_due(1000, 100));
        let done = |began| queued(Some(&Turn { began, done: true, ..Turn::default() }));
        assert!(!done(1001).is_due(1099, 100) && done(1001).is_due(1100, 100));
        assert!(done(999).is_due(1000, 0));
    }

    #[test]
    fn who_died_is_followed_where_they_were() {
        let half = Turn { by: "x".into(), began: 900, alive: 1000, after: "k".into(), ..Turn::default() };
        let half = queued(Some(&half));
        let lease = LEASE.as_secs();
        assert!(half.is_taken("me", 999 + lease) && !half.is_taken("me", 1000 + lease) && !half.is_taken("x", 1000));
        let mine = half.take("me", 5000);
        assert_eq!((mine.began, mine.after.as_str(), mine.alive, mine.by.as_str()), (900, "k", 5000, "me"));
        let done = queued(Some(&Turn { after: "k".into(), done: true, began: 900, ..Turn::default() }));
        assert_eq!((done.take("me", 5000).began, done.take("me", 5000).after), (5000, String::new()));
    }

    #[test]
    fn a_young_row_may_be_waiting_for_its_rules() {
        assert!(queued(None).is_young(1001) && !queued(None).is_young(1000 + YOUNG.as_secs()));
    }

    proptest! {
        #[test]
        fn turns_come_back(by in "[a-f0-9]{0,9}", began: u64, alive: u64, after in "\\PC{0,20}", done: bool) {
            let turn = Turn { by, began, alive, rules: 7, after, done };
            prop_assert_eq!(queued(Some(&turn)).turn, Some(turn));
        }

        #[test]
        fn any_row_is_read_or_left(name in "[a/]{0,5}", content_type in "\\PC{0,20}", last_modified in "[0-9T:.-]{0,30}") {
            let object = Object { name, content_type, last_modified, ..Object::default() };
            let _ = Queued::of(&object);
        }
    }
}
