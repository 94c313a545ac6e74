//! Requests that stand for many operations, and how they are answered: with 200 at once, whitespace while the work goes
//! on, so that nobody takes the silence for a failure, and at the end a report of what became of it.

pub mod heartbeat;
pub mod report;
