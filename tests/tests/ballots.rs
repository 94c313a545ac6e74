//! Conditional writes in a model: proxies that decide with the real [`Proposal`], replicas that promise by the real rules, and
//! between them messages that come late, in any order, twice (but for writes) or never, while both die and come back. What the clients
//! are told has to be explained by some order ([`apus_tests::linear`]). Everything is drawn from a seed, which a failure shows.

use std::collections::BTreeMap;

use apus_base::ballot::deletion::{Next, Refusals};
use apus_base::ballot::{Commits, Failure, Proposal, Step, Vote, majority, may_commit, may_enter, may_promise};
use apus_base::timestamp::Timestamp;
use apus_tests::linear::{Ask, Operation, Said, Value, check};
use fastrand::Rng;

/// Schedules in a run; each is a few hundred events.
const SCHEDULES: u64 = 20_000;
/// Operations of one schedule.
const OPERATIONS: usize = 9;
/// Events of one schedule, before all is mended.
const EVENTS: usize = 400;
/// Deliveries within which a read ends when all is mended.
const DELIVERIES: usize = 10_000;
/// Ticks between two events, so that a ballot a tick above another is below the next event.
const TICKS: u64 = 100;

/// What is not as it should be: the checker has to find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// Promises are given and not kept.
    Forgetful,
    /// A version of a minority is as good as any.
    Hasty,
    /// A deletion is done again, though some have taken it.
    Repeats,
    /// Promises are taken back that stand in place of others.
    Careless,
}

/// One copy of the object, and what its server has in memory.
#[derive(Clone, Debug, Default)]
struct Replica {
    fence: Timestamp,
    version: Timestamp,
    value: Value,
    held: BTreeMap<u64, Value>,
    is_down: bool,
}

impl Replica {
    fn take(&mut self, version: Timestamp, value: Value) {
        if version > self.version {
            (self.version, self.value) = (version, value);
        }
        if self.fence <= version {
            self.fence = Timestamp::ZERO;
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Message {
    Attend {
        ballot: Option<Timestamp>,
    },
    Commit {
        ballot: Timestamp,
        token: u64,
    },
    Write {
        written: Timestamp,
        value: Value,
    },
    Voted {
        vote: Vote,
        value: Value,
    },
    /// Takes a promise back.
    Release {
        ballot: Timestamp,
    },
    Took {
        taken: bool,
        version: Timestamp,
        fence: Timestamp,
    },
}

#[derive(Clone, Copy, Debug)]
struct Envelope {
    replica: usize,
    proxy: usize,
    /// The question to which an answer belongs.
    question: u64,
    message: Message,
}

/// What a proxy has asked.
#[derive(Clone, Copy, Debug)]
enum Asked {
    Look,
    Fence(Timestamp),
    Commit(Timestamp),
    Write,
}

/// On which condition a proxy writes.
#[derive(Clone, Copy, Debug)]
enum Demand {
    /// The client's.
    Asked,
    /// This version is the newest: somebody is helped.
    IsNewest(Timestamp),
    /// Nothing newer is there than this tombstone: a plain deletion is finished.
    NotAfter(Timestamp),
}

/// A write that a proxy does: its client's, or of somebody whom it helps.
#[derive(Clone, Debug)]
struct Task {
    proposal: Proposal,
    token: u64,
    demand: Demand,
}

impl Task {
    fn helps(&self) -> Option<Timestamp> {
        if let Demand::IsNewest(version) = self.demand { Some(version) } else { None }
    }
}

struct Proxy {
    ask: Ask,
    start: u64,
    /// What was answered, and when. Nothing: surely nothing was done.
    answer: Option<(Option<Said>, u64)>,
    is_dead: bool,
    tasks: Vec<Task>,
    asked: Asked,
    question: u64,
    votes: Vec<(Vote, Value)>,
    commits: Commits,
    /// What a plain write was sent as, and how often.
    written: Timestamp,
    tries: u32,
    /// What stands in its way.
    fence: Timestamp,
    refusals: Refusals,
    /// The replicas that have answered.
    heard: Vec<usize>,
}

impl Proxy {
    fn is_at_work(&self) -> bool {
        self.answer.is_none() && !self.is_dead
    }
}

struct World {
    rng: Rng,
    fault: Fault,
    /// How far clocks differ, in events. Plain PUTs go by their clock, so there are none then.
    skew: u64,
    now: u64,
    tokens: u64,
    replicas: Vec<Replica>,
    proxies: Vec<Proxy>,
    messages: Vec<Envelope>,
}

impl World {
    fn new(seed: u64, fault: Fault) -> Self {
        let mut rng = Rng::with_seed(seed);
        let skew = if rng.bool() { 40 } else { 0 };
        let (proxies, messages) = (Vec::new(), Vec::new());
        Self { rng, fault, skew, now: 0, tokens: 0, replicas: vec![Replica::default(); 3], proxies, messages }
    }

    /// What a proxy's clock shows.
    fn clock(&mut self) -> u64 {
        (10 + self.now + self.rng.u64(..=self.skew)) * TICKS
    }

    /// Lives through a schedule, and gives what clients know.
    fn run(&mut self) -> Vec<Operation> {
        for _ in 0..EVENTS {
            self.now += 1;
            match self.rng.usize(..100) {
                0..4 if self.proxies.len() < OPERATIONS => self.begin(None),
                0..5 => self.crash(),
                5..8 => self.replicate(),
                8..12 => self.lose_patience(),
                _ => self.deliver(),
            }
        }
        self.replicas.iter_mut().for_each(|replica| replica.is_down = false);
        self.proxies.iter_mut().for_each(|proxy| proxy.is_dead = true);
        self.now += 1;
        self.begin(Some(Ask::Read));
        for _ in 0..DELIVERIES {
            self.now += 1;
            self.deliver();
        }
        self.proxies.iter().filter_map(operation).collect()
    }

    fn begin(&mut self, ask: Option<Ask>) {
        let number = self.proxies.len() as u64 + 1;
        let known = Some(self.rng.u64(1..=number));
        let drawn = match self.rng.usize(..10) {
            0..4 => Ask::Swap(None, Some(number)),
            4..7 => Ask::Swap(known, Some(number)),
            7 => Ask::Swap(known, None),
            8 => Ask::Write(Some(number).filter(|_| self.skew == 0 && self.rng.bool())),
            _ => Ask::Read,
        };
        let ask = ask.unwrap_or(drawn);
        let value = if let Ask::Swap(_, value) | Ask::Write(value) = ask { value } else { None };
        let task = Task { proposal: Proposal::new(3), token: self.hold(value), demand: Demand::Asked };
        self.proxies.push(Proxy {
            ask,
            start: self.now,
            answer: None,
            is_dead: false,
            tasks: vec![task],
            asked: Asked::Look,
            question: 0,
            votes: Vec::new(),
            commits: Commits::default(),
            written: Timestamp::ZERO,
            tries: 0,
            fence: Timestamp::ZERO,
            refusals: Refusals::default(),
            heard: Vec::new(),
        });
        let (proxy, written) = (self.proxies.len() - 1, Timestamp::from_ticks(self.clock()));
        match ask {
            Ask::Write(value) => self.write(proxy, written, value),
            Ask::Swap(..) | Ask::Read => self.look(proxy),
        }
    }

    /// All who are up hold a body.
    fn hold(&mut self, value: Value) -> u64 {
        self.tokens += 1;
        for replica in self.replicas.iter_mut().filter(|replica| !replica.is_down) {
            replica.held.insert(self.tokens, value);
        }
        self.tokens
    }

    fn look(&mut self, proxy: usize) {
        self.send(proxy, Asked::Look, Message::Attend { ballot: None });
    }

    fn write(&mut self, proxy: usize, written: Timestamp, value: Value) {
        let its = &mut self.proxies[proxy];
        (its.written, its.tries) = (written, its.tries + 1);
        (its.fence, its.refusals) = (Timestamp::ZERO, Refusals::default());
        self.send(proxy, Asked::Write, Message::Write { written, value });
    }

    /// Asks all replicas.
    fn send(&mut self, proxy: usize, asked: Asked, message: Message) {
        let its = &mut self.proxies[proxy];
        (its.asked, its.question) = (asked, its.question + 1);
        (its.votes, its.heard, its.commits) = (Vec::new(), Vec::new(), Commits { taken: 0, unknown: 3 });
        let question = its.question;
        self.messages.extend((0..3).map(|replica| Envelope { replica, proxy, question, message }));
    }

    /// A replica dies or comes back, or a proxy dies.
    fn crash(&mut self) {
        let (replica, proxy) = (self.rng.usize(..3), self.rng.usize(..OPERATIONS));
        if self.rng.usize(..4) == 0 {
            self.proxies.get_mut(proxy).into_iter().for_each(|proxy| proxy.is_dead = true);
        } else {
            let replica = &mut self.replicas[replica];
            replica.is_down = !replica.is_down;
            replica.held.clear();
        }
    }

    fn replicate(&mut self) {
        let (from, to) = (self.replicas[self.rng.usize(..3)].clone(), self.rng.usize(..3));
        let to = &mut self.replicas[to];
        let may = !from.is_down && !to.is_down && from.version > to.version;
        if may && (may_enter(from.version, to.fence, to.version) || self.fault == Fault::Forgetful) {
            to.take(from.version, from.value);
        }
    }

    /// A proxy goes on with what it has heard.
    fn lose_patience(&mut self) {
        let at_work: Vec<_> = (0..self.proxies.len()).filter(|i| self.proxies[*i].is_at_work()).collect();
        if !at_work.is_empty() {
            let drawn = self.rng.usize(..at_work.len());
            self.conclude(at_work[drawn]);
        }
    }

    /// A message arrives, or is lost, or arrives and will again.
    fn deliver(&mut self) {
        if self.messages.is_empty() {
            return self.lose_patience();
        }
        let envelope = self.messages.swap_remove(self.rng.usize(..self.messages.len()));
        match self.rng.usize(..20) {
            0 => return,
            // A connection delivers a write once, and nobody sends the same again.
            1 if !matches!(envelope.message, Message::Commit { .. } | Message::Write { .. }) => {
                self.messages.push(envelope);
            }
            _ => {}
        }
        match envelope.message {
            Message::Voted { .. } | Message::Took { .. } => self.hear(envelope),
            _ => {
                let answer = self.serve(envelope);
                self.messages.extend(answer.map(|message| Envelope { message, ..envelope }));
            }
        }
    }

    /// What a replica does with a request.
    fn serve(&mut self, envelope: Envelope) -> Option<Message> {
        let is_forgetful = self.fault == Fault::Forgetful;
        let replica = &mut self.replicas[envelope.replica];
        match envelope.message {
            _ if replica.is_down => None,
            Message::Attend { ballot } => {
                let promised = ballot.filter(|ballot| may_promise(*ballot, replica.fence, replica.version));
                let above_another = promised.is_some() && replica.fence > Timestamp::ZERO;
                replica.fence = promised.unwrap_or(replica.fence);
                let newest = replica.version.max(replica.fence);
                let vote = Vote { version: replica.version, newest, promised: promised.is_some(), above_another };
                Some(Message::Voted { vote, value: replica.value })
            }
            Message::Commit { ballot, token } => {
                let may = may_commit(ballot, replica.fence, replica.version) || is_forgetful;
                let held = if may { replica.held.remove(&token) } else { None };
                held.into_iter().for_each(|value| replica.take(ballot, value));
                // Who asks twice is told twice.
                let taken = held.is_some() || replica.version == ballot;
                Some(Message::Took { taken, version: replica.version, fence: replica.fence })
            }
            Message::Write { written, value } => {
                // A newer plain version is as good as this one having been there before it.
                let taken = may_enter(written, replica.fence, replica.version) || is_forgetful;
                let (version, fence) = (replica.version, replica.fence);
                if taken {
                    replica.take(written, value);
                }
                Some(Message::Took { taken, version, fence })
            }
            Message::Release { ballot } => {
                if replica.fence == ballot {
                    replica.fence = Timestamp::ZERO;
                }
                None
            }
            Message::Voted { .. } | Message::Took { .. } => None,
        }
    }

    fn hear(&mut self, envelope: Envelope) {
        let proxy = &mut self.proxies[envelope.proxy];
        // What comes twice is heard once: a connection has one answer.
        if !proxy.is_at_work() || proxy.question != envelope.question || proxy.heard.contains(&envelope.replica) {
            return;
        }
        proxy.heard.push(envelope.replica);
        match envelope.message {
            Message::Voted { vote, value } => proxy.votes.push((vote, value)),
            Message::Took { taken, version, fence } => {
                proxy.commits.unknown -= 1;
                proxy.commits.taken += usize::from(taken);
                proxy.refusals.taken += usize::from(taken);
                if !taken {
                    proxy.fence = proxy.fence.max(fence).max(version);
                    proxy.refusals.by_version += usize::from(version > proxy.written);
                    proxy.refusals.by_promise += usize::from(version <= proxy.written);
                }
            }
            _ => {}
        }
        if proxy.heard.len() == 3 {
            self.conclude(envelope.proxy);
        }
    }

    /// Decides by what was heard.
    fn conclude(&mut self, number: usize) {
        let fault = self.fault;
        let clock = self.clock();
        let nonce = self.rng.u16(..);
        let proxy = &mut self.proxies[number];
        let (ask, commits, refusals) = (proxy.ask, proxy.commits, proxy.refusals);
        if fault == Fault::Hasty {
            believe_the_newest(&mut proxy.votes);
        }
        let votes: Vec<Vote> = proxy.votes.iter().map(|(vote, _)| *vote).collect();
        let values: Vec<Value> = proxy.votes.iter().map(|(_, value)| *value).collect();
        let task = proxy.tasks.last_mut().expect("a task until there is an answer");
        let (helps, demand) = (task.helps(), task.demand);
        let meets = |i: usize| -> Result<bool, ()> {
            Ok(match (demand, ask) {
                (Demand::IsNewest(version), _) => votes[i].version == version,
                (Demand::NotAfter(version), _) => votes[i].version <= version,
                (Demand::Asked, Ask::Swap(from, _)) => values[i] == from,
                (Demand::Asked, _) => false,
            })
        };
        let holders = |version| votes.iter().filter(|vote| vote.version == version).count();
        let helped = helps.filter(|version| holders(*version) >= majority(3)).map(Step::Done);
        let step = match (proxy.asked, helped) {
            (Asked::Look | Asked::Fence(_), Some(done)) => done,
            (Asked::Look, None) => task.proposal.looked(&votes, meets).expect("no error"),
            (Asked::Fence(ballot), None) => task.proposal.fenced(ballot, &votes, meets).expect("no error"),
            (Asked::Commit(ballot), _) => task.proposal.committed(ballot, commits),
            (Asked::Write, _) => return self.written(number, commits),
        };
        let finishes = matches!(demand, Demand::NotAfter(_));
        if let Asked::Fence(ballot) = proxy.asked
            && step != Step::Commit
        {
            let asked = proxy.heard.iter().zip(&votes);
            let may = |vote: &Vote| vote.may_release() || vote.promised && fault == Fault::Careless;
            let released: Vec<usize> = asked.filter(|(_, vote)| may(vote)).map(|(replica, _)| *replica).collect();
            let question = proxy.question;
            let release = |replica| Envelope { replica, proxy: number, question, message: Message::Release { ballot } };
            self.messages.extend(released.into_iter().map(release));
        }
        let proxy = &mut self.proxies[number];
        let task = proxy.tasks.last_mut().expect("a task until there is an answer");
        match (step, proxy.asked) {
            (Step::Fence(after), _) => {
                let ticks = clock.max(after.ticks() + 1);
                let ballot = Timestamp::from_ticks(ticks).as_ballot(nonce);
                let creates = matches!((demand, ask), (Demand::Asked, Ask::Swap(None, _)));
                let ballot = if creates { ballot.as_creation() } else { ballot };
                self.send(number, Asked::Fence(ballot), Message::Attend { ballot: Some(ballot) });
            }
            (Step::Commit, Asked::Fence(ballot)) => {
                let token = task.token;
                self.send(number, Asked::Commit(ballot), Message::Commit { ballot, token });
            }
            (Step::Done(version), _) if helps.is_some() => self.end_help(number, Some(version)),
            (Step::Unmet(_) | Step::Help(_) | Step::Failed(_), _) if helps.is_some() => self.end_help(number, None),
            (Step::Help(newest), _) => {
                let (version, value) = (votes[newest].version, values[newest]);
                let token = self.hold(value);
                let help = Task { proposal: Proposal::new(3), token, demand: Demand::IsNewest(version) };
                self.proxies[number].tasks.push(help);
                self.look(number);
            }
            (Step::Done(_), _) => self.answer(number, Some(Said::Done)),
            (Step::Unmet(newest), _) if finishes => {
                let is_before = refusals.has_happened_before(votes[newest].version, values[newest].is_none(), 3);
                self.answer(number, Some(if is_before { Said::Done } else { Said::Perhaps }));
            }
            (Step::Failed(_), _) if finishes => self.answer(number, Some(Said::Perhaps)),
            (Step::Unmet(newest), _) => self.answer(number, Some(Said::Sees(values[newest]))),
            (Step::Failed(Failure::Unknown), _) => self.answer(number, Some(Said::Perhaps)),
            // The last read is asked until it is told.
            (Step::Failed(_), _) if ask == Ask::Read => {
                self.proxies[number].tasks[0].proposal = Proposal::new(3);
                self.look(number);
            }
            (Step::Failed(_), _) => self.answer(number, None),
            (Step::Again | Step::Commit, _) => self.look(number),
        }
    }

    fn end_help(&mut self, number: usize, done: Option<Timestamp>) {
        let proxy = &mut self.proxies[number];
        let help = proxy.tasks.pop().expect("a help");
        let helped = help.helps();
        let tried = help.proposal.into_own().into_iter().chain(done).collect();
        if let (Some(task), Some(version)) = (proxy.tasks.last_mut(), helped) {
            task.proposal.helped(version, tried);
        }
        self.look(number);
    }

    fn written(&mut self, number: usize, commits: Commits) {
        let Commits { taken, unknown } = commits;
        let proxy = &self.proxies[number];
        let is_deletion = proxy.ask == Ask::Write(None) && taken + unknown < 3;
        let next = match (Refusals { unknown, ..proxy.refusals }).next(3) {
            // Nobody stood in its way, or it has a body, which is sent once.
            Next::Later | Next::Finish if !is_deletion => Next::Unknown,
            Next::Finish | Next::Unknown if is_deletion && self.fault == Fault::Repeats => Next::Later,
            next => next,
        };
        let (written, fence, tries) = (proxy.written, proxy.fence, proxy.tries);
        match next {
            Next::Done => self.answer(number, Some(Said::Done)),
            Next::Later if tries < 5 => {
                let later = Timestamp::from_ticks(self.clock().max(fence.ticks() + 1));
                self.write(number, later, None);
            }
            Next::Finish => {
                let finish =
                    Task { proposal: Proposal::new(3), token: self.hold(None), demand: Demand::NotAfter(written) };
                self.proxies[number].tasks = vec![finish];
                self.look(number);
            }
            Next::Later | Next::Unknown => self.answer(number, Some(Said::Perhaps).filter(|_| taken + unknown > 0)),
        }
    }

    fn answer(&mut self, number: usize, said: Option<Said>) {
        self.proxies[number].answer = Some((said, self.now));
    }
}

/// As if those who know less had said the same as who knows most.
fn believe_the_newest(votes: &mut [(Vote, Value)]) {
    let Some(newest) = votes.iter().max_by_key(|(vote, _)| vote.version).copied() else { return };
    for (vote, value) in votes {
        (vote.version, *value) = (newest.0.version, newest.1);
    }
}

/// What a client knows.
fn operation(proxy: &Proxy) -> Option<Operation> {
    let (said, end) = proxy.answer.unwrap_or((Some(Said::Perhaps), u64::MAX));
    Some(Operation { start: proxy.start, end, ask: proxy.ask, said: said? })
}

/// The first schedule whose answers nothing explains.
fn first_violation(fault: Fault, schedules: u64) -> Option<String> {
    let base = std::env::var("BALLOT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    (base..base + schedules).find_map(|seed| {
        let operations = World::new(seed, fault).run();
        let told = operations.last().is_some_and(|read| matches!(read.said, Said::Sees(_)));
        let checked = if told { check(&operations) } else { Err(format!("the last read has no end: {operations:?}")) };
        checked.err().map(|why| format!("seed {seed}: {why}"))
    })
}

#[test]
fn some_order_explains_what_every_client_is_told() {
    if let Some(violation) = first_violation(Fault::None, SCHEDULES) {
        panic!("{violation}");
    }
}

#[test]
fn without_promises_it_goes_wrong() {
    assert!(first_violation(Fault::Forgetful, SCHEDULES).is_some(), "the model does not find what it is for");
}

#[test]
fn it_goes_wrong_when_a_minority_is_believed() {
    assert!(first_violation(Fault::Hasty, SCHEDULES).is_some(), "the model does not find what it is for");
}

#[test]
fn it_goes_wrong_when_a_deletion_is_done_twice() {
    assert!(first_violation(Fault::Repeats, SCHEDULES).is_some(), "the model does not find what it is for");
}

#[test]
fn it_goes_wrong_when_a_promise_is_taken_back_that_others_count_on() {
    assert!(first_violation(Fault::Careless, 20 * SCHEDULES).is_some(), "the model does not find what it is for");
}

#[test]
fn writes_succeed_most_of_the_time() {
    let mut said = BTreeMap::new();
    for seed in 0..2000 {
        for operation in World::new(seed, Fault::None).run().iter().filter(|o| !matches!(o.ask, Ask::Read)) {
            *said.entry(format!("{:?}", operation.said).replace(char::is_numeric, "")).or_insert(0) += 1;
        }
    }
    println!("{said:?}");
    let of = |what: &str| said.get(what).copied().unwrap_or(0);
    assert!(of("Done") > of("Perhaps") / 2, "{said:?}");
}
