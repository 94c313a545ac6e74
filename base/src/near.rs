//! The servers of this process, which its other servers and its proxy ask without a socket.
//!
//! A node with several roles (`apus up` has all of them) would spend more on its own loopback than on its work. A request to an
//! address on which this process listens goes straight to what answers there, and is as any other to it: counted, held to the
//! rates, its body no less patient. What else HTTP does on the way is done here: headers say how long a body is, and an answer to
//! HEAD has none.
//!
//! Addresses are compared as the ring and the configuration write them: a server that listens on all addresses (`0.0.0.0`) is
//! asked through its socket.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;

use crate::body::{self, Body};

/// An answer that is awaited.
pub type Answering = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;

/// What answers the requests to one address.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request; every failure is a response.
    fn answer(self: Arc<Self>, request: Request<Body>) -> Answering;
}

/// The servers of a process. Clones are the same.
#[derive(Clone, Default)]
pub struct Near(Arc<RwLock<Known>>);

type Known = HashMap<SocketAddr, Arc<dyn Answers>>;

/// A server that can be asked, until this is dropped.
pub struct Present {
    near: Near,
    address: SocketAddr,
}

impl Near {
    /// Has a server asked at its address, for as long as what is given back lives.
    #[must_use]
    pub fn add(&self, address: SocketAddr, server: Arc<dyn Answers>) -> Present {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(address, server);
        Present { near: self.clone(), address }
    }

    /// What answers at the address of a URI, if it is of this process.
    pub fn of(&self, uri: &Uri) -> Option<Arc<dyn Answers>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if known.is_empty() {
            return None;
        }
        let address: SocketAddr = uri.authority()?.as_str().parse().ok()?;
        known.get(&address).cloned()
    }
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(known.keys()).finish()
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.near.0.write().unwrap_or_else(PoisonError::into_inner).remove(&self.address);
    }
}

/// Asks a server, and gives its answer as a client of HTTP would see it.
pub async fn ask(server: Arc<dyn Answers>, mut request: Request<Body>) -> Response<Body> {
    let is_head = request.method() == Method::HEAD;
    if !request.body().is_end_stream() {
        let (name, value) = match request.body().size_hint().exact() {
            Some(length) => (CONTENT_LENGTH, HeaderValue::from(length)),
            None => (TRANSFER_ENCODING, HeaderValue::from_static("chunked")),
        };
        request.headers_mut().entry(name).or_insert(value);
    }
    let mut response = server.answer(request).await;
    let has_no_body = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if let Some(length) = response.body().size_hint().exact().filter(|_| !has_no_body) {
        response.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(length));
    }
    if is_head { response.map(|_| body::empty()) } else { response }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;

    struct Echo;

    impl Answers for Echo {
        fn answer(self: Arc<Self>, request: Request<Body>) -> Answering {
            let said =
                |name| request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or("-").to_owned();
            let text = format!("{} {} {}", request.uri().path(), said(CONTENT_LENGTH), said(TRANSFER_ENCODING));
            Box::pin(async move { Response::new(body::full(text)) })
        }
    }

    fn request(method: Method, uri: &str) -> Request<Body> {
        Request::builder().method(method).uri(uri).body(body::empty()).unwrap()
    }

    #[tokio::test]
    async fn who_is_here_is_asked_here_until_it_goes() {
        let near = Near::default();
        let uri: Uri = "http://127.0.0.1:6200/d1/x".parse().unwrap();
        assert!(near.of(&uri).is_none());
        let present = near.add("127.0.0.1:6200".parse().unwrap(), Arc::new(Echo));
        assert!(near.of(&"http://127.0.0.1:6201/".parse().unwrap()).is_none());
        assert!(
            near.of(&"http://localhost:6200/".parse().unwrap()).is_none() && near.of(&"/".parse().unwrap()).is_none()
        );

        let server = near.clone().of(&uri).unwrap();
        let answer = ask(Arc::clone(&server), request(Method::GET, "http://127.0.0.1:6200/d1/x")).await;
        assert_eq!(answer.headers()[CONTENT_LENGTH], "9");
        assert_eq!(&body::read_to_end(answer.into_body(), 10).await.unwrap()[..], b"/d1/x - -");
        let answer = ask(Arc::clone(&server), request(Method::HEAD, "http://127.0.0.1:6200/d1/x")).await;
        assert_eq!(answer.headers()[CONTENT_LENGTH], "9");
        assert!(body::read_to_end(answer.into_body(), 10).await.unwrap().is_empty());
        drop(present);
        assert!(near.of(&uri).is_none());

        // The length of what is sent is said, if it is known.
        let sent = |body| request(Method::PUT, "/x").map(|_| body);
        let answer = ask(Arc::clone(&server), sent(body::full("abc"))).await;
        assert_eq!(&body::read_to_end(answer.into_body(), 30).await.unwrap()[..], b"/x 3 -");
        let unknown = http_body_util::StreamBody::new(futures_util::stream::pending()).boxed_unsync();
        let answer = ask(server, sent(unknown)).await;
        assert_eq!(&body::read_to_end(answer.into_body(), 30).await.unwrap()[..], b"/x - chunked");
    }
}
