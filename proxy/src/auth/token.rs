//! Tokens: signed statements that somebody proved to be a user until some time.
//!
//! Nothing is stored, so tokens outlive the process and hold at every proxy with the same secret. A token is
//! `<reseller prefix>tk` and base64url, without padding, of
//!
//! ```text
//! version (1 byte, 1) | expiry (8 bytes, big endian, ticks of 10 µs since 1970) | "account:user" (UTF-8) | MAC (32 bytes)
//! ```
//!
//! The MAC is HMAC-SHA256 under the cluster's token secret of all before it followed by the SHA-256 of the user's key.
//! Groups are looked up when a token is shown: a user who was removed, or whose key changed, loses access at once.

use apus_base::timestamp::Timestamp;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use super::user::{Known, Secret, Users};

const VERSION: u8 = 1;
/// Version and expiry.
const HEAD_LEN: usize = 9;
const MAC_LEN: usize = 32;
/// More than a token of the longest sensible user name needs.
const MAX_LEN: usize = 1024;

/// Makes and checks tokens.
#[derive(Clone)]
pub struct Tokens {
    mac: Hmac<Sha256>,
    /// `AUTH_tk`.
    prefix: String,
}

/// A secret too short to keep tokens from being forged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("token_secret must have at least 16 characters; `openssl rand -hex 32` makes a good one")]
pub struct WeakSecret;

impl Tokens {
    /// From the cluster's secret and the first reseller's prefix.
    ///
    /// # Errors
    /// When the secret is too short.
    pub fn new(secret: &Secret, reseller_prefix: &str) -> Result<Self, WeakSecret> {
        if secret.0.len() < 16 {
            return Err(WeakSecret);
        }
        let mac = Hmac::new_from_slice(secret.0.as_bytes()).map_err(|_| WeakSecret)?;
        Ok(Self { mac, prefix: format!("{reseller_prefix}tk") })
    }

    /// A token for a user.
    pub fn issue(&self, user: &Known, expiry: Timestamp) -> String {
        let mut token = vec![VERSION];
        token.extend(expiry.ticks().to_be_bytes());
        token.extend(user.identity.user.as_bytes());
        let mac = self.mac_of(&token, &user.key).finalize().into_bytes();
        token.extend(mac);
        format!("{}{}", self.prefix, URL_SAFE_NO_PAD.encode(token))
    }

    /// The user whose token that is, unless it is forged, too old, or from before the user's key changed.
    pub fn verify<'a>(&self, token: &str, users: &'a Users, now: Timestamp) -> Option<&'a Known> {
        let encoded = token.strip_prefix(self.prefix.as_str()).filter(|t| t.len() <= MAX_LEN)?;
        let token = URL_SAFE_NO_PAD.decode(encoded).ok()?;
        let (signed, mac) = token.split_at_checked(token.len().checked_sub(MAC_LEN)?)?;
        let (head, name) = signed.split_at_checked(HEAD_LEN)?;
        let (version, expiry) = head.split_first()?;
        let user = users.get(std::str::from_utf8(name).ok()?)?;
        self.mac_of(signed, &user.key).verify_slice(mac).ok()?;
        let expiry = u64::from_be_bytes(expiry.try_into().ok()?);
        (*version == VERSION && now.ticks() < expiry).then_some(user)
    }

    /// Whether a key is the user's, in a time that tells nothing of where they differ.
    pub fn is_key_of(&self, user: &Known, key: &[u8]) -> bool {
        let theirs = self.mac.clone().chain_update(user.key.0.as_bytes()).finalize().into_bytes();
        self.mac.clone().chain_update(key).verify_slice(&theirs).is_ok()
    }

    fn mac_of(&self, signed: &[u8], key: &Secret) -> Hmac<Sha256> {
        self.mac.clone().chain_update(signed).chain_update(Sha256::digest(key.0.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::reseller::{Reseller, Resellers};
    use crate::auth::user::User;
    use proptest::prelude::*;

    fn users(list: &[&str]) -> Users {
        let resellers = Resellers::new(vec![Reseller { prefix: "AUTH".into(), require_group: None }]).unwrap();
        Users::new(list.iter().map(|text| User::parse(text).unwrap()).collect(), &resellers).unwrap()
    }

    fn tokens(secret: &str) -> Tokens {
        Tokens::new(&Secret(secret.into()), "AUTH_").unwrap()
    }

    const SECRET: &str = "a secret of the whole cluster";

    #[test]
    fn a_token_holds_at_every_proxy_until_it_expires() {
        let users = users(&["test:tester:testing:.admin"]);
        let expiry = Timestamp::from_secs(1000);
        let token = tokens(SECRET).issue(users.get("test:tester").unwrap(), expiry);
        assert!(token.starts_with("AUTH_tk"));
        let shown_at =
            |secs| tokens(SECRET).verify(&token, &users, Timestamp::from_secs(secs)).map(|u| u.account.clone());
        assert_eq!(shown_at(999).as_deref(), Some("test"));
        assert_eq!(shown_at(1000), None);
        assert!(tokens("the secret of another cluster").verify(&token, &users, Timestamp::ZERO).is_none());
    }

    #[test]
    fn a_removed_user_and_a_changed_key_end_it_at_once() {
        let before = users(&["test:tester:testing"]);
        let token = tokens(SECRET).issue(before.get("test:tester").unwrap(), Timestamp::from_secs(1000));
        let still = |users| tokens(SECRET).verify(&token, &users, Timestamp::ZERO).is_some();
        assert!(still(users(&["test:tester:testing:.admin"])));
        assert!(!still(users(&["test:tester:changed"])));
        assert!(!still(users(&["test:other:testing"])));
    }

    #[test]
    fn keys_are_told_apart() {
        let users = users(&["a:b:key"]);
        let user = users.get("a:b").unwrap();
        assert!(tokens(SECRET).is_key_of(user, b"key"));
        for wrong in [&b""[..], b"ke", b"keyy", b"Key", b"\xff"] {
            assert!(!tokens(SECRET).is_key_of(user, wrong));
        }
        assert!(Tokens::new(&Secret("short".into()), "AUTH_").is_err());
    }

    proptest! {
        #[test]
        fn no_other_token_is_believed(at in 0usize..200, bit in 0u8..8, junk in "(AUTH_tk)?[A-Za-z0-9_-]{0,90}|\\PC{0,20}") {
            let users = users(&["test:tester:testing"]);
            let tokens = tokens(SECRET);
            let token = tokens.issue(users.get("test:tester").unwrap(), Timestamp::from_secs(1000));
            prop_assert!(tokens.verify(&junk, &users, Timestamp::ZERO).is_none());
            let mut raw = URL_SAFE_NO_PAD.decode(&token["AUTH_tk".len()..]).unwrap();
            let at = at % raw.len();
            raw[at] ^= 1 << bit;
            let changed = format!("AUTH_tk{}", URL_SAFE_NO_PAD.encode(raw));
            prop_assert!(tokens.verify(&changed, &users, Timestamp::ZERO).is_none());
        }
    }
}
