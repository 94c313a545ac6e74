//! `PUT` with `?extract-archive=tar|tar.gz|tar.bz2`: the files of the archive in the body become objects below the path.

use std::time::Duration;

use http::{Response, StatusCode};

use apus_base::body::Body;

use super::report::Report;
use super::{Ended, accepted, heartbeat};
use crate::constraints::{Constraints, message_length};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::bulk::expand::Compression;
use crate::ops::bulk::extract::{Extract, Extracted, Failure, GivenUp, extract};
use crate::ops::resource::Resource;
use crate::swift::refusal::Refusal;

/// Stores the files of the archive in `body` below `resource`.
pub(super) async fn answer(
    call: Call<'_>,
    resource: &Resource,
    compression: Compression,
    body: Body,
) -> Response<Body> {
    let (proxy, parts) = (call.proxy.clone(), call.parts.clone());
    let format = accepted(&parts.headers);
    let every = Duration::from_secs(proxy.config.bulk.yield_frequency);
    let archive = Extract { account: resource.account().to_owned(), base: base(resource), compression, body };
    let work = async move {
        let mut done = Extracted::default();
        let ended = match (format, message_length(&parts.headers)) {
            (None, _) => Err(Ended::with(StatusCode::NOT_ACCEPTABLE, "")),
            (_, Err(reason)) => Err(Error::from(reason).into()),
            _ => extract(Call { proxy: &proxy, parts: &parts }, archive, &mut done).await.map_err(Ended::from),
        };
        report(done, ended, &proxy.config.constraints)
    };
    heartbeat::answer(Box::pin(work), format, every).await
}

/// What names in the archive are put behind.
fn base(resource: &Resource) -> String {
    let base = match resource {
        Resource::Account(_) => String::new(),
        Resource::Container(_, container) => container.clone(),
        Resource::Object(name) => format!("{}/{}", name.container, name.object),
    };
    base.trim_end_matches('/').to_owned()
}

impl From<GivenUp> for Ended {
    fn from(reason: GivenUp) -> Self {
        match reason {
            GivenUp::Unauthorized => Self::with(StatusCode::UNAUTHORIZED, ""),
            GivenUp::Containers(_) | GivenUp::Archive(_) => Self::with(StatusCode::BAD_REQUEST, reason.to_string()),
        }
    }
}

fn report(done: Extracted, ended: Result<(), Ended>, constraints: &Constraints) -> Report {
    let mut report = Report::new("extract", StatusCode::CREATED);
    report.set("Number Files Created", done.created);
    let longest = constraints.max_object_name_length + constraints.max_container_name_length + 2;
    let mut failed_there = false;
    for (mut path, failure) in done.failed {
        let status = status(failure);
        failed_there |= status.is_server_error();
        path.truncate(longest);
        report.fail(&path, status);
    }
    match ended {
        Err(ended) => report.end(ended.status, ended.text),
        Ok(()) if report.failures() > 0 && failed_there => report.end(StatusCode::BAD_GATEWAY, ""),
        Ok(()) if report.failures() > 0 => report.end(StatusCode::BAD_REQUEST, ""),
        Ok(()) if done.created == 0 => report.end(StatusCode::BAD_REQUEST, "Invalid Tar File: No Valid Files"),
        Ok(()) => {}
    }
    report
}

fn status(failure: Failure) -> StatusCode {
    match failure {
        Failure::Name => StatusCode::PRECONDITION_FAILED,
        Failure::Climbs | Failure::Attribute => StatusCode::BAD_REQUEST,
        Failure::Sparse => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Failure::Operation(error) => Refusal::from(error).status(),
    }
}
