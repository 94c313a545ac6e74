//! What the query of a signed URL says. Pure.

use std::net::IpAddr;

use ipnet::IpNet;
use time::PrimitiveDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use crate::middleware::signature::integer;
use crate::swift::listing::parameters;

/// The other spelling of an expiry; its numbers may lack leading zeros.
const ISO_8601: &[BorrowedFormatItem<'_>] = format_description!(
    "[year]-[month padding:none]-[day padding:none]T[hour padding:none]:[minute padding:none]:[second padding:none]Z"
);

/// The parameters of a signed URL; of several of one name the first counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) signature: Option<String>,
    /// As it is written.
    pub(super) expires: Option<String>,
    /// What the names of all objects that are signed begin with.
    pub(super) prefix: Option<String>,
    /// Whence it may be used.
    pub(super) ip_range: Option<String>,
    pub(super) filename: Option<String>,
    pub(super) inline: bool,
}

impl Asked {
    pub(super) fn parse(query: &str) -> Self {
        let mut asked = Self::default();
        for (name, value) in parameters(query) {
            let field = match name.as_str() {
                "temp_url_sig" => &mut asked.signature,
                "temp_url_expires" => &mut asked.expires,
                "temp_url_prefix" => &mut asked.prefix,
                "temp_url_ip_range" => &mut asked.ip_range,
                "filename" => &mut asked.filename,
                "inline" => {
                    asked.inline = true;
                    continue;
                }
                _ => continue,
            };
            field.get_or_insert_with(|| String::from_utf8_lossy(&value).into_owned());
        }
        asked
    }

    /// Whether it means to be a signed URL at all.
    pub(super) fn is_signed(&self) -> bool {
        self.signature.is_some() || self.expires.is_some()
    }

    /// Until when it holds, in seconds since 1970, if that is not past.
    pub(super) fn expires_at(&self, now_secs: u64) -> Option<u64> {
        let text = self.expires.as_deref()?;
        let seconds = integer(text).or_else(|| iso_8601(text))?;
        u64::try_from(seconds).ok().filter(|expires| *expires >= now_secs)
    }

    /// The range that is part of what was signed.
    pub(super) fn ip_range(&self) -> Option<&str> {
        self.ip_range.as_deref().filter(|range| !range.is_empty())
    }

    /// Whether it may be used from there.
    pub(super) fn allows(&self, peer: Option<IpAddr>) -> bool {
        self.ip_range().is_none_or(|range| peer.is_some_and(|peer| is_within(range, peer)))
    }
}

fn iso_8601(text: &str) -> Option<i64> {
    Some(PrimitiveDateTime::parse(text, ISO_8601).ok()?.assume_utc().unix_timestamp())
}

/// A range is one address, or a network with the length of its prefix or with its mask, and nothing in its host's part.
fn is_within(range: &str, peer: IpAddr) -> bool {
    let masked = || {
        let (address, mask) = range.split_once('/')?;
        IpNet::with_netmask(address.parse().ok()?, mask.parse().ok()?).ok()
    };
    let alone = || range.parse::<IpAddr>().ok().map(IpNet::from);
    let net = range.parse::<IpNet>().ok().or_else(alone).or_else(masked);
    // A socket for both families names IPv4 peers in IPv6's spelling.
    net.is_some_and(|net| net.addr() == net.network() && net.contains(&peer.to_canonical()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_first_of_each_counts() {
        let query =
            "temp_url_sig=a%20b&temp_url_sig=x&temp_url_expires=+5&temp_url_prefix=&inline&filename=a%2Fb&other=1";
        let expected = Asked {
            signature: Some("a b".into()),
            expires: Some(" 5".into()),
            prefix: Some(String::new()),
            ip_range: None,
            filename: Some("a/b".into()),
            inline: true,
        };
        assert_eq!(Asked::parse(query), expected);
        assert!(!Asked::parse("temp_url_prefix=a&inline&limit=3").is_signed());
    }

    #[test]
    fn expiries() {
        let at = |text: &str| Asked { expires: Some(text.into()), ..Asked::default() }.expires_at(1000);
        assert_eq!((at("1000"), at("999"), at(" +2000 ")), (Some(1000), None, Some(2000)));
        assert_eq!(at("2017-12-05T21:16:03Z"), Some(1_512_508_563));
        assert_eq!(at("2017-12-5T1:6:3Z"), Some(1_512_435_963));
        assert_eq!(at("1767225600000"), Some(1_767_225_600_000));
        for nonsense in
            ["", "-1", "1e9", "2017-12-05", "2017-12-05T21:16:03", "2017-13-05T21:16:03Z", "1969-12-31T23:59:59Z"]
        {
            assert_eq!(at(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn ranges() {
        let within = |range: &str, peer: &str| is_within(range, peer.parse().unwrap());
        for (range, peer) in [
            ("1.2.3.4", "1.2.3.4"),
            ("1.2.3.0/24", "1.2.3.255"),
            ("1.2.3.0/255.255.255.0", "1.2.3.9"),
            ("0.0.0.0/0", "9.9.9.9"),
            ("1.2.3.4", "::ffff:1.2.3.4"),
            ("2001:db8::/32", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            assert!(within(range, peer), "{range} {peer}");
        }
        for (range, peer) in [
            ("1.2.3.4", "1.2.3.5"),
            ("1.2.3.0/24", "1.2.4.0"),
            // Bits beside the network make it no range.
            ("1.2.3.4/24", "1.2.3.4"),
            ("1.2.3.0/33", "1.2.3.0"),
            ("1.2.3.0/", "1.2.3.0"),
            ("0.0.0.0/0", "::1"),
            ("1.2.3", "1.2.3.0"),
            ("anywhere", "1.2.3.4"),
        ] {
            assert!(!within(range, peer), "{range} {peer}");
        }
        assert!(!Asked::parse("temp_url_ip_range=::/0").allows(None));
        assert!(Asked::parse("temp_url_ip_range=").allows(None));
    }

    proptest! {
        #[test]
        fn any_query_is_read(query in "(temp_url_(sig|expires|prefix|ip_range)=[0-9a-z:/.%TZ+-]{0,30}&?){0,4}|\\PC{0,60}") {
            let asked = Asked::parse(&query);
            let _ = (asked.expires_at(1), asked.allows(Some([1, 2, 3, 4].into())));
        }
    }
}
