//! `apus pass replicate-listings`, and the listings' part of `apus pass audit`: asks the servers of this node, which have the
//! listings open, to do it.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use apus_base::db::Kind;
use apus_base::link::Link;
use apus_base::listing::ask;

use crate::cli;
use crate::error::StartError;
use crate::pass::Run;

/// Runs until it is done or told to stop; for ever unless `once`.
pub(crate) async fn run(
    link: &Link,
    own: &[(Kind, SocketAddr)],
    run: &Run,
    pause: Duration,
) -> Result<ExitCode, StartError> {
    loop {
        let asked = tokio::select! {
            asked = ask_all(ask::What::Replicate, link, own, run) => asked,
            () = run.stop.cancelled() => return Ok(ExitCode::FAILURE),
        };
        match asked {
            Ok(failures) if run.once => {
                return Ok(if failures == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE });
            }
            Err(error) if run.once => return Err(error),
            Err(error) => tracing::warn!(%error, "a pass was not run"),
            Ok(_) => {}
        }
        tokio::select! {
            () = run.stop.cancelled() => return Ok(ExitCode::SUCCESS),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

pub(crate) async fn ask_all(
    what: ask::What,
    link: &Link,
    own: &[(Kind, SocketAddr)],
    run: &Run,
) -> Result<u64, StartError> {
    let mut failures = 0;
    for (kind, address) in own {
        let (host, port) = (address.ip().to_string(), address.port());
        failures += ask::ask(link, (&host, port), what, *kind, &run.filter, cli::say).await?;
    }
    Ok(failures)
}
