//! Whether what clients saw of one object can have happened in some order, one operation after the other: a search for
//! an order in which each answer is true, and in which whatever was answered before something else began comes first
//! (Wing and Gong, 1993, with the memory of Lowe, 2017).
//!
//! An operation without an answer, or with one that means "perhaps", may have happened at any time after it began, or never.

use std::collections::HashSet;

/// What is at the name: the number of the write whose bytes are there, or nothing.
pub type Value = Option<u64>;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// To write, whatever is there.
    Write(Value),
    /// To write if this is there: `If-None-Match: *` for nothing, else `If-Match`.
    Swap(Value, Value),
    /// To know what is there.
    Read,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// It is done.
    Done,
    /// What is there is not what was asked for.
    Unmet,
    /// This is there.
    Sees(Value),
    /// Perhaps it is done, or will be.
    Perhaps,
}

/// One operation of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// When it began, on the clock of all clients.
    pub start: u64,
    /// When it was answered.
    pub end: u64,
    /// What was asked for.
    pub ask: Ask,
    /// What was answered.
    pub said: Said,
}

impl Operation {
    fn must_happen(&self) -> bool {
        self.said != Said::Perhaps
    }

    /// What is there after it, if its answer can be true where `state` is there before.
    fn apply(&self, state: Value) -> Option<Value> {
        match (self.ask, self.said) {
            (Ask::Write(value), Said::Done | Said::Perhaps) => Some(value),
            (Ask::Swap(from, to), Said::Done | Said::Perhaps) => (state == from).then_some(to),
            (Ask::Swap(from, _), Said::Unmet) => (state != from).then_some(state),
            (_, Said::Sees(seen)) => (state == seen).then_some(state),
            (Ask::Read, _) | (Ask::Write(_), Said::Unmet) => Some(state),
        }
    }
}

/// Looks for an order, from nothing being there.
///
/// # Errors
/// The operations, if there is none.
pub fn check(operations: &[Operation]) -> Result<(), String> {
    let mut search = Search { operations, dead_ends: HashSet::new() };
    if search.goes_on(&mut vec![0; operations.len().div_ceil(64)], None) {
        return Ok(());
    }
    let mut lines: Vec<_> = operations.to_vec();
    lines.sort_by_key(|operation| operation.start);
    let lines: Vec<_> = lines.iter().map(|operation| format!("    {operation:?}")).collect();
    Err(format!("no order explains these answers:\n{}", lines.join("\n")))
}

struct Search<'a> {
    operations: &'a [Operation],
    /// What has happened, and what was there then, from where nothing leads on.
    dead_ends: HashSet<(Vec<u64>, Value)>,
}

impl Search<'_> {
    fn goes_on(&mut self, done: &mut Vec<u64>, state: Value) -> bool {
        let has = |done: &[u64], i: usize| done[i / 64] >> (i % 64) & 1 == 1;
        let open = |done: &[u64]| (0..self.operations.len()).filter(|i| !has(done, *i)).collect::<Vec<_>>();
        let left = open(done);
        let Some(first_end) =
            left.iter().map(|i| self.operations[*i]).filter(Operation::must_happen).map(|o| o.end).min()
        else {
            return true;
        };
        if self.dead_ends.contains(&(done.clone(), state)) {
            return false;
        }
        // Whatever began after something else was answered comes after it.
        let mut can: Vec<_> = left.into_iter().filter(|i| self.operations[*i].start <= first_end).collect();
        can.sort_by_key(|i| self.operations[*i].end);
        for i in can {
            let operation = self.operations[i];
            let Some(next) = operation.apply(state) else { continue };
            done[i / 64] |= 1 << (i % 64);
            if self.goes_on(done, next) {
                return true;
            }
            done[i / 64] &= !(1 << (i % 64));
            // What never changes anything may as well happen now: if that leads nowhere, nothing does.
            if matches!(operation.said, Said::Unmet | Said::Sees(_)) {
                break;
            }
        }
        self.dead_ends.insert((done.clone(), state));
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation(start: u64, end: u64, ask: Ask, said: Said) -> Operation {
        Operation { start, end, ask, said }
    }

    fn create(start: u64, end: u64, value: u64, said: Said) -> Operation {
        operation(start, end, Ask::Swap(None, Some(value)), said)
    }

    #[test]
    fn one_creator_wins() {
        let lost = create(0, 9, 2, Said::Unmet);
        assert!(check(&[create(0, 9, 1, Said::Done), lost]).is_ok());
        assert!(check(&[create(0, 9, 1, Said::Done), create(0, 9, 2, Said::Done)]).is_err(), "two have won");
        assert!(check(&[lost]).is_err(), "nobody has won");
        assert!(check(&[create(0, 9, 1, Said::Perhaps), lost]).is_ok());
        // The winner began after the loser was told.
        assert!(check(&[create(10, 11, 1, Said::Done), lost]).is_err());
    }

    #[test]
    fn what_perhaps_happened_happens_once_or_never() {
        let perhaps = create(0, 1, 1, Said::Perhaps);
        let swap = |from: u64, to: u64, start| operation(start, start + 1, Ask::Swap(Some(from), Some(to)), Said::Done);
        assert!(check(&[perhaps, create(5, 6, 2, Said::Done)]).is_ok());
        assert!(check(&[perhaps, swap(1, 2, 5)]).is_ok(), "it happened");
        assert!(check(&[perhaps, swap(1, 2, 5), swap(1, 3, 7)]).is_err(), "it happened twice");
        let back = operation(7, 8, Ask::Read, Said::Sees(Some(1)));
        assert!(check(&[perhaps, create(5, 6, 2, Said::Done), back]).is_err(), "it came back");
    }

    #[test]
    fn answers_are_about_the_time_between_asking_and_hearing() {
        let delete = |start, end| operation(start, end, Ask::Write(None), Said::Done);
        let [one, two] = [create(0, 1, 1, Said::Done), create(4, 5, 2, Said::Done)];
        assert!(check(&[one, delete(2, 3), two]).is_ok());
        assert!(check(&[one, delete(6, 7), two]).is_err());
        assert!(check(&[one, delete(2, 9), two]).is_ok(), "the deletion overlaps");
        let early = [operation(0, 9, Ask::Write(None), Said::Done), create(1, 9, 1, Said::Done)];
        assert!(
            check(&[&early[..], &[create(10, 11, 2, Said::Done)]].concat()).is_ok(),
            "it was deleted where it mattered"
        );
        let stale = operation(6, 7, Ask::Read, Said::Sees(Some(1)));
        assert!(check(&[one, delete(2, 3), two, stale]).is_err());
    }

    #[test]
    fn a_long_history_with_many_at_once_is_searched_quickly() {
        let swaps = (1..200u64).map(|i| {
            let from = if i == 1 { None } else { Some(i - 1) };
            operation(i * 10, i * 10 + 35, Ask::Swap(from, Some(i)), Said::Done)
        });
        let losers = (1..200u64).map(|i| operation(i * 10, i * 10 + 35, Ask::Swap(Some(9999), Some(i)), Said::Unmet));
        let mut history: Vec<_> = swaps.chain(losers).collect();
        assert!(check(&history).is_ok());
        history.push(operation(1500, 1600, Ask::Read, Said::Sees(Some(9999))));
        assert!(check(&history).is_err());
    }
}
