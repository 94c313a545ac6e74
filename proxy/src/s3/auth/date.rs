//! When a client says that it signed a request. Pure.

use apus_base::timestamp::Timestamp;
use time::format_description::well_known::Rfc2822;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

use crate::s3::code::Code;
use crate::s3::config::Config;
use crate::s3::fault::Fault;

/// A moment as version 4 writes it, `20260102T030405Z`.
pub(super) fn amz(text: &str) -> Option<i64> {
    let format = format_description!("[year][month][day]T[hour][minute][second]Z");
    PrimitiveDateTime::parse(text, format).ok().map(|moment| moment.assume_utc().unix_timestamp())
}

/// A moment in one of the forms of HTTP and mail, or as version 4 writes it.
pub(in crate::s3) fn any(text: &str) -> Option<i64> {
    let http = || httpdate::parse_http_date(text).ok().map(|moment| OffsetDateTime::from(moment).unix_timestamp());
    let mail = || OffsetDateTime::parse(text, &Rfc2822).ok().map(OffsetDateTime::unix_timestamp);
    let plain = format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]");
    let plain = || PrimitiveDateTime::parse(text, plain).ok().map(|moment| moment.assume_utc().unix_timestamp());
    http().or_else(mail).or_else(|| amz(text)).or_else(plain).filter(|moment| *moment >= 0)
}

/// The answer to a request without a date that can be read.
pub(super) fn missing() -> Fault {
    Fault::saying(Code::AccessDenied, "AWS authentication requires a valid Date or x-amz-date header")
}

/// # Errors
/// When a moment is further from now than clocks may be.
pub(super) fn check_skew(signed: i64, now: Timestamp, config: &Config) -> Result<(), Fault> {
    let now = i64::try_from(now.secs()).unwrap_or(i64::MAX);
    let skewed = signed.abs_diff(now) > config.allowable_clock_skew;
    if skewed { Err(Fault::new(Code::RequestTimeTooSkewed)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    // Not the strategy of that name.
    use super::any;
    use super::*;
    use proptest::proptest;

    #[test]
    fn moments_are_read_in_each_form() {
        for text in [
            "Fri, 05 Apr 2024 19:34:38 GMT",
            "Fri, 05 Apr 2024 19:34:38 +0000",
            "Fri, 05 Apr 2024 21:34:38 +0200",
            "20240405T193438Z",
            "2024-04-05T19:34:38",
        ] {
            assert_eq!(any(text), Some(1_712_345_678), "{text}");
        }
        assert_eq!((any(""), any("now"), amz("2024-04-05")), (None, None, None));
    }

    #[test]
    fn clocks_may_differ_a_little() {
        let config = Config { allowable_clock_skew: 10, ..Config::default() };
        let check = |signed| check_skew(signed, Timestamp::from_secs(1000), &config).is_ok();
        assert!(check(990) && check(1010) && !check(989) && !check(1011) && !check(i64::MIN));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}|[0-9TZ:-]{0,20}") {
            let _ = any(&text);
        }
    }
}
