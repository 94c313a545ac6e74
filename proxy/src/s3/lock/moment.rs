//! Moments as clients of object lock write them: ISO 8601, as RFC 3339 narrows it. Pure.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads one, in seconds since 1970. A part of a second counts as one, so that it is not less than was asked for.
pub(super) fn parse(text: &str) -> Option<u64> {
    let moment = OffsetDateTime::parse(text.trim(), &Rfc3339).ok()?;
    let secs = u64::try_from(moment.unix_timestamp()).ok()?;
    Some(secs + u64::from(moment.nanosecond() > 0))
}

/// Writes one. What is after the year 9999 is nothing that a client can have written.
pub(super) fn show(secs: u64) -> String {
    let moment = i64::try_from(secs).ok().and_then(|secs| OffsetDateTime::from_unix_timestamp(secs).ok());
    moment.and_then(|moment| moment.format(&Rfc3339).ok()).unwrap_or_else(|| "9999-12-31T23:59:59Z".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn moments() {
        for (text, secs) in [
            ("2024-04-05T19:34:38Z", Some(1_712_345_678)),
            ("2024-04-05T19:34:37.001Z", Some(1_712_345_678)),
            ("2024-04-05T21:34:38+02:00", Some(1_712_345_678)),
            (" 2024-04-05T19:34:38Z", Some(1_712_345_678)),
            ("1960-04-05T19:34:38Z", None),
            ("2024-04-05", None),
            ("2024-04-05T19:34:38", None),
            ("", None),
        ] {
            assert_eq!(parse(text), secs, "{text}");
        }
        assert_eq!(
            (show(1_712_345_678).as_str(), show(u64::MAX).as_str()),
            ("2024-04-05T19:34:38Z", "9999-12-31T23:59:59Z")
        );
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read(secs in 0..253_402_300_799u64) {
            prop_assert_eq!(parse(&show(secs)), Some(secs));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,30}|[0-9TZ:.+-]{0,30}", secs: u64) {
            let _ = (parse(&text), show(secs));
        }
    }
}
