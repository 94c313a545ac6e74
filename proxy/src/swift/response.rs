//! Answers in Swift's form: the short pages of its errors, to the byte.

use std::borrow::Cow;

use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use apus_base::body::{self, Body};

/// What Python's `quote` leaves as it is.
pub const QUOTED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'_').remove(b'.').remove(b'-').remove(b'~');

/// The type of pages, also of those whose body is one plain sentence: that is how Swift sends them.
pub const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=UTF-8");
/// The type of the sentences that the constraints give.
const PLAIN: HeaderValue = HeaderValue::from_static("text/plain");

/// An answer whose body is the page of its status, or nothing where that status has none.
pub fn page(status: StatusCode) -> Response<Body> {
    match explanation(status) {
        Some((title, text)) => text_html(status, format!("<html><h1>{title}</h1><p>{text}</p></html>")),
        None => text_html(status, ""),
    }
}

/// What the page of a status says, as two plain lines.
pub fn page_lines(status: StatusCode) -> String {
    explanation(status).map_or_else(String::new, |(title, text)| format!("{title}\n{text}"))
}

/// An answer whose body is one sentence, marked as HTML.
pub fn text_html(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Response<Body> {
    with_type(status, text.into(), HTML)
}

/// An answer whose body is one sentence, marked as plain text.
pub fn text_plain(status: StatusCode, text: impl Into<Cow<'static, str>>) -> Response<Body> {
    with_type(status, text.into(), PLAIN)
}

fn with_type(status: StatusCode, text: Cow<'static, str>, kind: HeaderValue) -> Response<Body> {
    let body = match text {
        Cow::Borrowed(text) => body::full(text),
        Cow::Owned(text) => body::full(text),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

/// 401 with the challenge that names the account of the request's path.
pub fn unauthorized(account: Option<&str>) -> Response<Body> {
    let mut response = page(StatusCode::UNAUTHORIZED);
    let realm = account.unwrap_or("unknown");
    let challenge = format!("Swift realm=\"{}\"", utf8_percent_encode(realm, QUOTED));
    if let Ok(challenge) = HeaderValue::from_str(&challenge) {
        response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    }
    response
}

/// A status as reports of many operations name it: `404 Not Found`.
pub fn status_line(status: StatusCode) -> String {
    let title = explanation(status).map(|(title, _)| title).or(status.canonical_reason()).unwrap_or("Unknown");
    format!("{} {title}", status.as_u16())
}

/// The title and the sentence that Swift's `swob` has for a status, where it has a sentence.
fn explanation(status: StatusCode) -> Option<(&'static str, &'static str)> {
    Some(match status.as_u16() {
        202 => ("Accepted", "The request is accepted for processing."),
        301 => ("Moved Permanently", "The resource has moved permanently."),
        400 => (
            "Bad Request",
            "The server could not comply with the request since it is either malformed or otherwise incorrect.",
        ),
        401 => (
            "Unauthorized",
            "This server could not verify that you are authorized to access the document you requested.",
        ),
        403 => ("Forbidden", "Access was denied to this resource."),
        404 => ("Not Found", "The resource could not be found."),
        405 => ("Method Not Allowed", "The method is not allowed for this resource."),
        406 => ("Not Acceptable", "The resource is not available in a format acceptable to your browser."),
        408 => ("Request Timeout", "The server has waited too long for the request to be sent by the client."),
        409 => ("Conflict", "There was a conflict when trying to complete your request."),
        410 => ("Gone", "This resource is no longer available."),
        411 => ("Length Required", "Content-Length header required."),
        412 => ("Precondition Failed", "A precondition for this request was not met."),
        413 => ("Request Entity Too Large", "The body of your request was too large for this server."),
        414 => ("Request URI Too Long", "The request URI was too long for this server."),
        416 => ("Requested Range Not Satisfiable", "The Range requested is not available."),
        422 => ("Unprocessable Entity", "Unable to process the contained instructions"),
        497 => ("Blacklisted", "Your account has been blacklisted"),
        498 => ("Rate Limited", "Slow down"),
        499 => ("Client Disconnect", "The client was disconnected during request."),
        500 => ("Internal Error", "The server has either erred or is incapable of performing the requested operation."),
        501 => ("Not Implemented", "The requested method is not implemented by this server."),
        503 => ("Service Unavailable", "The server is currently unavailable. Please try again at a later time."),
        507 => ("Insufficient Storage", "There was not enough space to save the resource. Drive: unknown"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn body(response: Response<Body>) -> String {
        let bytes = body::read_to_end(response.into_body(), 4096).await.unwrap();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn pages_are_swifts() {
        let missing = page(StatusCode::NOT_FOUND);
        assert_eq!(missing.headers()[CONTENT_TYPE], "text/html; charset=UTF-8");
        let expected = "<html><h1>Not Found</h1><p>The resource could not be found.</p></html>";
        assert_eq!(body(missing).await, expected);
        assert_eq!(body(page(StatusCode::CREATED)).await, "");
    }

    #[test]
    fn status_lines_have_swifts_titles() {
        assert_eq!(status_line(StatusCode::PAYLOAD_TOO_LARGE), "413 Request Entity Too Large");
        assert_eq!(status_line(StatusCode::CREATED), "201 Created");
        assert_eq!(status_line(StatusCode::BAD_GATEWAY), "502 Bad Gateway");
    }

    #[test]
    fn challenges_name_the_account() {
        let realm = |account| unauthorized(account).headers()[WWW_AUTHENTICATE].to_str().unwrap().to_owned();
        assert_eq!(realm(Some("AUTH_a \"☃")), "Swift realm=\"AUTH_a%20%22%E2%98%83\"");
        assert_eq!(realm(None), "Swift realm=\"unknown\"");
    }
}
