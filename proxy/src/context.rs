//! What is known of a request beside its HTTP: it travels in the request's extensions.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::percent_encode;

use apus_base::clock;
use apus_base::hex::hex;
use apus_base::timestamp::Timestamp;

use crate::auth::Identity;
use crate::swift::response::QUOTED;

/// Set before the first step; the steps fill in what they learn.
#[derive(Clone, Debug)]
pub struct Context {
    /// The transaction's id, `tx…`, in every log line and every backend request.
    pub trans_id: String,
    /// The other end of the connection.
    pub peer: SocketAddr,
    /// Who asks, when a token said so.
    pub identity: Option<Arc<Identity>>,
    /// What a signature in the request lets its bearer do.
    pub grant: Option<Grant>,
}

/// What a signed request may do, whoever sends it. It takes the place of all rights by token and ACL, and makes nobody
/// an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Anything in this account.
    Account(String),
    /// Anything in this container of this account.
    Container(String, String),
    /// What another cluster writes into its copy of a container.
    Sync {
        /// The container's account.
        account: String,
        /// The container.
        container: String,
        /// The version that it has there.
        written: Option<Timestamp>,
    },
}

/// As much of what clients add to a transaction's id as is kept.
const MAX_EXTRA_BYTES: usize = 32;

/// A new transaction id: `tx`, 21 random hexadecimal digits, `-`, ten of the time, and what tells the node and, as far
/// as it fits, the client's own request (`X-Trans-Id-Extra`).
pub fn trans_id(suffix: &str, extra: Option<&HeaderValue>) -> String {
    let mut random = [0; 11];
    // Without randomness the id is merely not unique; that is no reason to refuse a request.
    let _ = getrandom::fill(&mut random);
    let mut id = ["tx", &hex(&random)].concat();
    id.truncate("tx".len() + 21);
    // Writing into a String cannot fail.
    let _ = write!(id, "-{:010x}{}", clock::now().secs(), percent_encode(suffix.as_bytes(), QUOTED));
    if let Some(extra) = extra.map(HeaderValue::as_bytes).filter(|extra| !extra.is_empty()) {
        let extra = &extra[..extra.len().min(MAX_EXTRA_BYTES)];
        let _ = write!(id, "-{}", percent_encode(extra, QUOTED));
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_swifts_shape_and_differ() {
        let extra = HeaderValue::from_bytes(&[b'x'; 40]).unwrap();
        let id = trans_id("-node/1 é", Some(&extra));
        assert_eq!(id.len(), 2 + 21 + 1 + 10 + "-node/1%20%C3%A9".len() + 33);
        assert!(id.starts_with("tx") && id.ends_with(&format!("-node/1%20%C3%A9-{}", "x".repeat(32))));
        assert!(id[2..23].bytes().all(|b| b.is_ascii_hexdigit()));
        let seconds = u64::from_str_radix(&id[24..34], 16).unwrap();
        assert!(clock::now().secs() - seconds < 60);
        assert_ne!(trans_id("", None), trans_id("", None));
        assert_eq!(trans_id("", Some(&HeaderValue::from_static(""))).len(), 34);
    }
}
