//! Static large objects as clients of Swift ask for them: `?multipart-manifest=put`, `get` and `delete`, `?part-number=`.

use std::num::NonZeroU32;
use std::time::Duration;

use apus_base::body::{self, Body, BodyError};
use http::header::{ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::bulk::delete::Tally;
use super::bulk::report::Report;
use super::bulk::{Ended, accepted, heartbeat};
use super::listing::parameters;
use super::manifest::parse;
use super::object::stored;
use super::refusal::{Refusal, operation};
use super::response::{page, page_lines, status_line};
use super::versions;
use crate::constraints::{BadLength, is_yes, message_length};
use crate::error::Error;
use crate::middleware::accept::Format;
use crate::ops::Call;
use crate::ops::large::delete;
use crate::ops::large::put::{Flaw, Problem, PutSlo, Rules, put as put_slo};
use crate::ops::large::{LargeError, View};
use crate::ops::notification::Made;
use crate::ops::put::Stored;
use crate::ops::resource::ObjectName;
use crate::ops::versions::Version;

/// What a request may not have: only a manifest makes a large object.
pub(super) const RESERVED: &str = "x-static-large-object";

/// The parameters by which a request is about a large object.
#[derive(Debug, Default)]
pub(super) struct Asked {
    manifest: String,
    part: Option<String>,
    is_raw: bool,
    heartbeat: bool,
    later: bool,
}

impl Asked {
    /// From a query; of a parameter that is there twice, the last.
    pub(super) fn of(query: Option<&str>) -> Self {
        let mut asked = Self::default();
        for (name, value) in parameters(query.unwrap_or_default()) {
            let value = String::from_utf8_lossy(&value).into_owned();
            match name.as_str() {
                "multipart-manifest" => asked.manifest = value,
                "part-number" => asked.part = Some(value),
                "format" => asked.is_raw = value == "raw",
                "heartbeat" => asked.heartbeat = is_yes(&value),
                "async" => asked.later = is_yes(&value),
                _ => {}
            }
        }
        asked
    }

    /// Whether a PUT has a manifest.
    pub(super) fn puts(&self) -> bool {
        self.manifest == "put"
    }

    /// Whether a DELETE is of the segments too.
    pub(super) fn deletes(&self) -> bool {
        self.manifest == "delete"
    }

    /// How a read looks at a large object.
    pub(super) fn view(&self) -> View {
        match (self.manifest.as_str(), &self.part) {
            ("get", _) if self.is_raw => View::RawManifest,
            ("get", _) => View::Manifest,
            (_, Some(number)) => View::Part(part(number)),
            _ => View::Contents,
        }
    }
}

/// A part's number; one that is too large is a number all the same.
fn part(text: &str) -> Option<NonZeroU32> {
    let digits = text.trim();
    let is_number = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| digits.parse().unwrap_or(u32::MAX)).and_then(NonZeroU32::new)
}

/// PUT of a manifest.
pub(super) async fn put(
    call: Call<'_>,
    name: &ObjectName,
    asked: &Asked,
    body: Body,
) -> Result<Response<Body>, Refusal> {
    let headers = call.parts.headers.clone();
    let json = read(call, &headers, body).await?;
    let rules = Rules::of(&call.proxy.config.slo);
    let slo = PutSlo {
        segments: parse(&json, name)?,
        name: name.clone(),
        headers,
        condition: None,
        rules,
        made: Made::Completed,
    };
    drop(json);
    if !asked.heartbeat {
        let done = put_slo(call, slo).await.map_err(|error| refused(call, error))?;
        return Ok(stored(&done));
    }
    let format = accepted(&call.parts.headers).unwrap_or(Format::Text);
    let every = Duration::from_secs(call.proxy.config.slo.yield_frequency);
    let owned = call.owned();
    let work = async move { upload_report(put_slo(owned.call(), slo).await).await };
    Ok(heartbeat::answer_at_once(Box::pin(work), format, every))
}

async fn read(call: Call<'_>, headers: &HeaderMap, body: Body) -> Result<bytes::Bytes, Refusal> {
    let most = call.proxy.config.slo.max_manifest_size;
    let too_long = || Error::from(LargeError::ManifestTooLong(most));
    match message_length(headers) {
        Err(BadLength::Missing) => return Err(Refusal::Page(StatusCode::LENGTH_REQUIRED)),
        Err(bad) => return Err(Error::from(bad).into()),
        Ok(length) if length.is_some_and(|length| length > most as u64) => return Err(too_long().into()),
        Ok(_) => {}
    }
    let json = body::read_to_end(body, most).await.map_err(|error| match error {
        BodyError::TooLong(_) => too_long(),
        error => Error::Body(error),
    })?;
    Ok(json)
}

/// A refusal of segments in the form that the client takes.
pub(super) fn refused(call: Call<'_>, error: Error) -> Refusal {
    match error {
        Error::Large(LargeError::Problems(problems)) => {
            let format = accepted(&call.parts.headers).unwrap_or(Format::Text);
            let report = with_problems(Report::of_failures("upload"), &problems);
            Refusal::Report(HeaderValue::from_static(format.media_type()), report.render(format))
        }
        error => error.into(),
    }
}

fn with_problems(mut report: Report, problems: &[Problem]) -> Report {
    problems.iter().for_each(|problem| report.fail_with(problem.path.as_bytes(), flaw(&problem.why)));
    report
}

fn flaw(flaw: &Flaw) -> String {
    match flaw {
        Flaw::Unreadable(error) => status_line(operation(error, None).status()),
        Flaw::Range => "Unsatisfiable Range".into(),
        Flaw::TooSmall => "Too small; each segment must be at least 1 byte.".into(),
        Flaw::Size => "Size Mismatch".into(),
        Flaw::Etag => "Etag Mismatch".into(),
    }
}

/// What a client that was kept waiting gets to know.
async fn upload_report(done: Result<Stored, Error>) -> Report {
    let ended = |status, text: String| {
        let mut report = Report::new("upload", status);
        report.end(status, text);
        report
    };
    match done {
        Ok(done) => {
            let response = stored(&done);
            let mut report = ended(response.status(), String::new());
            for (name, header) in [("Etag", ETAG), ("Last Modified", LAST_MODIFIED)] {
                let value = response.headers().get(header).and_then(|value| value.to_str().ok());
                report.set(name, value.unwrap_or_default());
            }
            report
        }
        Err(Error::Large(LargeError::Problems(problems))) => {
            let refusal = StatusCode::BAD_REQUEST;
            with_problems(ended(refusal, page_lines(refusal)), &problems)
        }
        Err(Error::Large(LargeError::Etag)) => {
            let refusal = StatusCode::UNPROCESSABLE_ENTITY;
            ended(refusal, page_lines(refusal))
        }
        Err(error) => {
            let (head, body) = operation(&error, None).into_parts();
            // A page is in memory and short.
            let text = body::read_to_end(body, usize::MAX).await.unwrap_or_default();
            ended(head.status, String::from_utf8_lossy(&text).into_owned())
        }
    }
}

/// DELETE of a large object and its segments.
pub(super) async fn delete(call: Call<'_>, name: &ObjectName, asked: &Asked) -> Result<Response<Body>, Refusal> {
    let version = versions::asked(call)?;
    if asked.later && call.proxy.config.slo.allow_async_delete {
        return Ok(versions::deleted(&delete::delete_later(call, name, version, None).await?));
    }
    let format = accepted(&call.parts.headers);
    let every = Duration::from_secs(call.proxy.config.slo.yield_frequency);
    let (owned, name) = (call.owned(), name.clone());
    let work = async move {
        match format {
            Some(_) => delete_report(owned.call(), &name, version).await,
            None => {
                Tally::new().end(Err(Ended::with(StatusCode::NOT_ACCEPTABLE, page_lines(StatusCode::NOT_ACCEPTABLE))))
            }
        }
    };
    Ok(heartbeat::answer(Box::pin(work), format, every).await)
}

async fn delete_report(call: Call<'_>, name: &ObjectName, version: Option<Version>) -> Report {
    let mut tally = Tally::new();
    let count = |path: String, done| match done {
        Err(Error::Large(error)) => tally.fail_with(path.as_bytes(), error.to_string()),
        done => tally.count(path.as_bytes(), done),
    };
    let done = delete::delete(call, name, version, count).await;
    tally.end(done.map_err(|given_up| Ended::with(StatusCode::BAD_REQUEST, given_up.to_string())))
}

/// The answer to what went wrong with a large object.
pub(super) fn answer(error: &LargeError) -> Response<Body> {
    let sentence = |status| super::response::text_html(status, error.to_string());
    match error {
        LargeError::ManifestTooLong(_) | LargeError::TooManySegments(_) => sentence(StatusCode::PAYLOAD_TOO_LARGE),
        LargeError::Problems(problems) => {
            let report = with_problems(Report::of_failures("upload"), problems);
            super::response::text_plain(StatusCode::BAD_REQUEST, report.render(Format::Text))
        }
        LargeError::Etag => page(StatusCode::UNPROCESSABLE_ENTITY),
        LargeError::Unreadable => sentence(StatusCode::INTERNAL_SERVER_ERROR),
        LargeError::Segment(_) => page(StatusCode::CONFLICT),
        LargeError::NoManifest => sentence(StatusCode::NOT_FOUND),
        LargeError::PartNumber
        | LargeError::PartRange
        | LargeError::DynamicManifest
        | LargeError::NotAManifest
        | LargeError::SeveralContainers(_)
        | LargeError::Nested => sentence(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_say_how_a_large_object_is_looked_at() {
        let view = |query| Asked::of(Some(query)).view();
        let number = |n| View::Part(NonZeroU32::new(n));
        for (query, expected) in [
            ("", View::Contents),
            ("multipart-manifest=get", View::Manifest),
            ("multipart-manifest=get&format=raw&part-number=1", View::RawManifest),
            ("multipart-manifest=put", View::Contents),
            ("part-number=3", number(3)),
            ("part-number=%203", number(3)),
            ("part-number=99999999999999", number(u32::MAX)),
            ("part-number=0", View::Part(None)),
            ("part-number=-1", View::Part(None)),
            ("part-number=", View::Part(None)),
        ] {
            assert_eq!(view(query), expected, "{query}");
        }
    }
}
