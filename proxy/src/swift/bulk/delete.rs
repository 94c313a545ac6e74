//! `POST` or `DELETE` with `?bulk-delete`: the body is a list of percent-encoded names, one in a line.

use std::ops::ControlFlow;
use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode;

use apus_base::body::Body;

use super::report::Report;
use super::{Ended, accepted, heartbeat};
use crate::constraints::{Constraints, message_length};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::bulk::delete::delete_all;
use crate::ops::bulk::single;
use crate::ops::resource::{ObjectName, Resource};
use crate::swift::refusal::Refusal;

/// Deletes the named objects and containers of an account.
pub(in crate::swift) async fn answer(call: Call<'_>, account: &str, body: Body) -> Response<Body> {
    let (proxy, parts, account) = (call.proxy.clone(), call.parts.clone(), account.to_owned());
    let format = accepted(&parts.headers);
    let every = Duration::from_secs(proxy.config.bulk.yield_frequency);
    let work = async move {
        let call = Call { proxy: &proxy, parts: &parts };
        let mut tally = Tally::new();
        let done = match format {
            Some(_) => run(call, &account, body, &mut tally).await,
            None => Err(Ended::with(StatusCode::NOT_ACCEPTABLE, "")),
        };
        tally.end(done)
    };
    heartbeat::answer(Box::pin(work), format, every).await
}

async fn run(call: Call<'_>, account: &str, body: Body, tally: &mut Tally) -> Result<(), Ended> {
    let kind = call.parts.headers.get(CONTENT_TYPE).filter(|kind| !kind.is_empty());
    if kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"text/plain")) {
        return Err(Ended::with(StatusCode::NOT_ACCEPTABLE, ""));
    }
    message_length(&call.parts.headers).map_err(|reason| Ended::from(Error::from(reason)))?;
    let config = &call.proxy.config;
    let mut names = Names::new(&config.constraints, config.bulk.max_deletes_per_request);
    read(body, &mut names).await?;
    delete_named(call, account, names.into_names(), tally).await
}

async fn read(mut body: Body, names: &mut Names) -> Result<(), Ended> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|reason| Ended::from(Error::from(reason)))?;
        if let Ok(data) = frame.into_data() {
            names.push(&data)?;
        }
    }
    names.finish()
}

/// Deletes the named objects, then the named containers, which may be empty by then.
async fn delete_named(call: Call<'_>, account: &str, names: Vec<Vec<u8>>, tally: &mut Tally) -> Result<(), Ended> {
    let parts = single(call.parts, Method::DELETE);
    let call = Call { proxy: call.proxy, parts: &parts };
    let mut doomed = [Vec::new(), Vec::new()];
    for name in names.into_iter().filter(|name| !name.is_empty()) {
        match resource(account, &name) {
            Some(resource @ Resource::Object(_)) => doomed[0].push((name, resource)),
            Some(resource) => doomed[1].push((name, resource)),
            None => tally.report.fail(&name, StatusCode::PRECONDITION_FAILED),
        }
    }
    let most = call.proxy.config.bulk.max_failed_deletes;
    for doomed in doomed {
        delete_all(call, doomed.into_iter(), |name, result| {
            tally.count(&name, result);
            if tally.report.failures() < most { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })
        .await;
        if tally.report.failures() >= most {
            return Err(Ended::with(StatusCode::BAD_REQUEST, "Max delete failures exceeded"));
        }
    }
    Ok(())
}

/// What a name in the list means; `None` if it is no text or holds the byte that is the cluster's own.
fn resource(account: &str, name: &[u8]) -> Option<Resource> {
    let name = std::str::from_utf8(name).ok().filter(|name| !name.contains('\0'))?;
    let (account, name) = (account.to_owned(), name.trim_start_matches('/'));
    Some(match name.split_once('/') {
        Some((container, object)) if !object.trim_matches('/').is_empty() => {
            Resource::Object(ObjectName { account: account.into(), container: container.into(), object: object.into() })
        }
        Some((container, _)) => Resource::Container(account, container.into()),
        None if name.is_empty() => Resource::Account(account),
        None => Resource::Container(account, name.into()),
    })
}

/// What was deleted and what was not.
pub struct Tally {
    report: Report,
    deleted: u64,
    not_found: u64,
    failed_there: bool,
}

impl Default for Tally {
    fn default() -> Self {
        Self::new()
    }
}

impl Tally {
    /// Of nothing.
    pub fn new() -> Self {
        Self { report: Report::new("delete", StatusCode::OK), deleted: 0, not_found: 0, failed_there: false }
    }

    /// Counts what became of one.
    pub fn count(&mut self, name: &[u8], result: Result<(), Error>) {
        match result {
            Ok(()) => self.deleted += 1,
            Err(Error::NotFound) => self.not_found += 1,
            Err(error) => {
                let status = Refusal::from(error).status();
                self.failed_there |= status.is_server_error();
                self.report.fail(name, status);
            }
        }
    }

    /// Counts one that could not even be tried, with a reason for the client.
    pub fn fail_with(&mut self, name: &[u8], reason: impl Into<String>) {
        self.report.fail_with(name, reason);
    }

    /// The report, when all is done or something ended it.
    pub fn end(self, done: Result<(), Ended>) -> Report {
        let Self { mut report, deleted, not_found, failed_there } = self;
        report.set("Number Deleted", deleted);
        report.set("Number Not Found", not_found);
        match done {
            Err(ended) => report.end(ended.status, ended.text),
            Ok(()) if report.failures() > 0 && failed_there => report.end(StatusCode::BAD_GATEWAY, ""),
            Ok(()) if report.failures() > 0 => report.end(StatusCode::BAD_REQUEST, ""),
            Ok(()) if deleted + not_found == 0 => report.end(StatusCode::BAD_REQUEST, "Invalid bulk delete."),
            Ok(()) => {}
        }
        report
    }
}

/// The names in a list, as its bytes come in.
struct Names {
    names: Vec<Vec<u8>>,
    line: Vec<u8>,
    most: usize,
    longest_line: usize,
}

impl Names {
    fn new(constraints: &Constraints, most: usize) -> Self {
        let longest_path = constraints.max_object_name_length + constraints.max_container_name_length + 2;
        // Percent-encoded, a name may be longer than it is; most are not.
        Self { names: Vec::new(), line: Vec::new(), most, longest_line: longest_path * 2 }
    }

    fn push(&mut self, mut bytes: &[u8]) -> Result<(), Ended> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.grow(&bytes[..end])?;
            self.end_line()?;
            bytes = &bytes[end + 1..];
        }
        self.grow(bytes)
    }

    fn finish(&mut self) -> Result<(), Ended> {
        if self.line.trim_ascii().is_empty() { Ok(()) } else { self.end_line() }
    }

    fn grow(&mut self, bytes: &[u8]) -> Result<(), Ended> {
        if self.line.len() + bytes.len() > self.longest_line {
            return Err(Ended::with(StatusCode::BAD_REQUEST, "Invalid File Name"));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self) -> Result<(), Ended> {
        self.names.push(percent_decode(self.line.trim_ascii()).collect());
        self.line.clear();
        if self.names.len() > self.most {
            let text = format!("Maximum Bulk Deletes: {} per request", self.most);
            return Err(Ended::with(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        Ok(())
    }

    fn into_names(self) -> Vec<Vec<u8>> {
        self.names
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn names(chunks: &[&[u8]], most: usize) -> Result<Vec<String>, String> {
        let mut names = Names::new(&Constraints::default(), most);
        let pushed = chunks.iter().try_for_each(|chunk| names.push(chunk)).and_then(|()| names.finish());
        pushed.map_err(|ended| format!("{} {}", ended.status.as_u16(), ended.text))?;
        Ok(names.into_names().iter().map(|name| String::from_utf8_lossy(name).into_owned()).collect())
    }

    #[test]
    fn lists_are_read_however_they_come() {
        assert_eq!(names(&[b"c/f1\n", b" c/f%202 \r\nc/f3\nc/", b"f4"], 9).unwrap(), ["c/f1", "c/f 2", "c/f3", "c/f4"]);
        assert_eq!(names(&[b"\n\nc\n  "], 9).unwrap(), ["", "", "c"]);
        assert!(names(&[b""], 9).unwrap().is_empty());
        assert_eq!(names(&[b"a\nb\nc\n"], 2).unwrap_err(), "413 Maximum Bulk Deletes: 2 per request");
        let long = vec![b'x'; 1282 * 2];
        assert!(names(&[&long, b"\n", &long], 9).is_ok());
        assert_eq!(names(&[&long, b"x"], 9).unwrap_err(), "400 Invalid File Name");
    }

    #[test]
    fn what_a_name_means() {
        let read = |name: &[u8]| match resource("a", name) {
            None => "-".into(),
            Some(Resource::Account(_)) => "account".into(),
            Some(Resource::Container(_, container)) => container,
            Some(Resource::Object(name)) => format!("{} {}", name.container, name.object),
        };
        for (name, meaning) in [
            (&b"/c/o"[..], "c o"),
            (b"c/o/p/", "c o/p/"),
            (b"c", "c"),
            (b"//c/", "c"),
            (b"c//", "c"),
            (b"c//o", "c /o"),
            (b"/", "account"),
            (b"c/\xff", "-"),
            (b"c/\0", "-"),
        ] {
            assert_eq!(read(name), meaning, "{name:?}");
        }
    }

    #[test]
    fn how_the_whole_went() {
        let ended = |counts: &dyn Fn(&mut Tally)| {
            let mut tally = Tally::new();
            counts(&mut tally);
            tally.end(Ok(())).render(crate::middleware::accept::Format::Text)
        };
        assert!(ended(&|_| ()).contains("Response Body: Invalid bulk delete.\nResponse Status: 400 Bad Request"));
        assert!(
            ended(&|t| t.count(b"c", Err(Error::NotFound)))
                .contains("Number Not Found: 1\nResponse Body: \nResponse Status: 200")
        );
        assert!(
            ended(&|t| t.count(b"c", Err(Error::TooLarge)))
                .contains("Response Status: 400 Bad Request\nErrors:\nc, 413")
        );
        assert!(
            ended(&|t| t.count(b"c", Err(Error::Unavailable)))
                .contains("Response Status: 502 Bad Gateway\nErrors:\nc, 503")
        );
    }

    proptest! {
        #[test]
        fn how_a_list_is_cut_does_not_matter(list in proptest::collection::vec(0u8..128, 0..80), cut in 0usize..80) {
            let (before, after) = list.split_at(cut.min(list.len()));
            prop_assert_eq!(names(&[before, after], 9), names(&[&list], 9));
        }
    }
}
