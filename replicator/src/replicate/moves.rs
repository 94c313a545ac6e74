//! Directed moves: after a ring change the partitions that belong elsewhere now are brought there by a [plan](mod@plan), at once, with a known
//! amount of work, instead of when the walk comes across them.
//!
//! # One device's part
//!
//! 1. *Push.* What the plan gives to this device goes to its targets, those with the fewest holders left first, by the same
//!    questions and pushes as in the walk: a target that has it already costs one answer, and a partition that was half pushed
//!    goes on where it was.
//! 2. *Hand off.* What this device shall not hold any more is removed by the replicator's rule for handoffs: file by file, when every
//!    new primary has confirmed it. Where the plan has another device push, this one waits for it; after a while without
//!    any progress (`PATIENCE` of the [job]) it gives what is lacking itself, for the other may be dead.
//!
//! A device that was removed from the ring has its part too, if its node still runs: the walk does not know it any more.
//!
//! # What may go wrong
//!
//! * **A target does not answer.** A failure; the source keeps its copy. The rest goes on, and the next run completes it.
//! * **The process ends in the middle.** The ring that a move is from is kept on each device until its part is done
//!   ([`unfinished`]); the next start, or `apus pass move`, goes on.
//! * **The ring changes again.** The newest ring wins: the move stops and begins anew to where the newest ring says, from the ring
//!   it was from and from the one in between, since either may know who has what.
//! * **Clients write meanwhile.** They write to the new primaries, or to the old ones as long as their proxy does not know the new
//!   ring. Files are merged by their names, and a file that was not offered is not removed.
//! * **Nodes notice a ring at different times.** A target takes what it is given whatever its ring says.
//! * **The walk runs too.** It leaves to the move what the plan has, while that runs here; then it finds what is still lacking.
//! * **A planned source has nothing of the partition**, since its disk was lost: the walk of another holder brings it.
//!
//! Listings do not move so yet: the [plan](mod@plan) knows only rings, and would serve them as well.

mod job;
pub mod plan;
mod unfinished;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apus_base::client::Rings;
use apus_base::metrics::Metrics;
use apus_base::policy::PolicyIndex;
use apus_base::ring::{Device, Ring};
use apus_object::pace::Pace;
use futures_util::{StreamExt as _, stream};
use prometheus_client::metrics::gauge::Gauge;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use self::job::Job;
pub(crate) use self::job::PUSHED;
use self::plan::Plan;
use self::unfinished::Unfinished;
use super::{MAX_DEVICES, Replicate};
use apus_base::pass::{Filter, Pass, Progress, Report};

/// How often it is told how far a move is.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long after a move that could not do everything it is tried again, first and at most.
const RETRY: [Duration; 2] = [Duration::from_secs(60), Duration::from_secs(3600)];

/// `apus pass move`: begins a move, or goes on with what was begun.
pub struct Move {
    replicate: Replicate,
    from: BTreeMap<PolicyIndex, Arc<Ring>>,
}

impl Move {
    /// From these rings to the present ones; without any, it goes on with moves that were not finished.
    pub fn new(replicate: Replicate, from: BTreeMap<PolicyIndex, Arc<Ring>>) -> Self {
        Self { replicate, from }
    }
}

impl Pass for Move {
    const NAME: &'static str = "move";

    async fn once(&self, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        self.replicate.remember(&self.from, progress).await;
        self.replicate.move_all(&Pace::new(0), filter, progress, stop).await;
    }
}

impl Replicate {
    /// Moves whenever the rings have changed, for ever; what was not finished when the process ended last comes first.
    pub async fn follow_rings(&self, stop: &CancellationToken) {
        if self.config.interval == 0 {
            return;
        }
        let pace = Pace::new(self.config.move_rate);
        let mut seen = self.node.rings.load_full();
        let mut retry = RETRY[0];
        loop {
            let finished = tokio::select! {
                () = stop.cancelled() => return,
                () = self.node.rings_changed.notified() => false,
                finished = self.move_in_background(&pace, stop) => {
                    let pause = if finished { RETRY[1] } else { retry };
                    tokio::select! {
                        () = stop.cancelled() => return,
                        () = self.node.rings_changed.notified() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    finished
                }
            };
            retry = if finished { RETRY[0] } else { (retry * 2).min(RETRY[1]) };
            let now = self.node.rings.load_full();
            if !Arc::ptr_eq(&seen, &now) {
                self.remember(&seen.objects, &Progress::default()).await;
                (seen, retry) = (now, RETRY[0]);
            }
        }
    }

    /// Whether everything that was begun is finished.
    async fn move_in_background(&self, pace: &Pace, stop: &CancellationToken) -> bool {
        let progress = Progress::default();
        self.move_all(pace, &Filter::default(), &progress, stop).await;
        let report = progress.report();
        if report.total > 0 || report.failures() > 0 {
            tracing::info!(%report, "a directed move has run");
        }
        report.failures() == 0
    }

    /// Keeps on each device here the ring that a move is from, if the device has any part in the way to the present ring.
    async fn remember(&self, from: &BTreeMap<PolicyIndex, Arc<Ring>>, progress: &Progress) {
        let rings = self.node.rings.load_full();
        for (policy, old) in from {
            let Some(new) = rings.objects.get(policy) else { continue };
            let plan = match plan(old, new).await {
                Ok(plan) => plan,
                Err(error) => {
                    tracing::error!(%error, policy = policy.0, "nothing can be moved");
                    progress.fail();
                    continue;
                }
            };
            for device in self.own(old).filter(|device| plan.involves(device.id)) {
                if let Err(error) = unfinished::remember(&self.node.devices, device, *policy, old).await {
                    tracing::error!(%error, device = device.device, "it cannot be remembered that a move has begun");
                    progress.fail();
                }
            }
        }
    }

    /// The devices of a ring that are this node's.
    fn own<'r>(&'r self, ring: &'r Ring) -> impl Iterator<Item = &'r Device> {
        ring.devices().iter().flatten().filter(|device| self.node.here.has(device))
    }

    async fn move_all(&self, pace: &Pace, filter: &Filter, progress: &Progress, stop: &CancellationToken) {
        let devices = self.jobs(filter, progress).await;
        if devices.is_empty() {
            return;
        }
        let plans = devices.iter().flatten().map(|job| (job.policy, Arc::clone(&job.plan))).collect();
        let _moving = self.moving.begin(plans);
        let run = |jobs: Vec<Job>| async move { job::run_all(self, &jobs, pace, filter, progress, stop).await };
        let working = stream::iter(devices).for_each_concurrent(MAX_DEVICES, run);
        tokio::select! {
            () = working => {}
            () = self.keep_telling(progress) => {}
        }
        self.tell_move(&progress.report(), false).await;
    }

    /// What is to be done on each device here.
    async fn jobs(&self, filter: &Filter, progress: &Progress) -> Vec<Vec<Job>> {
        let rings: Arc<Rings> = self.node.rings.load_full();
        let mut plans: HashMap<String, Arc<Plan>> = HashMap::new();
        let mut devices = Vec::new();
        for name in self.node.devices.names().into_iter().filter(|name| filter.device(name)) {
            let mut jobs = Vec::new();
            for (policy, new) in rings.objects.iter().filter(|(policy, _)| filter.policy(**policy)) {
                for kept in unfinished::recall(&self.node.devices, &name, *policy).await {
                    match self.job((&name, *policy), kept, new, &mut plans).await {
                        Ok(job) => jobs.extend(job),
                        Err(error) => {
                            tracing::error!(%error, device = name, "a move cannot be finished");
                            progress.fail();
                        }
                    }
                }
            }
            if !jobs.is_empty() {
                devices.push(jobs);
            }
        }
        devices
    }

    /// A device's part of a move; none when it has none any more.
    async fn job(
        &self,
        (name, policy): (&str, PolicyIndex),
        kept: Unfinished,
        new: &Arc<Ring>,
        plans: &mut HashMap<String, Arc<Plan>>,
    ) -> Result<Option<Job>, plan::InvalidMove> {
        let plan = match plans.get(kept.id()) {
            Some(plan) => Arc::clone(plan),
            None => Arc::new(plan(&kept.ring, new).await?),
        };
        plans.insert(kept.id().to_owned(), Arc::clone(&plan));
        let device = self.own(&kept.ring).find(|device| device.device == name && plan.involves(device.id)).cloned();
        let Some(device) = device else {
            if let Ok(disk) = self.node.devices.get(name) {
                kept.forget(&disk).await;
            }
            return Ok(None);
        };
        Ok(Some(Job { policy, device, new: Arc::clone(new), plan, kept }))
    }

    async fn keep_telling(&self, progress: &Progress) {
        let mut ticks = tokio::time::interval(TELL_EVERY);
        loop {
            ticks.tick().await;
            self.tell_move(&progress.report(), true).await;
        }
    }

    /// In the recon cache, as `move` of `object.recon`, and in the metrics.
    async fn tell_move(&self, report: &Report, active: bool) {
        self.moving.gauge(report, active);
        let mut told = json!(report);
        told["active"] = active.into();
        told["remaining"] = report.remaining().map(|rest| rest.as_secs()).into();
        let entries = json!({ "move": told }).as_object().cloned().unwrap_or_default();
        let recon = self.node.recon.clone();
        if tokio::task::spawn_blocking(move || recon.merge("object", entries)).await.is_err() {
            tracing::error!("the recon cache was not written");
        }
    }
}

/// A large ring has a million partitions, and other tasks would wait.
async fn plan(old: &Arc<Ring>, new: &Arc<Ring>) -> Result<Plan, plan::InvalidMove> {
    let (old, new) = (Arc::clone(old), Arc::clone(new));
    let planned = tokio::task::spawn_blocking(move || Plan::new(&old, &new)).await;
    planned.unwrap_or(Err(plan::InvalidMove::Interrupted))
}

/// What this process moves at the moment, so that its walk leaves that alone.
#[derive(Debug, Default)]
pub(super) struct Moving {
    plans: Mutex<Vec<(PolicyIndex, Arc<Plan>)>>,
    partitions_left: Gauge,
    bytes_left: Gauge,
}

/// A move is on until it is dropped.
struct Begun<'a>(&'a Moving);

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        self.0.plans().clear();
    }
}

impl Moving {
    pub(super) fn new(metrics: &Metrics) -> Self {
        let moving = Self::default();
        metrics.register(
            "move_partitions_left",
            "Partitions that a move has before it",
            moving.partitions_left.clone(),
        );
        metrics.register("move_bytes_left", "Bytes that a move has before it", moving.bytes_left.clone());
        moving
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, Vec<(PolicyIndex, Arc<Plan>)>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, plans: Vec<(PolicyIndex, Arc<Plan>)>) -> Begun<'_> {
        *self.plans() = plans;
        Begun(self)
    }

    fn gauge(&self, report: &Report, active: bool) {
        let left =
            |total: u64, done: u64| if active { total.saturating_sub(done).try_into().unwrap_or(i64::MAX) } else { 0 };
        self.partitions_left.set(left(report.total, report.done));
        self.bytes_left.set(left(report.bytes, report.bytes_done));
    }

    /// Whether any move of a policy is on.
    pub(super) fn is_any(&self, policy: PolicyIndex) -> bool {
        self.plans().iter().any(|(of, _)| *of == policy)
    }

    /// Whether a partition is pushed to anybody.
    pub(super) fn is_any_of(&self, policy: PolicyIndex, partition: u32) -> bool {
        self.plans().iter().any(|(of, plan)| *of == policy && !plan.targets(partition).is_empty())
    }

    /// Whether a partition is pushed to the device with that id of the present ring.
    pub(super) fn is_to(&self, policy: PolicyIndex, partition: u32, target: u32) -> bool {
        self.plans().iter().any(|(of, plan)| *of == policy && plan.targets(partition).contains(&target))
    }
}
