//! Signatures by which people without an account act in an owner's name: what `tempurl` and `formpost` have in common.
//!
//! A signature is an HMAC under a key that the owner set on an account or a container
//! (`X-{Account,Container}-Meta-Temp-URL-Key[-2]`), as hexadecimal digits or as `<digest>:<base64>`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use hmac::digest::block_api::EagerHash;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use apus_base::client::NoAnswer;
use apus_base::hex::hex;

use crate::Proxy;
use crate::context::Grant;

/// Under what names a resource's metadata holds its keys: two, so that one can be replaced while the other holds.
const KEYS: [&str; 2] = ["temp-url-key", "temp-url-key-2"];

/// Base64 with or without padding, and with stray bits at its end, as Python reads it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true),
);

/// What the HMAC is built on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Digest {
    /// For old clients.
    Sha1,
    /// The usual one.
    Sha256,
    /// Its longer sibling.
    Sha512,
}

impl Digest {
    /// All of them, as Swift allows them unless the operator chooses.
    pub fn all() -> Vec<Self> {
        vec![Self::Sha1, Self::Sha256, Self::Sha512]
    }

    fn named(name: &str) -> Option<Self> {
        match name {
            "sha1" => Some(Self::Sha1),
            "sha256" => Some(Self::Sha256),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    /// The one whose HMAC has so many hexadecimal digits.
    fn of_digits(digits: usize) -> Option<Self> {
        match digits {
            40 => Some(Self::Sha1),
            64 => Some(Self::Sha256),
            128 => Some(Self::Sha512),
            _ => None,
        }
    }
}

/// What `/info` says of the digests that a feature allows.
pub(super) fn digests_info(allowed: &[Digest]) -> Value {
    let mut allowed = allowed.to_vec();
    allowed.sort_unstable();
    allowed.dedup();
    let mut info = json!({ "allowed_digests": allowed });
    if allowed.contains(&Digest::Sha1) {
        info["deprecated_digests"] = json!([Digest::Sha1]);
    }
    info
}

/// A signature that somebody shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) digest: Digest,
    mac: Vec<u8>,
}

impl Signature {
    /// Reads one, of a digest that is allowed.
    pub(super) fn parse(text: &str, allowed: &[Digest]) -> Option<Self> {
        let signature = match text.split_once(':') {
            Some((digest, mac)) => Self { digest: Digest::named(digest)?, mac: from_base64(mac)? },
            None => Self { digest: Digest::of_digits(text.len())?, mac: from_hex(text)? },
        };
        allowed.contains(&signature.digest).then_some(signature)
    }

    /// Whether it is the signature of `message` under `key`, in a time that tells nothing of where it differs.
    pub(super) fn signs(&self, message: &[u8], key: &[u8]) -> bool {
        match self.digest {
            Digest::Sha1 => verify::<Sha1>(key, message, &self.mac),
            Digest::Sha256 => verify::<Sha256>(key, message, &self.mac),
            Digest::Sha512 => verify::<Sha512>(key, message, &self.mac),
        }
    }

    /// In the form that fits a query as it is.
    pub(super) fn to_hex(&self) -> String {
        hex(&self.mac)
    }
}

fn verify<D: EagerHash>(key: &[u8], message: &[u8], mac: &[u8]) -> bool
where
    Hmac<D>: KeyInit + Mac,
{
    <Hmac<D>>::new_from_slice(key).is_ok_and(|hmac| hmac.chain_update(message).verify_slice(mac).is_ok())
}

/// Lower case only, as Swift compares the digits themselves.
fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    text.as_bytes().chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(*pair.get(1)?)?)).collect()
}

/// Of the standard or the URL-safe alphabet, but not of both at once.
fn from_base64(text: &str) -> Option<Vec<u8>> {
    let mut text = text.trim_end_matches('=').to_owned();
    if text.contains(['-', '_']) && !text.contains(['+', '/']) {
        text = text.replace('-', "+").replace('_', "/");
    }
    BASE64.decode(text).ok()
}

/// A key, and what its signatures let their bearer do.
pub(super) type Key = (String, Grant);

/// The keys of an account and a container, none where they are not set.
pub(super) async fn keys(proxy: &Proxy, account: &str, container: &str) -> Result<Vec<Key>, NoAnswer> {
    let mut keys = Vec::new();
    let mut add = |meta: &std::collections::BTreeMap<String, String>, grant: Grant| {
        keys.extend(KEYS.iter().filter_map(|name| meta.get(*name)).map(|key| (key.clone(), grant.clone())));
    };
    if let Some(info) = proxy.client.account_info(account).await?.found() {
        add(&info.meta, Grant::Account(account.to_owned()));
    }
    if let Some(info) = proxy.client.container_info(account, container).await?.found() {
        add(&info.meta, Grant::Container(account.to_owned(), container.to_owned()));
    }
    Ok(keys)
}

/// A whole number as Python reads it: with a sign and spaces around it, if one likes.
pub(super) fn integer(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests;
