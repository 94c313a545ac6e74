//! Static large objects as clients of Swift ask for them: `?multipart-manifest=put`, `get` and `delete`, `?part-number=`.

use std::num::NonZeroU32;
use std::time::Duration;

use apus_base::body::{self, Body, BodyError};
use http::header::{ACCEPT, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::heartbeat::{self, Beats};
use super::listing::parameters;
use super::manifest::parse;
use super::object::stored;
use super::refusal::{Refusal, operation};
use super::report::Report;
use super::response::{page, page_lines, status_line};
use crate::constraints::{BadLength, message_length};
use crate::error::Error;
use crate::middleware::accept::{self, Format};
use crate::ops::Call;
use crate::ops::large::delete::{self, Deleted};
use crate::ops::large::put::{Flaw, Problem, PutSlo, put as put_slo};
use crate::ops::large::{LargeError, View};
use crate::ops::put::Stored;
use crate::ops::resource::ObjectName;

/// What a request may not have: only a manifest makes a large object.
pub(super) const RESERVED: &str = "x-static-large-object";
/// Before everything else in XML.
const XML_DECLARATION: &[u8] = b"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

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

fn is_yes(value: &str) -> bool {
    ["true", "1", "yes", "on", "t", "y"].iter().any(|yes| value.eq_ignore_ascii_case(yes))
}

/// The form of a report; `None` if the client takes none.
fn format(headers: &HeaderMap) -> Option<Format> {
    let accept = headers.get(ACCEPT).map_or("", |accept| accept.to_str().unwrap_or("?"));
    accept::best(accept).ok()
}

fn report_type(format: Format) -> HeaderValue {
    HeaderValue::from_static(format.media_type())
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
    let slo = PutSlo { segments: parse(&json, name)?, name: name.clone(), headers };
    drop(json);
    if !asked.heartbeat {
        let done = put_slo(call, slo).await.map_err(|error| refused(call, error))?;
        return Ok(stored(&done));
    }
    let format = format(&call.parts.headers).unwrap_or(Format::Text);
    let every = Duration::from_secs(call.proxy.config.slo.yield_frequency);
    let owned = call.owned();
    let work = async move { upload_report(put_slo(owned.call(), slo).await).await.render(format, "upload") };
    let mut response = Response::new(heartbeat::body(Beats { every, at_once: true, first: None }, work).await);
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, report_type(format));
    Ok(response)
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
            let format = format(&call.parts.headers).unwrap_or(Format::Text);
            Refusal::Report(report_type(format), problem_report(&problems).render(format, "upload"))
        }
        error => error.into(),
    }
}

fn problem_report(problems: &[Problem]) -> Report {
    let mut report = Report::default();
    problems.iter().for_each(|problem| report.failed(&problem.path, flaw(&problem.why)));
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
    let status = |status| Report::default().field("Response Status", status_line(status));
    match done {
        Ok(done) => {
            let response = stored(&done);
            let text =
                |name| response.headers().get(name).map_or("", |value| value.to_str().unwrap_or_default()).to_owned();
            let report =
                status(response.status()).field("Etag", text(ETAG)).field("Last Modified", text(LAST_MODIFIED));
            report.field("Response Body", "")
        }
        Err(Error::Large(LargeError::Problems(problems))) => {
            let mut report =
                status(StatusCode::BAD_REQUEST).field("Response Body", page_lines(StatusCode::BAD_REQUEST));
            problems.iter().for_each(|problem| report.failed(&problem.path, flaw(&problem.why)));
            report
        }
        Err(Error::Large(LargeError::Etag)) => {
            let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
            status(unprocessable).field("Response Body", page_lines(unprocessable))
        }
        Err(error) => {
            let (head, body) = operation(&error, None).into_parts();
            // A page is in memory and short.
            let text = body::read_to_end(body, usize::MAX).await.unwrap_or_default();
            status(head.status).field("Response Body", String::from_utf8_lossy(&text).into_owned())
        }
    }
}

/// DELETE of a large object and its segments.
pub(super) async fn delete(call: Call<'_>, name: &ObjectName, asked: &Asked) -> Result<Response<Body>, Refusal> {
    if asked.later && call.proxy.config.slo.allow_async_delete {
        delete::delete_later(call, name).await?;
        return Ok(page(StatusCode::NO_CONTENT));
    }
    let Some(format) = format(&call.parts.headers) else {
        let refusal = StatusCode::NOT_ACCEPTABLE;
        let report = deletion(refusal, page_lines(refusal), &Deleted::default());
        return Ok(Response::new(body::full(report.render(Format::Text, "delete"))));
    };
    let every = Duration::from_secs(call.proxy.config.slo.yield_frequency);
    let first = matches!(format, Format::Xml | Format::TextXml).then_some(XML_DECLARATION);
    let (owned, name) = (call.owned(), name.clone());
    let work = async move { delete_report(&delete::delete(owned.call(), &name).await).render(format, "delete") };
    let mut response = Response::new(heartbeat::body(Beats { every, at_once: false, first }, work).await);
    response.headers_mut().insert(CONTENT_TYPE, report_type(format));
    Ok(response)
}

fn delete_report(deleted: &Deleted) -> Report {
    let statuses: Vec<_> = deleted.failed.iter().map(|(path, error)| (path, operation(error, None).status())).collect();
    let (status, text) = match deleted.given_up {
        Some(given_up) => (StatusCode::BAD_REQUEST, given_up.to_string()),
        None if statuses.iter().any(|(_, status)| status.is_server_error()) => (StatusCode::BAD_GATEWAY, String::new()),
        None if !statuses.is_empty() => (StatusCode::BAD_REQUEST, String::new()),
        None => (StatusCode::OK, String::new()),
    };
    let mut report = deletion(status, text, deleted);
    for ((path, status), (_, error)) in statuses.into_iter().zip(&deleted.failed) {
        match error {
            Error::Large(error) => report.failed(path, error.to_string()),
            _ => report.failed(path, status_line(status)),
        }
    }
    report
}

fn deletion(status: StatusCode, text: String, deleted: &Deleted) -> Report {
    let report = Report::default().field("Response Status", status_line(status)).field("Response Body", text);
    report.field("Number Deleted", deleted.deleted).field("Number Not Found", deleted.not_found)
}

/// The answer to what went wrong with a large object.
pub(super) fn answer(error: &LargeError) -> Response<Body> {
    let sentence = |status| super::response::text_html(status, error.to_string());
    match error {
        LargeError::ManifestTooLong(_) | LargeError::TooManySegments(_) => sentence(StatusCode::PAYLOAD_TOO_LARGE),
        LargeError::Problems(problems) => {
            let text = problem_report(problems).render(Format::Text, "upload");
            super::response::text_plain(StatusCode::BAD_REQUEST, String::from_utf8_lossy(&text).into_owned())
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
