//! The ETags in a container's listing, decrypted as the rows pass by. All other bytes go on as they came.

use std::borrow::Cow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use apus_base::body::{Body, BodyError};
use apus_base::crypto::{Keymaster, open_listed};
use bytes::Bytes;
use http::Response;
use http::header::CONTENT_LENGTH;
use http_body::Frame;
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::Proxy;
use crate::middleware::rows::{BadListing, Rows};
use crate::ops::container::ContainerName;

/// What stands for an ETag that cannot be decrypted.
const UNKNOWN: &str = "<unknown>";

/// Decrypts a listing, JSON as container servers send it. A cluster without secrets may still hold encrypted rows.
pub(in crate::ops) fn open_listing(proxy: &Proxy, name: ContainerName<'_>, response: Response<Body>) -> Response<Body> {
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    let opener = Opener {
        keymaster: proxy.keymaster.clone(),
        account: name.account.to_owned(),
        container: name.container.to_owned(),
        has_complained: false,
    };
    let listing = Listing { body, rows: Rows::default(), opener, count: 0, ended: false };
    Response::from_parts(head, listing.boxed_unsync())
}

struct Listing {
    body: Body,
    rows: Rows,
    opener: Opener,
    count: u64,
    ended: bool,
}

impl Listing {
    /// The next piece with its rows' ETags decrypted; empty when no row ended in it.
    fn take(&mut self, piece: &[u8]) -> Result<Vec<u8>, BadListing> {
        let Self { rows, opener, count, .. } = self;
        let mut out = Vec::with_capacity(piece.len());
        rows.feed(piece, |row| {
            out.extend_from_slice(if *count == 0 { b"[" } else { b", " });
            *count += 1;
            opener.open(row, &mut out);
            Ok(())
        })?;
        Ok(out)
    }

    fn end(&mut self) -> Result<Vec<u8>, BadListing> {
        self.ended = true;
        self.rows.end()?;
        Ok(if self.count == 0 { b"[]".to_vec() } else { b"]".to_vec() })
    }
}

impl http_body::Body for Listing {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        while !self.ended {
            let taken = match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => frame.into_data().map_or(Ok(Vec::new()), |piece| self.take(&piece)),
                Some(Err(error)) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                None => self.end(),
            };
            match taken {
                Ok(out) if out.is_empty() => {}
                Ok(out) => return Poll::Ready(Some(Ok(Frame::data(out.into())))),
                Err(bad) => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(BodyError::Source(Box::new(bad)))));
                }
            }
        }
        Poll::Ready(None)
    }
}

/// Decrypts the ETags of one container's rows.
struct Opener {
    keymaster: Keymaster,
    account: String,
    container: String,
    /// One line in the log is enough for a listing.
    has_complained: bool,
}

#[derive(Deserialize)]
struct Row<'a> {
    /// Only as it stands in the row: an ETag with escapes is a plain one, and such a row does not parse.
    #[serde(borrow, default)]
    hash: Option<&'a str>,
}

impl Opener {
    fn open(&mut self, row: &[u8], out: &mut Vec<u8>) {
        // What is encrypted has no character that JSON escapes, so its place in the row is known.
        let parsed = serde_json::from_slice(row);
        let Ok(Row { hash: Some(hash) }) = parsed else { return out.extend_from_slice(row) };
        let at = hash.as_ptr() as usize - row.as_ptr() as usize;
        let plain = self.etag(hash);
        out.extend_from_slice(&row[..at]);
        let json = serde_json::Value::from(&*plain).to_string();
        out.extend_from_slice(json.trim_start_matches('"').strip_suffix('"').unwrap_or_default().as_bytes());
        out.extend_from_slice(&row[at + hash.len()..]);
    }

    fn etag<'a>(&mut self, hash: &'a str) -> Cow<'a, str> {
        open_listed(&self.keymaster, (&self.account, &self.container), hash).unwrap_or_else(|reason| {
            if !self.has_complained {
                let (account, container) = (&self.account, &self.container);
                tracing::error!(%reason, account, container, "a listing's ETag cannot be decrypted");
            }
            self.has_complained = true;
            UNKNOWN.into()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_are_not_encrypted_pass_to_the_byte() {
        let mut opener = Opener {
            keymaster: Keymaster::default(),
            account: "a".into(),
            container: "c".into(),
            has_complained: false,
        };
        let mut opened = |row: &str| {
            let mut out = Vec::new();
            opener.open(row.as_bytes(), &mut out);
            String::from_utf8(out).unwrap()
        };
        for row in [
            r#"{"subdir":"a/"}"#,
            r#"{"name":"x\"y","hash":"d41d8cd98f00b204e9800998ecf8427e","bytes":0}"#,
            r#"{"hash":"a\u0062","name":"escaped"}"#,
            r#"{"hash": null}"#,
            "no JSON",
        ] {
            assert_eq!(opened(row), row);
        }
        let sealed = r#"{"name":"x","hash":"AAAA; swift_meta=%7B%7D","bytes":0}"#;
        assert_eq!(opened(sealed), r#"{"name":"x","hash":"<unknown>","bytes":0}"#);
    }
}
