//! The objects of a container as the load generator asks for them: how a request reads, and what its answer has to be.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::body::Body;
use super::connection::{Connection, Head, PIECE};
use crate::Session;

/// One request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ask {
    /// Stores the object of that number.
    Put(u64),
    /// Reads it.
    Get(u64),
    /// Asks only for its headers.
    Head(u64),
    /// Removes it.
    Delete(u64),
    /// Reads a listing, one of those that the objects were [told of](Objects::with_page).
    Page(usize),
}

/// What a request came to.
pub(super) enum Answered {
    /// What it should, and so many bytes of an object or a listing were moved.
    Done(usize),
    /// 503: there is too much to do, and one may come back after so long.
    Refused(Duration),
}

/// Objects of one size, named by their numbers.
pub struct Objects {
    address: SocketAddr,
    /// What comes between the method and the name of an object.
    path: String,
    /// What comes after it.
    rest: String,
    body: Body,
    /// What an object is called below the path.
    name: fn(u64) -> String,
    pages: Vec<Page>,
}

/// A listing that does not change, and what it was found to be.
struct Page {
    query: String,
    answer: Vec<u8>,
}

impl Objects {
    /// Objects below a path, which is a container and maybe the beginning of a name.
    pub fn new(session: &Session, path: &str, body: Body) -> Self {
        let rest = format!(" HTTP/1.1\r\nHost: {}\r\nX-Auth-Token: {}\r\n", session.address, session.token);
        Self { address: session.address, path: session.target(path), rest, body, name: eight_digits, pages: Vec::new() }
    }

    /// With other names than the numbers in eight digits; they need no percent-encoding.
    #[must_use]
    pub fn named(self, name: fn(u64) -> String) -> Self {
        Self { name, ..self }
    }

    /// Reads a listing and remembers it, for [`Ask::Page`], when it lists exactly these: names, and the
    /// pseudo-folders that a delimiter shows.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    #[must_use]
    pub fn with_page(mut self, session: &Session, container: &str, query: &str, expected: &[String]) -> Self {
        let query = format!("format=json&{query}");
        let answer = session.get(container).query(&query).send().expect(200);
        let Value::Array(rows) = answer.json() else { panic!("no listing: {}", answer.text()) };
        let name = |row: &Value| row["name"].as_str().or(row["subdir"].as_str()).map(str::to_owned);
        let names: Vec<_> = rows.iter().filter_map(name).collect();
        assert!(names == expected, "{container}?{query} lists {} names, from {:?}", names.len(), names.first());
        self.path = session.target(container);
        self.pages.push(Page { query, answer: answer.body });
        self
    }

    /// How many listings they were told of.
    pub fn pages(&self) -> usize {
        self.pages.len()
    }

    /// Who is asked.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes of an object.
    pub fn size(&self) -> usize {
        self.body.len()
    }

    /// Sends a request and checks its answer.
    pub(super) async fn exchange(&self, connection: &mut Connection, ask: Ask) -> Result<Answered, String> {
        let sent = self.send(connection, ask).await;
        // Who refuses a body may do so before its end; that answer tells more than the broken connection.
        let head = connection.head().await.map_err(|fault| sent.err().unwrap_or(fault));
        let answered = match head {
            Ok(Head { status: 503, retry_after: Some(seconds), length: Some(length), .. }) => {
                let length = if matches!(ask, Ask::Head(_)) { 0 } else { length };
                connection
                    .take(length, &mut |_| ())
                    .await
                    .map(|_| Answered::Refused(Duration::from_secs(seconds as u64)))
            }
            Ok(head) => self.check(connection, ask, &head).await.map(Answered::Done),
            Err(fault) => Err(fault),
        };
        answered.map_err(|fault| format!("{ask:?}: {fault}"))
    }

    async fn send(&self, connection: &mut Connection, ask: Ask) -> Result<(), String> {
        self.write_head(&mut connection.output, ask);
        if let Ask::Put(number) = ask {
            let mut at = self.body.fill(&mut connection.output, number, 0, PIECE);
            while at < self.body.len() {
                connection.send().await?;
                at += self.body.fill(&mut connection.output, number, at, PIECE);
            }
        }
        connection.send().await
    }

    fn write_head(&self, output: &mut Vec<u8>, ask: Ask) {
        output.clear();
        let (path, rest, name, length) = (&self.path, &self.rest, self.name, self.body.len());
        let written = match ask {
            Ask::Put(number) => write!(output, "PUT {path}/{}{rest}Content-Length: {length}\r\n\r\n", name(number)),
            Ask::Get(number) => write!(output, "GET {path}/{}{rest}\r\n", name(number)),
            Ask::Head(number) => write!(output, "HEAD {path}/{}{rest}\r\n", name(number)),
            Ask::Delete(number) => write!(output, "DELETE {path}/{}{rest}\r\n", name(number)),
            Ask::Page(page) => write!(output, "GET {path}?{}{rest}\r\n", self.pages[page].query),
        };
        written.expect("memory takes everything");
    }

    async fn check(&self, connection: &mut Connection, ask: Ask, head: &Head) -> Result<usize, String> {
        let expected = match ask {
            Ask::Put(_) => 201,
            Ask::Delete(_) => 204,
            Ask::Get(_) | Ask::Head(_) | Ask::Page(_) => 200,
        };
        if head.status != expected {
            return Err(refusal(connection, ask, head).await);
        }
        match ask {
            Ask::Put(number) => {
                connection.body(head, |_| ()).await?;
                (head.etag == Some(self.body.etag(number))).then_some(self.body.len()).ok_or("a wrong ETag".into())
            }
            Ask::Get(number) => {
                let same = |at, bytes: &[u8]| self.body.holds(number, at, bytes);
                compare(connection, head, self.body.len(), same).await
            }
            Ask::Head(number) => {
                let is_right = head.etag == Some(self.body.etag(number)) && head.length == Some(self.body.len());
                is_right.then_some(0).ok_or("a wrong ETag or length".into())
            }
            Ask::Delete(_) => Ok(0),
            Ask::Page(page) => {
                let answer = &self.pages[page].answer;
                let same = |at: usize, bytes: &[u8]| answer.get(at..at + bytes.len()) == Some(bytes);
                compare(connection, head, answer.len(), same).await
            }
        }
    }
}

fn eight_digits(number: u64) -> String {
    format!("{number:08}")
}

/// Holds a body against what it should be.
async fn compare(
    connection: &mut Connection,
    head: &Head,
    length: usize,
    same: impl Fn(usize, &[u8]) -> bool,
) -> Result<usize, String> {
    let (mut at, mut is_same) = (0, true);
    let read = connection.body(head, |bytes| {
        is_same &= same(at, bytes);
        at += bytes.len();
    });
    let read = read.await?;
    if read != length {
        Err(format!("{read} bytes instead of {length}"))
    } else {
        is_same.then_some(read).ok_or("other bytes".into())
    }
}

/// What an answer says that is not the one wanted.
async fn refusal(connection: &mut Connection, ask: Ask, head: &Head) -> String {
    let mut text = Vec::new();
    if !matches!(ask, Ask::Head(_)) && (head.length.is_some() || head.status != 204) {
        let _ = connection.body(head, |bytes| text.extend_from_slice(bytes)).await;
    }
    text.truncate(200);
    format!("status {}, {}", head.status, String::from_utf8_lossy(&text))
}
