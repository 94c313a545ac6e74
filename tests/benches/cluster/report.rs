//! The table.

use std::time::Duration;

use apus_tests::load::Outcome;
use apus_tests::readable;

use crate::Kind;

/// The first line.
pub(crate) fn heading() {
    println!(
        "{:<7}{:>9}{:>7}{:>9}{:>10}{:>9}{:>9}{:>9}{:>11}{:>14}",
        "kind", "size", "conns", "requests", "ops/s", "MB/s", "p50 ms", "p99 ms", "CPU us/op", "client us/op"
    );
}

/// A line for one kind of request.
pub(crate) fn row(kind: Kind, size: usize, connections: usize, outcome: &Outcome, processor: Duration) {
    println!(
        "{:<7}{:>9}{:>7}{:>9}{:>10.0}{:>9.1}{:>9.2}{:>9.2}{:>11.0}{:>14.0}",
        format!("{kind:?}").to_uppercase(),
        readable(size),
        connections,
        outcome.count(),
        outcome.rate(),
        outcome.megabytes(),
        outcome.percentile(50),
        outcome.percentile(99),
        outcome.each(processor),
        outcome.each(outcome.processor),
    );
}
