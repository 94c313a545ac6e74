//! The clients of a storm: each does one operation after the other, drawn from the seed and its own number, through a proxy
//! chosen likewise, and tells the history of it. A seed gives each client the same operations in the same order; how
//! they meet those of the others is the machine's.

use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicBool, Ordering};

use fastrand::Rng;
use serde_json::{Value, json};

use super::history::{Content, History, Seen, What, content_type};
use crate::{Request, Response, Session, bytes, md5_hex};

/// The containers with objects; the last has the second policy.
pub const CONTAINERS: [&str; 4] = ["c0", "c1", "c2", "c3"];
/// Where the segments of large objects are.
pub const SEGMENTS: &str = "segments";
/// Names of each sort in a container: few, so that clients meet.
const SHARED: usize = 40;
const FEW: usize = 10;
/// The longest time that an object lives, in seconds.
pub const MAX_LIFE_SECONDS: u64 = 6;

/// One client.
pub struct Client<'a> {
    number: usize,
    rng: Rng,
    sessions: Vec<Session>,
    history: &'a History,
}

impl<'a> Client<'a> {
    /// The client of that number in the storm of that seed.
    pub fn new(number: usize, seed: u64, sessions: Vec<Session>, history: &'a History) -> Self {
        let rng = Rng::with_seed(seed ^ (number as u64 + 1).wrapping_mul(0xd134_2543_de82_ef95));
        Self { number, rng, sessions, history }
    }

    /// Works until it is told to stop.
    pub fn work(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Relaxed) {
            self.operation();
        }
    }

    fn operation(&mut self) {
        let container = CONTAINERS[self.rng.usize(..CONTAINERS.len())];
        let shared = format!("{container}/o{}", self.rng.usize(..SHARED));
        let few = self.rng.usize(..FEW);
        match self.rng.usize(..100) {
            0..24 => self.put(&shared, None),
            24..30 => {
                let id = self.history.number();
                self.put_as(id, &format!("{container}/new{id}"), None);
            }
            30..52 => self.get(&shared),
            52..62 => self.delete(&shared),
            62..74 => self.post(&shared),
            74..78 => self.copy(&shared, &format!("{container}/copy{few}")),
            78..80 => self.delete(&format!("{container}/copy{few}")),
            80..82 => self.large(&format!("{container}/large{few}")),
            82..86 => self.get(&format!("{container}/large{few}")),
            86..90 => {
                let life = self.rng.bool().then(|| self.rng.u64(1..=MAX_LIFE_SECONDS));
                self.put(&format!("{container}/short-lived{few}"), life);
            }
            90..92 => self.get(&format!("{container}/short-lived{few}")),
            92..95 => self.get(&format!("{container}/copy{few}")),
            95..97 => self.list(container),
            97..99 => self.container(few),
            99.. => self.request("HEAD account", "HEAD", "", |r| r).map_or((), drop),
        }
    }

    /// Sends a request through some proxy, and counts how it ends.
    fn request(
        &mut self,
        operation: &'static str,
        method: &str,
        path: &str,
        with: impl FnOnce(Request) -> Request,
    ) -> io::Result<Response> {
        let session = &self.sessions[self.rng.usize(..self.sessions.len())];
        let answer = with(session.request(method, path)).try_send();
        match &answer {
            Ok(answer) => {
                self.history.count(operation, &answer.status.to_string());
                if matches!(answer.status, 500 | 501 | 505 | 400 | 401 | 403 | 405 | 411..=422) && operation != "SLO" {
                    self.history.violation(format!("{operation} {path}: {answer:?}"));
                }
            }
            Err(_) => self.history.count(operation, "broken off"),
        }
        answer
    }

    /// The same for a write.
    fn write(
        &mut self,
        operation: &'static str,
        id: u64,
        (path, what): (&str, What),
        with: impl FnOnce(Request) -> Request,
    ) -> Option<Response> {
        let method = match what {
            What::Put(..) | What::Copy(_) | What::Make => "PUT",
            What::Post(_) => "POST",
            What::Delete => "DELETE",
        };
        self.history.begin(id, self.number, path, what);
        match self.request(operation, method, path, with) {
            Ok(answer) => {
                self.history.end(id, path, answer.status);
                Some(answer)
            }
            // Whoever was asked may still do it.
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => None,
            Err(_) => {
                self.history.end(id, path, 0);
                None
            }
        }
    }

    fn length(&mut self) -> usize {
        match self.rng.usize(..100) {
            0..85 => self.rng.usize(..8 << 10),
            85..97 => self.rng.usize(64 << 10..512 << 10),
            _ => self.rng.usize(1 << 20..5 << 20),
        }
    }

    fn put(&mut self, path: &str, life: Option<u64>) {
        let id = self.history.number();
        self.put_as(id, path, life);
    }

    fn put_as(&mut self, id: u64, path: &str, life: Option<u64>) {
        let length = self.length();
        let has_etag = self.rng.bool();
        let body = body(id, path, length);
        let md5 = md5_hex(&body);
        let content = Content { etag: md5.clone(), md5: md5.clone(), length: body.len() };
        let answer = self.write("PUT", id, (path, What::Put(content, life)), |mut request| {
            if has_etag {
                request = request.header("ETag", &md5);
            }
            if let Some(life) = life {
                request = request.header("X-Delete-After", life.to_string());
            }
            described(request, id).body(body)
        });
        if let Some(answer) = answer.filter(|answer| answer.status == 201)
            && answer.header("ETag").map(|etag| etag.trim_matches('"')) != Some(&md5)
        {
            self.history.violation(format!("PUT {path} {id} was answered with another ETag: {answer:?}"));
        }
    }

    fn post(&mut self, path: &str) {
        let id = self.history.number();
        let has_type = self.rng.usize(..3) == 0;
        self.write("POST", id, (path, What::Post(has_type)), |request| {
            let request = request.header("X-Object-Meta-Post", id.to_string());
            if has_type { request.header("Content-Type", content_type(id)) } else { request }
        });
    }

    fn delete(&mut self, path: &str) {
        let id = self.history.number();
        self.write("DELETE", id, (path, What::Delete), |request| request);
    }

    /// Makes or deletes a container that nobody puts anything into.
    fn container(&mut self, number: usize) {
        let (id, name) = (self.history.number(), format!("box{number}"));
        if self.rng.bool() {
            self.write("PUT cont.", id, (&name, What::Make), |request| request);
        } else {
            self.write("DEL cont.", id, (&name, What::Delete), |request| request);
        }
    }

    fn copy(&mut self, from: &str, to: &str) {
        let id = self.history.number();
        self.write("COPY", id, (to, What::Copy(from.to_owned())), |request| {
            described(request, id).header("X-Copy-From", from).header("X-Fresh-Metadata", "true")
        });
    }

    /// A static large object of segments that nobody overwrites.
    fn large(&mut self, path: &str) {
        let id = self.history.number();
        let many = self.rng.usize(2..=4);
        let (mut whole, mut etags, mut manifest) = (Vec::new(), String::new(), Vec::new());
        for i in 0..many {
            let (segment, number) = (format!("{SEGMENTS}/{id}-{i}"), self.history.number());
            let body = body(number, &segment, self.rng.usize(1..20_000));
            let md5 = md5_hex(&body);
            let content = Content { etag: md5.clone(), md5: md5.clone(), length: body.len() };
            let answer = self.write("segment", number, (&segment, What::Put(content, None)), |request| {
                described(request, number).body(&body)
            });
            if answer.is_none_or(|answer| answer.status != 201) {
                return;
            }
            whole.extend_from_slice(&body);
            etags.push_str(&md5);
            manifest.push(json!({"path": format!("/{segment}"), "etag": md5, "size_bytes": body.len()}));
        }
        let content = Content { etag: md5_hex(etags.as_bytes()), md5: md5_hex(&whole), length: whole.len() };
        self.write("SLO", id, (path, What::Put(content, None)), |request| {
            described(request.query("multipart-manifest=put"), id).body(Value::Array(manifest).to_string())
        });
    }

    fn get(&mut self, path: &str) {
        let newest = self.rng.bool();
        let answer = self.request("GET", "GET", path, |r| if newest { r.header("X-Newest", "true") } else { r });
        if let Some(answer) = answer.ok().filter(|answer| answer.status == 200)
            && let Err(why) = self.history.check_read(path, &Seen::of(&answer))
        {
            self.history.violation(format!("GET: {why}\n{}", self.history.tell(path)));
        }
    }

    /// A listing names only what somebody wrote.
    fn list(&mut self, container: &str) {
        let prefix = self.rng.bool();
        let answer = self.request("GET list", "GET", container, |r| if prefix { r.query("prefix=o") } else { r });
        for name in answer.ok().filter(|answer| answer.status == 200).iter().flat_map(Response::lines) {
            if self.history.of(&format!("{container}/{name}")).is_empty() {
                self.history.violation(format!("{container} lists {name}, which nobody wrote"));
            }
        }
    }
}

/// Names the write in the object's metadata and content type.
fn described(request: Request, id: u64) -> Request {
    request.header("X-Object-Meta-Put", id.to_string()).header("Content-Type", content_type(id))
}

/// A body that says whose it is, for people, and is of nobody else.
fn body(id: u64, path: &str, length: usize) -> Vec<u8> {
    let mut body = format!("storm {id} {path} {length}\n").into_bytes();
    body.extend(bytes(id, length));
    body
}
