//! What proxies do for their clients: they ask all replicas, and decide by what they hear.

use apus_base::ballot::deletion::{Next, Refusals};
use apus_base::ballot::{Commits, Failure, Proposal, Step, Vote, majority};
use apus_base::timestamp::Timestamp;
use apus_tests::linear::{Ask, Said, Value};

use super::replica::{Envelope, Message};
use super::world::{Fault, World};

/// What a proxy has asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Look,
    Fence(Timestamp),
    Commit(Timestamp),
    Write,
}

/// On which condition a proxy writes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Demand {
    /// The client's.
    Asked,
    /// This version is the newest: somebody is helped.
    IsNewest(Timestamp),
    /// Nothing newer is there than this tombstone: a plain deletion is finished.
    NotAfter(Timestamp),
}

/// A write that a proxy does: its client's, or of somebody whom it helps.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) proposal: Proposal,
    pub(super) token: u64,
    pub(super) demand: Demand,
}

impl Task {
    fn helps(&self) -> Option<Timestamp> {
        if let Demand::IsNewest(version) = self.demand { Some(version) } else { None }
    }
}

pub(super) struct Proxy {
    pub(super) ask: Ask,
    pub(super) start: u64,
    /// What was answered, and when. Nothing: surely nothing was done.
    pub(super) answer: Option<(Option<Said>, u64)>,
    pub(super) is_dead: bool,
    pub(super) tasks: Vec<Task>,
    pub(super) asked: Asked,
    pub(super) question: u64,
    pub(super) votes: Vec<(Vote, Value)>,
    pub(super) commits: Commits,
    /// What a plain write was sent as, and how often.
    pub(super) written: Timestamp,
    pub(super) tries: u32,
    /// What stands in its way.
    pub(super) fence: Timestamp,
    pub(super) refusals: Refusals,
    /// The replicas that have answered.
    pub(super) heard: Vec<usize>,
}

impl Proxy {
    pub(super) fn is_at_work(&self) -> bool {
        self.answer.is_none() && !self.is_dead
    }
}

impl World {
    pub(super) fn begin(&mut self, ask: Option<Ask>) {
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

    pub(super) fn hear(&mut self, envelope: Envelope) {
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
    pub(super) fn conclude(&mut self, number: usize) {
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
