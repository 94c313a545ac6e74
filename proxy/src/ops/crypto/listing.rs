//! The ETags in a container's listing, decrypted as the rows pass by. All other bytes go on as they came.

use std::borrow::Cow;
use std::sync::Arc;

use apus_base::body::Body;
use apus_base::crypto::{Keymaster, open_listed};
use http::Response;
use http::header::CONTENT_LENGTH;
use serde::Deserialize;

use crate::Proxy;
use crate::ops::container::ContainerName;
use crate::ops::rows::{self, Written};

/// What stands for an ETag that cannot be decrypted.
const UNKNOWN: &str = "<unknown>";

/// Decrypts a listing, JSON as container servers send it. A cluster without secrets may still hold encrypted rows.
pub(in crate::ops) fn open_listing(proxy: &Proxy, name: ContainerName<'_>, response: Response<Body>) -> Response<Body> {
    if rows::are_plain(response.headers()) {
        return response;
    }
    let mut response = response;
    response.headers_mut().remove(CONTENT_LENGTH);
    let mut opener = Opener {
        keymaster: Arc::clone(&proxy.keymaster),
        account: name.account.to_owned(),
        container: name.container.to_owned(),
        has_complained: false,
    };
    let change = move |row: Option<&[u8]>, to: &mut Written| match row {
        Some(row) => to.row(|out| {
            opener.open(row, out);
            Ok(())
        }),
        None => Ok(()),
    };
    response.map(|body| rows::map(body, change))
}

/// Decrypts the ETags of one container's rows.
struct Opener {
    keymaster: Arc<Keymaster>,
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
        // What an ETag was encrypted with stands behind it.
        if !rows::shaped(row) {
            return out.extend_from_slice(row);
        }
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
        let mut opener =
            Opener { keymaster: Arc::default(), account: "a".into(), container: "c".into(), has_complained: false };
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
