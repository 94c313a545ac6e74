//! What every background pass shares: which part of the node it looks at, how it says how far it is, and how it is run: once,
//! for an operator or a story, or again and again, for the daemon.
//!
//! A pass is one method, [`Pass::once`]: it goes over what the [`Filter`] lets through, counts what it does in a [`Progress`], and
//! returns early when it is told to stop. What it finds wrong with one thing it counts as a failure and goes on: a pass has no
//! error of its own. Everything a pass does can be done again, so one that was stopped or killed is simply begun anew; a
//! pass that walks for days remembers its place in a [`Cursor`].

mod cursor;
mod progress;

use std::collections::BTreeSet;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::policy::PolicyIndex;
use tokio_util::sync::CancellationToken;

pub use cursor::Cursor;
pub use progress::{Progress, Report};

/// How often a line about a pass is said where nothing can move.
const SAY_EVERY: Duration = Duration::from_secs(2);
/// How often it is shown how far a pass is that is run once.
const SHOW_EVERY: Duration = Duration::from_millis(500);

/// The part of a node that a pass looks at; an empty set lets everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of devices.
    pub devices: BTreeSet<String>,
    /// Partitions.
    pub partitions: BTreeSet<u32>,
    /// Numbers of storage policies.
    pub policies: BTreeSet<u32>,
}

impl Filter {
    /// Whether it lets a device through.
    pub fn device(&self, name: &str) -> bool {
        self.devices.is_empty() || self.devices.contains(name)
    }

    /// Whether it lets a partition through.
    pub fn partition(&self, partition: u32) -> bool {
        self.partitions.is_empty() || self.partitions.contains(&partition)
    }

    /// Whether it lets a policy through.
    pub fn policy(&self, policy: PolicyIndex) -> bool {
        self.policies.is_empty() || self.policies.contains(&policy.0)
    }

    /// Whether it lets everything through: only then has a pass seen the whole node.
    pub fn is_everything(&self) -> bool {
        *self == Self::default()
    }
}

/// One kind of pass.
pub trait Pass: Send + Sync {
    /// Its name, as in `apus pass NAME`, in metrics and in the recon file.
    const NAME: &'static str;

    /// Goes over everything once, or until `stop`.
    fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) -> impl Future<Output = ()> + Send;
}

/// Runs a pass once, and gives `show` again and again how far it is.
pub async fn once<P: Pass>(
    pass: &P,
    filter: &Filter,
    stop: &CancellationToken,
    mut show: impl FnMut(&Report),
) -> Report {
    let progress = Progress::default();
    let mut passing = std::pin::pin!(pass.once(filter, &progress, stop));
    let mut ticks = tokio::time::interval(SHOW_EVERY);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = &mut passing => break,
            _ = ticks.tick() => show(&progress.report()),
        }
    }
    progress.report()
}

/// Makes lines of what [`once`] shows, for who reads lines: one every few seconds.
#[derive(Debug)]
pub struct Lines {
    name: &'static str,
    said: Instant,
}

impl Lines {
    /// For the pass of that name.
    pub fn new(name: &'static str) -> Self {
        Self { name, said: Instant::now() }
    }

    /// A line, if it is time for one.
    pub fn due(&mut self, report: &Report) -> Option<String> {
        (self.said.elapsed() >= SAY_EVERY).then(|| {
            self.said = Instant::now();
            self.line(report)
        })
    }

    /// The line, as for the end.
    pub fn line(&self, report: &Report) -> String {
        format!("{}: {report}", self.name)
    }
}

/// Runs a pass again and again until `stop`, `pause` after each; after each whole one its report is added to the recon
/// file `NAME.recon` in `recon`.
pub async fn forever<P: Pass>(pass: &P, pause: Duration, recon: Option<&Path>, stop: &CancellationToken) {
    while !stop.is_cancelled() {
        let progress = Progress::default();
        pass.once(&Filter::default(), &progress, stop).await;
        if stop.is_cancelled() {
            return;
        }
        let report = progress.report();
        tracing::info!(pass = P::NAME, %report, "a pass has ended");
        if let Some(folder) = recon
            && let Err(error) = report.save(&folder.join(format!("{}.recon", P::NAME)))
        {
            tracing::warn!(pass = P::NAME, %error, "the recon file cannot be written");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting;

    impl Pass for Counting {
        const NAME: &'static str = "counting";

        async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
            progress.expect(3);
            for partition in 0..3 {
                if filter.partition(partition) {
                    progress.count("seen");
                }
                progress.step();
            }
            if filter.is_everything() {
                stop.cancel();
            }
        }
    }

    #[tokio::test]
    async fn a_filter_narrows_and_the_report_tells_all() {
        let filter = Filter { partitions: [1].into(), ..Filter::default() };
        let report = once(&Counting, &filter, &CancellationToken::new(), |_| ()).await;
        assert_eq!((report.counts["seen"], report.failures(), report.done), (1, 0, 3));
        let said = report.to_string();
        assert!(said.starts_with("3 of 3, seen 1, "), "{said:?}");
    }

    #[tokio::test]
    async fn for_ever_ends_when_told_to() {
        let stop = CancellationToken::new();
        forever(&Counting, Duration::from_secs(3600), None, &stop).await;
        assert!(stop.is_cancelled());
    }
}
