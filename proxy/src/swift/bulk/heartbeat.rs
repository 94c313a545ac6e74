//! An answer that takes long: 200 and whitespace while the work goes on, then its report.
//!
//! Work that is done before the first heartbeat is due is answered at once, with the length of its report. The work is
//! driven by whoever reads the answer: a client that goes away ends it where it is.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{self, StreamExt as _};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use apus_base::body::{self, Body};

use super::report::Report;
use crate::middleware::accept::Format;
use crate::swift::response::HTML;

/// Work that ends in a report.
pub type Work = BoxFuture<'static, Report>;

/// What a reader of JSON or XML skips.
const BEAT: &str = " ";
/// XML that begins with whitespace would be none, so its first beat is its declaration.
const XML_BEAT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
/// Between the beats and the report.
const SEPARATOR: &str = "\r\n\r\n";

/// Answers with the report of `work`, in the format that the client accepts (as text if it accepts none), after a beat
/// each time that `every` has passed.
pub async fn answer(work: Work, format: Option<Format>, every: Duration) -> Response<Body> {
    let rendered = format.unwrap_or(Format::Text);
    let body = match race(work, every).await {
        Ok(report) => body::full(report.render(rendered)),
        Err(work) => beating(work, rendered, every, if is_xml(rendered) { XML_BEAT } else { BEAT }),
    };
    let mut response = Response::new(body);
    let kind = format.map_or(HTML, |format| HeaderValue::from_static(format.media_type()));
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// Answers with 202 and the first beat before anything is done, for clients that asked to be kept waiting.
pub fn answer_at_once(work: Work, format: Format, every: Duration) -> Response<Body> {
    let mut response = Response::new(beating(work, format, every, BEAT));
    *response.status_mut() = StatusCode::ACCEPTED;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(format.media_type()));
    response
}

fn is_xml(format: Format) -> bool {
    matches!(format, Format::Xml | Format::TextXml)
}

/// The report, or the work itself if it takes longer than that.
async fn race(work: Work, patience: Duration) -> Result<Report, Work> {
    match select(work, Box::pin(tokio::time::sleep(patience))).await {
        Either::Left((report, _)) => Ok(report),
        Either::Right(((), work)) => Err(work),
    }
}

fn beating(work: Work, format: Format, every: Duration, first: &'static str) -> Body {
    let first = Bytes::from_static(first.as_bytes());
    let rest = stream::unfold(Some(work), move |work| async move {
        match race(work?, every).await {
            Ok(report) => Some((Bytes::from(format!("{SEPARATOR}{}", report.render(format))), None)),
            Err(work) => Some((Bytes::from_static(BEAT.as_bytes()), Some(work))),
        }
    });
    let chunks = stream::iter([first]).chain(rest);
    StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(work: Work, format: Option<Format>) -> (Response<()>, String) {
        let (parts, body) = answer(work, format, Duration::from_secs(10)).await.into_parts();
        let bytes = body::read_to_end(body, 4096).await.unwrap();
        (Response::from_parts(parts, ()), String::from_utf8(bytes.to_vec()).unwrap())
    }

    fn work(secs: u64) -> Work {
        Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(secs)).await;
            Report::new("delete", StatusCode::OK)
        })
    }

    const TEXT: &str = "Response Body: \nResponse Status: 200 OK\nErrors:\n";

    #[tokio::test(start_paused = true)]
    async fn short_work_has_no_heartbeat() {
        let (response, text) = body(work(1), None).await;
        assert_eq!((&*text, &response.headers()[CONTENT_TYPE]), (TEXT, &HTML));
    }

    #[tokio::test(start_paused = true)]
    async fn long_work_beats() {
        let (response, text) = body(work(25), Some(Format::Text)).await;
        assert_eq!(text, format!("  \r\n\r\n{TEXT}"));
        assert_eq!(response.headers()[CONTENT_TYPE], "text/plain");
        let (_, xml) = body(work(25), Some(Format::Xml)).await;
        assert!(xml.starts_with("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n \r\n\r\n<delete>\n"), "{xml}");
    }

    #[tokio::test(start_paused = true)]
    async fn who_asked_to_wait_hears_at_once() {
        let response = answer_at_once(work(15), Format::Xml, Duration::from_secs(10));
        assert_eq!(response.status(), StatusCode::ACCEPTED);
        let text = body::read_to_end(response.into_body(), 4096).await.unwrap();
        assert!(text.starts_with(b"  \r\n\r\n<delete>\n"), "{text:?}");
    }
}
