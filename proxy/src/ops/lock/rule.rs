//! What a container with object lock does to what is written into it: an item of its system metadata. Pure.
//!
//! ```text
//! X-Container-Sysmeta-Object-Lock: ENABLED
//! X-Container-Sysmeta-Object-Lock: COMPLIANCE 30 DAYS
//! ```

use std::fmt;
use std::str::FromStr;

use apus_base::client::ContainerInfo;
use apus_base::object_lock::{BadLock, Mode, Retention};
use apus_base::timestamp::Timestamp;
use http::{HeaderName, HeaderValue};

/// Where a container has it.
pub const KEPT: HeaderName = HeaderName::from_static("x-container-sysmeta-object-lock");
/// The same, as what is known of containers has it.
const KEY: &str = "object-lock";
const ENABLED: &str = "ENABLED";
const DAYS: &str = "DAYS";
const YEARS: &str = "YEARS";

/// AWS's limits.
const MAX_DAYS: u64 = 36_500;
const MAX_YEARS: u64 = 100;
const DAYS_OF_A_YEAR: u64 = 365;
const SECS_OF_A_DAY: u64 = 86_400;

/// How long something is retained from when it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// So many days.
    Days(u64),
    /// So many times 365 days.
    Years(u64),
}

/// A period that is none, or too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPeriod {
    /// Nothing is retained for no time.
    #[error("Default retention period must be a positive integer value.")]
    Zero,
    /// A hundred years are the most.
    #[error("Default retention period too large")]
    TooLong,
}

impl Period {
    /// # Errors
    /// When it is zero or too long.
    pub fn check(self) -> Result<Self, BadPeriod> {
        let (count, most) = match self {
            Self::Days(days) => (days, MAX_DAYS),
            Self::Years(years) => (years, MAX_YEARS),
        };
        match count {
            0 => Err(BadPeriod::Zero),
            count if count > most => Err(BadPeriod::TooLong),
            _ => Ok(self),
        }
    }

    fn secs(self) -> u64 {
        let days = match self {
            Self::Days(days) => days,
            Self::Years(years) => years.saturating_mul(DAYS_OF_A_YEAR),
        };
        days.saturating_mul(SECS_OF_A_DAY)
    }
}

/// What a container with object lock does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// How what comes without a retention is retained.
    pub default: Option<(Mode, Period)>,
}

impl Rule {
    /// The rule of a container; `None` if it has no object lock. One that cannot be read is one without a default.
    pub fn of(info: &ContainerInfo) -> Option<Self> {
        let kept = info.sysmeta.get(KEY).filter(|kept| !kept.is_empty())?;
        Some(kept.parse().unwrap_or_else(|error| {
            tracing::error!(%error, kept, "a container's object lock cannot be read");
            Self::default()
        }))
    }

    /// As it is kept.
    pub fn kept(&self) -> HeaderValue {
        // Letters, digits and spaces fit a header.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static(ENABLED))
    }

    /// How something is retained that is written now.
    pub fn retention(&self, now: Timestamp) -> Option<Retention> {
        let (mode, period) = self.default?;
        // A part of a second counts as one, so that it is not less than was promised.
        Some(Retention { mode, until: now.secs_ceil().saturating_add(period.secs()) })
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.default {
            None => f.write_str(ENABLED),
            Some((mode, Period::Days(days))) => write!(f, "{} {days} {DAYS}", mode.name()),
            Some((mode, Period::Years(years))) => write!(f, "{} {years} {YEARS}", mode.name()),
        }
    }
}

impl FromStr for Rule {
    type Err = BadLock;

    fn from_str(text: &str) -> Result<Self, BadLock> {
        let words: Vec<&str> = text.split(' ').collect();
        let (mode, count, unit) = match words[..] {
            [ENABLED] => return Ok(Self::default()),
            [mode, count, unit] => (mode, count, unit),
            _ => return Err(BadLock),
        };
        let (mode, count) = (Mode::of_name(mode).ok_or(BadLock)?, count.parse().map_err(|_| BadLock)?);
        let period = match unit {
            DAYS => Period::Days(count),
            YEARS => Period::Years(count),
            _ => return Err(BadLock),
        };
        Ok(Self { default: Some((mode, period)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn periods() {
        let rule: Rule = "GOVERNANCE 2 DAYS".parse().unwrap();
        let written: Timestamp = "1000.50000".parse().unwrap();
        assert_eq!(rule.retention(written), Some(Retention { mode: Mode::Governance, until: 1001 + 2 * 86_400 }));
        assert_eq!(Rule::default().retention(written), None);
        assert_eq!(Period::Years(100).check(), Ok(Period::Years(100)));
        assert_eq!(Period::Years(101).check(), Err(BadPeriod::TooLong));
        assert_eq!(
            (Period::Days(0).check(), Period::Days(36_501).check()),
            (Err(BadPeriod::Zero), Err(BadPeriod::TooLong))
        );
    }

    #[test]
    fn a_rule_that_cannot_be_read_is_still_one() {
        let info = |kept: &str| {
            let sysmeta = [(KEY.to_owned(), kept.to_owned())].into();
            Rule::of(&ContainerInfo { sysmeta, ..ContainerInfo::default() })
        };
        assert_eq!((info(""), Rule::of(&ContainerInfo::default())), (None, None));
        assert_eq!((info("ENABLED"), info("what?")), (Some(Rule::default()), Some(Rule::default())));
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(compliance: bool, count: u64, days: bool) {
            let mode = if compliance { Mode::Compliance } else { Mode::Governance };
            let rule = Rule { default: Some((mode, if days { Period::Days(count) } else { Period::Years(count) })) };
            prop_assert_eq!(rule.to_string().parse(), Ok(rule));
            prop_assert!(rule.retention(Timestamp::from_secs(1)).is_some());
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|(GOVERNANCE|DAYS|YEARS| |[0-9]{1,22}){0,5}") {
            let _ = text.parse::<Rule>();
        }
    }
}
