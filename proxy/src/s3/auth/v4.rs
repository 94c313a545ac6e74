//! Signatures of version 4: HMAC-SHA256 over the whole request but for headers that are not named, with a key for one day,
//! one region and one service. Pieces of a body may be signed too, each with the signature before it ([`Chain`]).

use std::fmt::Write as _;

use apus_base::hex::hex;
use apus_base::timestamp::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::HeaderName;
use http::header::{AUTHORIZATION, DATE};
use http::request::Parts;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use sha2::{Digest as _, Sha256};

use super::{date, header, joined, mismatch, spelled};
use crate::s3::asked::{Asked, Query};
use crate::s3::code::Code;
use crate::s3::config::Config;
use crate::s3::fault::Fault;

/// What the `Authorization` header begins with.
pub(super) const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "s3";
const TERMINAL: &str = "aws4_request";
/// A week, the longest that a signed URL holds.
const MAX_EXPIRY_SECS: i64 = 604_800;
/// What is not escaped in what is signed.
const UNESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const UNESCAPED_PATH: &AsciiSet = &UNESCAPED.remove(b'/');

/// What a request says of its sender.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The access key.
    pub access_key: String,
    /// Whether all of this is in the query.
    pub in_query: bool,
    /// The names of the headers that are signed.
    signed: Vec<String>,
    signature: String,
    /// `20260102T030405Z`.
    moment: String,
    /// `20260102/us-east-1/s3/aws4_request`.
    scope: String,
}

/// A credential: the access key and four words of scope.
struct Credential<'a> {
    access_key: &'a str,
    scope: [&'a str; 4],
}

impl<'a> Credential<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts[..] {
            [access_key, date, region, service, terminal] if !access_key.is_empty() => {
                Some(Self { access_key, scope: [date, region, service, terminal] })
            }
            _ => None,
        }
    }

    /// The region is taken in lower case too, as some clients write it.
    fn is_of(&self, date: &str, region: &str) -> Result<(), (usize, String)> {
        let expected = [date, region, SERVICE, TERMINAL];
        for (at, (given, expected)) in self.scope.iter().zip(expected).enumerate() {
            let lower = at == 1 && *given == expected.to_ascii_lowercase();
            if *given != expected && !lower {
                return Err((at, expected.to_owned()));
            }
        }
        Ok(())
    }
}

impl Claim {
    pub(super) fn of(parts: &Parts, query: &Query, config: &Config, now: Timestamp) -> Result<Self, Fault> {
        if query.has("X-Amz-Credential") {
            Self::in_query(query, config, now)
        } else {
            Self::in_header(parts, config, now)
        }
    }

    fn in_header(parts: &Parts, config: &Config, now: Timestamp) -> Result<Self, Fault> {
        let amz_date = header(&parts.headers, "x-amz-date");
        let signed_at = match amz_date {
            "" => date::any(header(&parts.headers, DATE.as_str())),
            amz_date => date::any(amz_date),
        };
        let signed_at = signed_at.ok_or_else(date::missing)?;
        date::check_skew(signed_at, now, config)?;
        let text = header(&parts.headers, AUTHORIZATION.as_str());
        let field = |name: &str| {
            text.split_once(name).map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default().trim())
        };
        let credential = Credential::parse(field("Credential=")).ok_or(Fault::new(Code::AccessDenied))?;
        let signature = field("Signature=");
        if signature.is_empty() {
            return Err(Fault::new(Code::AccessDenied));
        }
        if field("SignedHeaders=").is_empty() {
            return Err(Fault::new(Code::AuthorizationHeaderMalformed));
        }
        let moment = moment(signed_at);
        credential.is_of(&moment[..8], &config.location).map_err(|(at, expected)| {
            let given = credential.scope[at];
            let sentence = match at {
                0 => format!("Invalid credential date \"{given}\". This date is not the same as X-Amz-Date: \"{expected}\"."),
                1 => format!("The authorization header is malformed; the region '{given}' is wrong; expecting '{expected}'"),
                2 => format!("The authorization header is malformed; incorrect service \"{given}\". This endpoint belongs to \"{expected}\"."),
                _ => format!("The authorization header is malformed; incorrect terminal \"{given}\". This endpoint uses \"{expected}\"."),
            };
            out_of_scope(Fault::saying(Code::AuthorizationHeaderMalformed, sentence), at, expected)
        })?;
        Ok(Self::new(&credential, false, field("SignedHeaders="), signature, moment))
    }

    fn in_query(query: &Query, config: &Config, now: Timestamp) -> Result<Self, Fault> {
        let value = |name: &str| query.get(name);
        let signed_at = value("X-Amz-Date").and_then(|date| date::any(&date)).ok_or_else(date::missing)?;
        check_expiry(&value("X-Amz-Expires").ok_or(Fault::new(Code::AccessDenied))?, signed_at, now, config)?;
        let algorithm = value("X-Amz-Algorithm").unwrap_or_default();
        if algorithm != ALGORITHM {
            return Err(Fault::argument("X-Amz-Algorithm", &algorithm, Code::InvalidArgument.message()));
        }
        let credential = value("X-Amz-Credential").unwrap_or_default();
        let credential = Credential::parse(&credential).ok_or(Fault::new(Code::AccessDenied))?;
        let signature = value("X-Amz-Signature").filter(|signature| !signature.is_empty());
        let signature = signature.ok_or(Fault::new(Code::AccessDenied))?;
        let signed = value("X-Amz-SignedHeaders").ok_or(Fault::new(Code::AuthorizationHeaderMalformed))?;
        let moment = moment(signed_at);
        credential.is_of(&moment[..8], &config.location).map_err(|(at, expected)| {
            let given = credential.scope[at];
            let sentence = match at {
                0 => format!("Invalid credential date \"{given}\". This date is not the same as X-Amz-Date: \"{expected}\"."),
                1 => format!("Error parsing the X-Amz-Credential parameter; the region '{given}' is wrong; expecting '{expected}'"),
                2 => format!("Error parsing the X-Amz-Credential parameter; incorrect service \"{given}\". This endpoint belongs to \"{expected}\"."),
                _ => format!("Error parsing the X-Amz-Credential parameter; incorrect terminal \"{given}\". This endpoint uses \"{expected}\"."),
            };
            out_of_scope(Fault::saying(Code::AuthorizationQueryParameters, sentence), at, expected)
        })?;
        Ok(Self::new(&credential, true, &signed, &signature, moment))
    }

    fn new(credential: &Credential<'_>, in_query: bool, signed: &str, signature: &str, moment: String) -> Self {
        let mut signed: Vec<String> = signed.split(';').map(str::to_owned).collect();
        signed.sort_unstable();
        signed.dedup();
        let (access_key, scope) = (credential.access_key.to_owned(), credential.scope.join("/"));
        Self { access_key, in_query, signed, signature: signature.to_owned(), moment, scope }
    }

    pub(super) fn check(&self, parts: &Parts, asked: &Asked, secret: &str) -> Result<Chain, Fault> {
        let canonical = self.canonical_request(parts, asked)?;
        let text = format!("{ALGORITHM}\n{}\n{}\n{}", self.moment, self.scope, hex(&Sha256::digest(&canonical)));
        let key = key_for(&self.scope, secret);
        let chain = Chain {
            key,
            moment: self.moment.clone(),
            scope: self.scope.clone(),
            previous: self.signature.clone(),
            access_key: self.access_key.clone(),
            canonical,
        };
        if chain.is_signature_of(&self.signature, &text) {
            Ok(chain)
        } else {
            Err(chain.mismatch(&self.signature, &text))
        }
    }

    fn canonical_request(&self, parts: &Parts, asked: &Asked) -> Result<String, Fault> {
        self.check_all_are_signed(parts)?;
        let mut text = format!("{}\n", parts.method);
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", percent_encode(asked.path.as_bytes(), UNESCAPED_PATH));
        let _ = writeln!(text, "{}", canonical_query(&asked.query));
        for name in &self.signed {
            if !parts.headers.contains_key(name) {
                return Err(Fault::new(Code::SignatureDoesNotMatch));
            }
            let value = joined(&parts.headers, name);
            let _ = writeln!(text, "{name}:{}", value.split_whitespace().collect::<Vec<_>>().join(" "));
        }
        let payload = match header(&parts.headers, "x-amz-content-sha256") {
            "" => "UNSIGNED-PAYLOAD",
            payload => payload,
        };
        let _ = write!(text, "\n{}\n{payload}", self.signed.join(";"));
        Ok(text)
    }

    /// A header that S3 acts upon must not be added by whoever passes a request on. Of those that say how the body comes,
    /// the hash is signed by itself, and the others only break what does not fit it.
    fn check_all_are_signed(&self, parts: &Parts) -> Result<(), Fault> {
        let unsigned = |name: &&HeaderName| {
            let name = name.as_str();
            name.starts_with("x-amz-")
                && name != "x-amz-content-sha256"
                && !self.signed.iter().any(|signed| signed == name)
        };
        match parts.headers.keys().find(unsigned) {
            Some(name) => {
                let sentence = "There were headers present in the request which were not signed";
                Err(Fault::saying(Code::AccessDenied, sentence).with("HeadersNotSigned", name.as_str()))
            }
            None => Ok(()),
        }
    }
}

fn out_of_scope(fault: Fault, at: usize, expected: String) -> Fault {
    if at == 1 { fault.with("Region", expected) } else { fault }
}

fn check_expiry(text: &str, signed_at: i64, now: Timestamp, config: &Config) -> Result<(), Fault> {
    let refuse = |sentence: &'static str| Err(Fault::saying(Code::AuthorizationQueryParameters, sentence));
    let Ok(expires) = text.trim().parse::<i64>() else {
        return refuse("X-Amz-Expires should be a number");
    };
    if expires < 0 {
        return refuse("X-Amz-Expires must be non-negative");
    }
    if expires > MAX_EXPIRY_SECS {
        return refuse(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        );
    }
    let now_secs = i64::try_from(now.secs()).unwrap_or(i64::MAX);
    if signed_at.saturating_add(expires) < now_secs {
        return Err(Fault::saying(Code::AccessDenied, "Request has expired"));
    }
    // One from the future would hold longer than a week.
    if signed_at > now_secs { date::check_skew(signed_at, now, config) } else { Ok(()) }
}

fn canonical_query(query: &Query) -> String {
    let escaped = |bytes: &[u8]| percent_encode(bytes, UNESCAPED).to_string();
    let pairs = query.pairs().iter().filter(|(name, _)| name != "X-Amz-Signature" && name != "Signature");
    let mut pairs: Vec<_> = pairs.map(|(name, value)| (escaped(name.as_bytes()), escaped(value))).collect();
    pairs.sort_unstable();
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}

/// A moment as version 4 writes it.
fn moment(secs: i64) -> String {
    let format = time::macros::format_description!("[year][month][day]T[hour][minute][second]Z");
    let moment = time::OffsetDateTime::from_unix_timestamp(secs).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    // Moments that were read have years of four digits.
    moment.format(format).unwrap_or_else(|_| "19700101T000000Z".into())
}

/// Checks the pieces of a body, one after the other: each one's signature signs the one before it too.
#[derive(Clone)]
pub struct Chain {
    key: Vec<u8>,
    moment: String,
    scope: String,
    previous: String,
    /// For who has to find out why a signature is wrong.
    access_key: String,
    canonical: String,
}

impl Chain {
    /// Takes the signature of the next piece of a body, whose hash is this in hexadecimal digits.
    ///
    /// # Errors
    /// When it is another's.
    pub fn next(&mut self, signature: &str, hash: &str) -> Result<(), Fault> {
        let empty = hex(&Sha256::digest(b""));
        let text = format!("{ALGORITHM}-PAYLOAD\n{}\n{}\n{}\n{empty}\n{hash}", self.moment, self.scope, self.previous);
        self.advance(signature, &text)
    }

    /// Takes the signature of the trailers, `name:value` in lines.
    ///
    /// # Errors
    /// When it is another's.
    pub fn end(&mut self, signature: &str, trailers: &str) -> Result<(), Fault> {
        let trailers = if trailers.is_empty() { "\n" } else { trailers };
        let hash = hex(&Sha256::digest(trailers));
        let text = format!("{ALGORITHM}-TRAILER\n{}\n{}\n{}\n{hash}", self.moment, self.scope, self.previous);
        self.advance(signature, &text)
    }

    fn advance(&mut self, signature: &str, text: &str) -> Result<(), Fault> {
        signature.clone_into(&mut self.previous);
        if self.is_signature_of(signature, text) { Ok(()) } else { Err(self.mismatch(signature, text)) }
    }

    fn mismatch(&self, signature: &str, text: &str) -> Fault {
        let fault = mismatch(&self.access_key, signature, text).with("CanonicalRequest", self.canonical.as_str());
        fault.with("CanonicalRequestBytes", spelled(&self.canonical))
    }

    fn is_signature_of(&self, signature: &str, text: &str) -> bool {
        is_signature_of(&self.key, signature, text)
    }
}

/// Checks the signature of a form's policy. That the policy holds is another's business.
///
/// # Errors
/// When it is another's, or for another region.
pub(in crate::s3) fn check_policy(
    credential: &str,
    signature: &str,
    policy: &str,
    secret: &str,
    config: &Config,
) -> Result<(), Fault> {
    let parsed = Credential::parse(credential).ok_or(Fault::new(Code::AccessDenied))?;
    if let Err((_, expected)) = parsed.is_of(parsed.scope[0], &config.location) {
        let sentence = format!("the credential '{credential}' is for another place; expecting '{expected}'");
        return Err(Fault::argument("X-Amz-Credential", credential, sentence));
    }
    let key = key_for(&parsed.scope.join("/"), secret);
    if is_signature_of(&key, signature, policy) { Ok(()) } else { Err(mismatch(parsed.access_key, signature, policy)) }
}

/// The key for a scope.
fn key_for(scope: &str, secret: &str) -> Vec<u8> {
    scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, word| mac(&key, word.as_bytes()))
}

fn is_signature_of(key: &[u8], signature: &str, text: &str) -> bool {
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text.as_bytes()));
    mac.ok().zip(unhex(signature)).is_some_and(|(mac, given)| mac.verify_slice(&given).is_ok())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    // HMAC takes keys of every length.
    let mac = Hmac::<Sha256>::new_from_slice(key).map(|mac| mac.chain_update(text).finalize().into_bytes().to_vec());
    mac.unwrap_or_default()
}

/// The bytes of hexadecimal digits in lower case.
fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| if let [high, low] = pair { Some(digit(*high)? << 4 | digit(*low)?) } else { None }).collect()
}

#[cfg(test)]
mod tests;
