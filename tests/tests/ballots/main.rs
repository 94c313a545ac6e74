//! Conditional writes in a model: proxies that decide with the real [`Proposal`], replicas that promise by the real rules, and
//! between them messages that come late, in any order, twice (but for writes) or never, while both die and come back. What the clients
//! are told has to be explained by some order ([`apus_tests::linear`]). Everything is drawn from a seed, which a failure shows.

mod proxy;
mod replica;
mod world;

use std::collections::BTreeMap;

use apus_tests::linear::{Ask, Said, check};

use world::{Fault, World};

/// Schedules in a run; each is a few hundred events.
const SCHEDULES: u64 = 20_000;

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
