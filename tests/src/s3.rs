//! Requests of S3 that need no SDK: signed in the URL, by version 2, which covers neither body nor conditions.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::Sha1;

use crate::User;

/// When the URLs expire, in seconds since 1970: the last second that there may be.
const EXPIRES: u64 = 2_147_483_647;

/// The target of a request about `bucket/key` without a `Content-Type`, for one user.
pub fn signed(method: &str, path: &str, user: User) -> String {
    let signer = Hmac::<Sha1>::new_from_slice(user.key.as_bytes()).expect("a key of any length");
    let told = format!("{method}\n\n\n{EXPIRES}\n/{path}");
    let signature = STANDARD.encode(signer.chain_update(told).finalize().into_bytes());
    let quoted = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let id = quoted(&format!("{}:{}", user.account, user.name));
    format!("/{path}?AWSAccessKeyId={id}&Expires={EXPIRES}&Signature={}", quoted(&signature))
}
