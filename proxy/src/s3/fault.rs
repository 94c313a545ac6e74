//! Every no of the S3 face: a code, a sentence and what else its XML says, as AWS documents them. Pure.

use std::borrow::Cow;

use apus_base::body::{self, Body};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use super::code::Code;
use super::xml::{self, Xml};

/// Why a request was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.name())]
pub struct Fault {
    /// What clients look at.
    pub code: Code,
    /// Where it is not the one that the code has.
    pub status: Option<StatusCode>,
    /// For people.
    pub message: Cow<'static, str>,
    /// More elements of the answer, in order.
    pub details: Vec<(&'static str, String)>,
    /// Headers of the answer.
    pub headers: Vec<(&'static str, String)>,
}

impl Fault {
    /// With the code's own sentence.
    pub fn new(code: Code) -> Self {
        let message = Cow::Borrowed(code.message());
        Self { code, status: None, message, details: Vec::new(), headers: Vec::new() }
    }

    /// With another sentence.
    pub fn saying(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { message: message.into(), ..Self::new(code) }
    }

    /// With one more element.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.details.push((name, value.into()));
        self
    }

    /// An argument that makes no sense.
    pub fn argument(name: &str, value: &str, message: impl Into<Cow<'static, str>>) -> Self {
        let fault = Self::saying(Code::InvalidArgument, message);
        fault.with("ArgumentName", name).with("ArgumentValue", value)
    }

    /// What this server does not do.
    pub fn not_implemented(message: impl Into<Cow<'static, str>>) -> Self {
        Self::saying(Code::NotImplemented, message)
    }

    /// There is no such bucket.
    pub fn no_such_bucket(bucket: &str) -> Self {
        Self::new(Code::NoSuchBucket).with("BucketName", bucket)
    }

    /// There is no such object.
    pub fn no_such_key(key: &str) -> Self {
        Self::new(Code::NoSuchKey).with("Key", key)
    }

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status.unwrap_or_else(|| self.code.status())
    }

    /// The answer to a request that has this id.
    pub fn into_response(self, request_id: &str) -> Response<Body> {
        let mut response = Response::new(body::full(self.xml(request_id)));
        *response.status_mut() = self.status();
        response.headers_mut().insert(CONTENT_TYPE, xml::TYPE);
        for (name, value) in &self.headers {
            if let Ok(value) = HeaderValue::from_str(value) {
                response.headers_mut().insert(*name, value);
            }
        }
        response
    }

    fn xml(&self, request_id: &str) -> String {
        let mut xml = Xml::bare("Error");
        xml.text("Code", self.code.name()).text("Message", &self.message).text("RequestId", request_id);
        for (name, value) in &self.details {
            xml.text(name, value);
        }
        xml.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_client_reads() {
        let fault = Fault::argument("max-keys", "<1>", "No.");
        assert_eq!(fault.status(), StatusCode::BAD_REQUEST);
        let body = body::read_to_end(fault.into_response("tx1").into_body(), 4096).await.unwrap();
        let expected = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>InvalidArgument</Code>\
            <Message>No.</Message><RequestId>tx1</RequestId><ArgumentName>max-keys</ArgumentName>\
            <ArgumentValue>&lt;1&gt;</ArgumentValue></Error>";
        assert_eq!(std::str::from_utf8(&body).unwrap(), expected);
    }
}
