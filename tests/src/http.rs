//! A small HTTP/1.1 client over a plain socket, so that a story may send any bytes and read as slowly as it likes.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// Most headers of an answer.
const MAX_HEADERS: usize = 256;

/// An answer, read to its end.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The headers in order.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
}

impl Response {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }

    /// The first header of that name, or a failed test.
    #[track_caller]
    pub fn need(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    /// The lines of a text listing.
    pub fn lines(&self) -> Vec<String> {
        self.text().lines().map(str::to_owned).collect()
    }

    /// Fails the test unless the status is the one expected.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "headers {:?}, body {:?}", self.headers, clipped(&self.text()));
        self
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|v| v.to_ascii_lowercase().contains("chunked"))
    }
}

fn clipped(text: &str) -> String {
    text.chars().take(400).collect()
}

/// A request in the making; header values are bytes, because some tests send odd ones.
#[derive(Clone, Debug)]
pub struct Request {
    address: SocketAddr,
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    framed: bool,
}

impl Request {
    /// A request for a target that is sent as it stands.
    pub fn new(address: SocketAddr, method: &str, target: impl Into<String>) -> Self {
        let (method, target) = (method.to_owned(), target.into());
        Self { address, method, target, headers: Vec::new(), body: Vec::new(), framed: true }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    /// Appends a query.
    #[must_use]
    pub fn query(mut self, query: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        self.target.push_str(query);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self
    }

    /// Leaves the framing (`Content-Length`) to the story.
    #[must_use]
    pub fn unframed(mut self) -> Self {
        self.framed = false;
        self
    }

    /// The bytes of the whole request.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\nHost: {}\r\n", self.method, self.target, self.address).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if self.framed && (!self.body.is_empty() || !matches!(self.method.as_str(), "GET" | "HEAD" | "DELETE")) {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Sends it on a connection of its own and reads the answer.
    #[track_caller]
    pub fn send(self) -> Response {
        let target = format!("{} {}", self.method, self.target);
        self.try_send().unwrap_or_else(|e| panic!("{target}: {e}"))
    }

    /// As [`send`](Self::send), for requests whose server may die.
    ///
    /// # Errors
    /// When the connection is refused or breaks off.
    pub fn try_send(self) -> io::Result<Response> {
        let mut connection = Connection::try_open(self.address)?;
        // A server may answer and close while a body is still on its way; its answer counts.
        let sent = connection.try_write(&self.encode());
        connection.try_response(self.method == "HEAD").map_err(|e| sent.err().unwrap_or(e))
    }

    /// Sends it and reads only the head of the answer, leaving the body on the wire.
    #[track_caller]
    pub fn open(self) -> (Response, Connection) {
        let mut connection = Connection::open(self.address);
        connection.write(&self.encode());
        let head = connection.try_head().expect("the head of an answer");
        (head, connection)
    }

    /// Sends it on a connection that is kept.
    ///
    /// # Errors
    /// When the connection breaks off.
    pub fn send_on(&self, connection: &mut Connection) -> io::Result<Response> {
        connection.try_write(&self.encode())?;
        connection.try_response(self.method == "HEAD")
    }
}

/// A client's end of a connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects, or fails the test.
    #[track_caller]
    pub fn open(address: SocketAddr) -> Self {
        Self::try_open(address).unwrap_or_else(|e| panic!("cannot connect to {address}: {e}"))
    }

    /// Connects.
    ///
    /// # Errors
    /// When nobody listens.
    pub fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream: BufReader::with_capacity(64 * 1024, stream) })
    }

    /// Sends bytes, or fails the test.
    #[track_caller]
    pub fn write(&mut self, bytes: &[u8]) {
        self.try_write(bytes).expect("a connection that takes bytes");
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// When the other end is gone.
    pub fn try_write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.get_mut().write_all(bytes)
    }

    /// Says that nothing more will be sent.
    pub fn finish_writing(&self) {
        let _ = self.stream.get_ref().shutdown(std::net::Shutdown::Write);
    }

    /// Reads an answer, or fails the test.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.try_response(false).expect("an answer")
    }

    /// Reads an answer; one to HEAD has no body.
    ///
    /// # Errors
    /// When the connection ends too early or what arrives is no HTTP.
    pub fn try_response(&mut self, to_head: bool) -> io::Result<Response> {
        let mut response = self.try_head()?;
        while response.status == 100 {
            response = self.try_head()?;
        }
        if !to_head && !matches!(response.status, 204 | 304) {
            response.body = self.body(&response)?;
        }
        Ok(response)
    }

    /// Reads the head of an answer.
    ///
    /// # Errors
    /// As [`try_response`](Self::try_response).
    pub fn try_head(&mut self) -> io::Result<Response> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            if self.stream.read_until(b'\n', &mut head)? == 0 {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended before an answer"));
            }
        }
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut parsed = httparse::Response::new(&mut headers);
        parsed.parse(&head).map_err(io::Error::other)?;
        let headers = parsed.headers.iter();
        let headers = headers.map(|h| (h.name.to_owned(), String::from_utf8_lossy(h.value).into_owned())).collect();
        Ok(Response { status: parsed.code.unwrap_or_default(), headers, body: Vec::new() })
    }

    /// Reads that many bytes of a body.
    #[track_caller]
    pub fn read_exactly(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("the rest of a body");
        bytes
    }

    /// Reads until the other end closes; how many bytes came.
    ///
    /// # Panics
    /// When it does neither for too long.
    #[track_caller]
    pub fn read_to_close(&mut self) -> usize {
        let mut rest = Vec::new();
        let ended = self.stream.read_to_end(&mut rest);
        let timed_out = ended.is_err_and(|e| matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
        assert!(!timed_out, "the other end neither sent nor closed");
        rest.len()
    }

    /// Reads until the other end closes, as text.
    pub fn read_text_to_close(&mut self) -> String {
        let mut rest = Vec::new();
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    fn body(&mut self, head: &Response) -> io::Result<Vec<u8>> {
        if head.is_chunked() {
            return self.chunks();
        }
        let mut body = Vec::new();
        match head.header("content-length").and_then(|v| v.parse().ok()) {
            Some(length) => {
                body.resize(length, 0);
                self.stream.read_exact(&mut body)?;
            }
            None => drop(self.stream.read_to_end(&mut body)?),
        }
        Ok(body)
    }

    fn chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line)?;
            let length = usize::from_str_radix(line.trim(), 16).map_err(io::Error::other)?;
            let start = body.len();
            body.resize(start + length, 0);
            self.stream.read_exact(&mut body[start..])?;
            self.stream.read_line(&mut line)?;
            if length == 0 {
                return Ok(body);
            }
        }
    }
}
