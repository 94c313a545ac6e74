//! One device's part of one move: push what the plan gives it, then hand off what it shall not hold any more.

use std::collections::BTreeMap;
use std::fs::File;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use apus_base::crash;
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use apus_base::wire::replication::PartitionDigest;
use apus_object::pace::Pace;
use apus_object::store::index::{self, Entry, Table};
use futures_util::{StreamExt as _, stream};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::partition::Partition;
use super::super::{Replicate, Run, local};
use super::plan::Plan;
use super::unfinished::Unfinished;
use crate::compared::{Compared, Side};
use apus_base::pass::{Filter, Progress};

/// Pushes of a whole cluster that one target is given at once, as many as it takes: so many divided by the devices that push to it, but
/// one of each at least.
const MAX_AT_TARGET: usize = 16;
/// How long one who hands off waits for others to push while none of its partitions gets done.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it waits before it looks again, first and at most.
const LOOK_AGAIN: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];

/// Where a crash test kills a mover: a partition was pushed.
pub(crate) const PUSHED: &str = "move.pushed";

/// What a device has to do.
pub(super) struct Job {
    pub(super) policy: PolicyIndex,
    /// As the old ring has it.
    pub(super) device: Device,
    pub(super) new: Arc<Ring>,
    pub(super) plan: Arc<Plan>,
    pub(super) kept: Unfinished,
}

/// How it is done.
struct Working<'a> {
    replicate: &'a Replicate,
    job: &'a Job,
    pace: &'a Pace,
    filter: &'a Filter,
    progress: &'a Progress,
    stop: &'a CancellationToken,
}

/// A partition to be pushed, and its size once it is known.
struct Push<'a> {
    partition: Partition<'a>,
    targets: Vec<u32>,
    bytes: OnceLock<u64>,
}

/// Does the jobs of one device, one after the other, unless another process is at them.
pub(super) async fn run_all(
    replicate: &Replicate,
    jobs: &[Job],
    pace: &Pace,
    filter: &Filter,
    progress: &Progress,
    stop: &CancellationToken,
) {
    let Some(first) = jobs.first() else { return };
    let Some(_lock) = lock(replicate, &first.device.device).await else {
        tracing::warn!(device = first.device.device, "another process moves what is on the device");
        return progress.fail();
    };
    for job in jobs {
        Working { replicate, job, pace, filter, progress, stop }.run().await;
    }
}

async fn lock(replicate: &Replicate, device: &str) -> Option<File> {
    let device = replicate.node.devices.get(device).ok()?;
    let path = device.path().join("passes").join(".move.lock");
    let opened = device.queue().run(move || File::options().create(true).append(true).open(path)).await.ok()?.ok()?;
    opened.try_lock().ok().map(|()| opened)
}

impl Working<'_> {
    async fn run(&self) {
        let failures = self.progress.report().failures();
        self.push().await;
        self.hand_off().await;
        let whole = self.filter.partitions.is_empty() && !self.stop.is_cancelled();
        if whole
            && failures == self.progress.report().failures()
            && let Ok(disk) = self.replicate.node.devices.get(&self.job.device.device)
        {
            self.job.kept.forget(&disk).await;
        }
    }

    async fn begin(&self) -> Option<(Run<'_>, Table)> {
        let place = (self.job.policy, &self.job.new, &self.job.device);
        self.replicate.begin(place, self.progress, self.pace).await
    }

    async fn push(&self) {
        let Some((run, table)) = self.begin().await else { return };
        let planned = self.job.plan.pushes(self.job.device.id).into_iter();
        let mine: Vec<(u32, Vec<u32>, Entry)> = planned
            .filter(|(partition, _)| self.filter.partition(*partition))
            .filter_map(|(partition, targets)| Some((partition, targets, *table.0.get(&partition)?)))
            .collect();
        self.progress.expect(mine.len() as u64);
        let compared = compare(&run, mine.iter().map(|(partition, _, entry)| (*partition, *entry))).await;
        let pushes: Vec<Push<'_>> = mine
            .into_iter()
            .map(|(partition, targets, entry)| Push {
                partition: self.to_push(&run, partition, entry, &targets, &compared),
                targets,
                bytes: OnceLock::new(),
            })
            .collect();
        let (rest, pushes): (Vec<_>, Vec<_>) = pushes.into_iter().partition(|push| push.partition.is_at_rest());
        rest.iter().for_each(|_| self.progress.step());
        let gates = self.gates(&pushes);
        let work: Vec<_> = pushes.iter().map(|push| self.push_one(push, &gates)).collect();
        let work = stream::iter(work).buffer_unordered(self.at_once()).collect::<()>();
        let weighing = async {
            for push in pushes.iter().take_while(|_| !self.stop.is_cancelled()) {
                self.weigh(push).await;
            }
        };
        tokio::join!(work, weighing);
    }

    fn at_once(&self) -> usize {
        self.replicate.config.concurrency.max(1)
    }

    /// How many pushes of this device each target is given at once.
    fn gates(&self, pushes: &[Push<'_>]) -> BTreeMap<u32, Semaphore> {
        let targets = pushes.iter().flat_map(|push| &push.targets);
        let gate = |target: &u32| {
            let share = MAX_AT_TARGET / self.job.plan.sources(*target).max(1);
            (*target, Semaphore::new(share.clamp(1, self.at_once())))
        };
        targets.map(gate).collect()
    }

    async fn push_one(&self, push: &Push<'_>, gates: &BTreeMap<u32, Semaphore>) {
        // In the order of the ids, so that no two wait for each other.
        let mut permits: Vec<SemaphorePermit<'_>> = Vec::new();
        for (_, gate) in gates.iter().filter(|(target, _)| push.targets.contains(target)) {
            permits.extend(gate.acquire().await);
        }
        if self.stop.is_cancelled() {
            return;
        }
        let bytes = self.weigh(push).await;
        push.partition.bring(self.stop).await;
        crash::point(PUSHED);
        self.progress.step_bytes(bytes);
        self.progress.step();
    }

    async fn weigh(&self, push: &Push<'_>) -> u64 {
        if let Some(known) = push.bytes.get() {
            return *known;
        }
        let bytes = local::bytes(&push.partition.run.shelf, push.partition.number).await;
        // Another may have weighed it meanwhile.
        if push.bytes.set(bytes).is_ok() {
            self.progress.expect_bytes(bytes);
        }
        push.bytes.get().copied().unwrap_or(bytes)
    }

    /// A partition with only those sides that this device is to push to. The others count as away, so nothing is removed for
    /// their sake. One that goes from here is offered to the primaries that stay as well, since they may lack what only this
    /// device got.
    fn to_push<'r>(
        &self,
        run: &'r Run<'r>,
        number: u32,
        entry: Entry,
        mine: &[u32],
        compared: &Compared,
    ) -> Partition<'r> {
        let home = run.around().is_home(number);
        let planned = self.job.plan.targets(number);
        let may_push = |target: &Device| mine.contains(&target.id) || (!home && !planned.contains(&target.id));
        let side = |target: &Device| if may_push(target) { compared.side(target.id, number) } else { Side::Away };
        partition(run, number, entry, side)
    }

    /// Removes what belongs to others, once they all have it.
    async fn hand_off(&self) {
        let Some((_, table)) = self.begin().await else { return };
        let mut left = self.leaving(&table).len();
        self.progress.expect(left as u64);
        let (mut since, mut pause) = (Instant::now(), LOOK_AGAIN[0]);
        while left > 0 && !self.stop.is_cancelled() {
            let Some((now_left, awaited)) = self.hand_off_once(since.elapsed() >= PATIENCE).await else { return };
            (now_left..left).for_each(|_| self.progress.step());
            if now_left < left {
                (since, pause) = (Instant::now(), LOOK_AGAIN[0]);
            }
            left = now_left;
            if !awaited {
                return;
            }
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(LOOK_AGAIN[1]),
            }
        }
    }

    fn leaving(&self, table: &Table) -> Vec<(u32, Entry)> {
        let leaving = self.job.plan.leaving(self.job.device.id).filter(|partition| self.filter.partition(*partition));
        leaving.filter_map(|partition| Some((partition, *table.0.get(&partition)?))).collect()
    }

    /// Hands off what nobody else is still pushing, or everything. Gives how many partitions are left, and whether any of them
    /// waits for others.
    async fn hand_off_once(&self, everything: bool) -> Option<(usize, bool)> {
        let (run, table) = self.begin().await?;
        let leaving = self.leaving(&table);
        let compared = compare(&run, leaving.iter().copied()).await;
        let is_awaited = |(partition, _): &(u32, Entry)| !everything && self.is_awaited(*partition, &compared);
        let (awaited, ready): (Vec<_>, Vec<_>) = leaving.into_iter().partition(is_awaited);
        let ready: Vec<Partition<'_>> = ready
            .into_iter()
            .map(|(number, entry)| partition(&run, number, entry, |target| compared.side(target.id, number)))
            .collect();
        let work: Vec<_> = ready.iter().map(|partition| partition.bring(self.stop)).collect();
        stream::iter(work).buffer_unordered(self.at_once()).collect::<()>().await;
        let now = index::refresh(&run.shelf).await.unwrap_or(table);
        Some((self.leaving(&now).len(), !awaited.is_empty()))
    }

    /// Whether another device is to push it and has not done so yet, and all who shall have it can be reached.
    fn is_awaited(&self, partition: u32, compared: &Compared) -> bool {
        let sides =
            || self.job.new.primaries(partition).map(|primary| (primary.id, compared.side(primary.id, partition)));
        let planned = self.job.plan.targets(partition);
        sides().all(|(_, side)| side != Side::Away)
            && sides().any(|(id, side)| side == Side::Differs && planned.contains(&id))
    }
}

async fn compare(run: &Run<'_>, partitions: impl Iterator<Item = (u32, Entry)>) -> Compared {
    let digests = partitions.map(|(partition, entry)| PartitionDigest { partition, digest: entry.digest });
    let digests: Vec<_> = digests.collect();
    let ask = |device, digests| run.compare_with(device, digests);
    Compared::of_primaries(run.around(), &digests, run.progress, &ask).await
}

fn partition<'r>(run: &'r Run<'r>, number: u32, entry: Entry, side: impl Fn(&Device) -> Side) -> Partition<'r> {
    let targets: Vec<Device> = run.around().others(number).into_iter().cloned().collect();
    let sides = targets.iter().map(side).collect();
    Partition { run, number, entry, home: run.around().is_home(number), targets, sides }
}
