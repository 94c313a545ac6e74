//! A pass that an operator runs: the process that has the listings open does it, and says how it goes.

use crate::db::Kind;
use crate::link::{Link, LinkError, Stream};
use crate::pass::{self, Filter, Lines, Pass, Report};
use crate::wire::listings::{ListingAnswer, ListingRequest};
use crate::wire::replication::{Refusal, Request};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Lines that wait for a slow asker.
const MAX_LINES: usize = 16;

/// Why a node did not run a pass.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Its servers do not run, or cannot be reached.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// They do not do that.
    #[error("it refused: {0}")]
    Refused(Refusal),
    /// Another version, perhaps.
    #[error("its answer makes no sense")]
    Nonsense,
}

/// Which pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Replication.
    Replicate,
    /// The audit.
    Audit,
}

/// Has the process that answers at `host` and `port` run a pass over one kind of listings, gives `say` its lines, and
/// returns what it could not do.
///
/// # Errors
/// When it does not answer to the end.
pub async fn ask(
    link: &Link,
    (host, port): (&str, u16),
    what: What,
    kind: Kind,
    filter: &Filter,
    mut say: impl FnMut(&str),
) -> Result<u64, AskError> {
    let (devices, partitions) = (filter.devices.iter().cloned().collect(), filter.partitions.iter().copied().collect());
    let Stream { mut sender, mut receiver } = link.open(host, port).await?;
    let request = match what {
        What::Replicate => ListingRequest::Run { kind, devices, partitions },
        What::Audit => ListingRequest::Audit { kind, devices, partitions },
    };
    sender.message(&Request::Listings(request)).await?;
    loop {
        match receiver.message().await? {
            Some(ListingAnswer::Said(line)) => say(&line),
            Some(ListingAnswer::Ran { failures }) => {
                sender.finish();
                return Ok(failures);
            }
            Some(ListingAnswer::Refused(refusal)) => return Err(AskError::Refused(refusal)),
            _ => return Err(AskError::Nonsense),
        }
    }
}

/// Runs a pass for an asker; if the asker goes away, the pass stops.
///
/// # Errors
/// When the asker is gone.
pub async fn answer<P: Pass>(pass: &P, filter: &Filter, stream: &mut Stream) -> Result<(), LinkError> {
    let stop = CancellationToken::new();
    let _stop_at_end = stop.clone().drop_guard();
    let (lines, mut said) = mpsc::channel::<String>(MAX_LINES);
    let passing = async {
        let mut due = Lines::new(P::NAME);
        // Whoever reads slowly misses lines, but for the last.
        let show = |report: &Report| _ = due.due(report).map(|line| lines.try_send(line));
        let report = pass::once(pass, filter, &stop, show).await;
        // Nobody is left to read it if this fails.
        let _ = lines.send(due.line(&report)).await;
        drop(lines);
        report
    };
    let telling = async {
        while let Some(line) = said.recv().await {
            stream.sender.message(&ListingAnswer::Said(line)).await?;
        }
        Ok::<_, LinkError>(())
    };
    let (report, told) = tokio::join!(passing, telling);
    told?;
    stream.sender.message(&ListingAnswer::Ran { failures: report.failures() }).await?;
    stream.sender.finish();
    Ok(())
}
