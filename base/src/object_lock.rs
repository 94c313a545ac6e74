//! What keeps a version of an object from being removed: a time until which it is retained, and a legal hold. Pure.
//!
//! It is an item of the object's metadata, in two places:
//!
//! ```text
//! X-Object-Sysmeta-Object-Lock: COMPLIANCE 1798761600              what it was written with
//! X-Object-Transient-Sysmeta-Object-Lock: GOVERNANCE 1798761600 HOLD    what was set since, instead of that
//! X-Object-Transient-Sysmeta-Object-Lock: NONE                     that there is none any more
//! ```
//!
//! The first is of the data: nothing but a new PUT changes it. The second is replaced by every POST, so whoever replaces
//! metadata brings it again; if it gets lost all the same, the first one counts again.

use std::fmt;
use std::str::FromStr;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::timestamp::Timestamp;

/// Where an object has the lock that it was written with.
pub const WRITTEN: HeaderName = HeaderName::from_static("x-object-sysmeta-object-lock");
/// Where it has the one that was set since.
pub const CHANGED: HeaderName = HeaderName::from_static("x-object-transient-sysmeta-object-lock");

const NONE: &str = "NONE";
const HOLD: &str = "HOLD";

/// Who may shorten a retention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Those who have the right to.
    Governance,
    /// Nobody.
    Compliance,
}

/// How long a version stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Who may shorten it.
    pub mode: Mode,
    /// Until when, in seconds since 1970.
    pub until: u64,
}

/// What keeps a version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lock {
    /// Until when it is retained, which may be over.
    pub retention: Option<Retention>,
    /// Whether it is held until that is taken back.
    pub hold: bool,
}

/// Text that says no lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not known what keeps the object")]
pub struct BadLock;

impl Mode {
    /// As clients write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Governance => "GOVERNANCE",
            Self::Compliance => "COMPLIANCE",
        }
    }

    /// Reads it.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::Governance, Self::Compliance].into_iter().find(|mode| mode.name() == name)
    }
}

impl Lock {
    /// The lock of an object with these headers. One that cannot be read holds it: it was put for something.
    pub fn of(headers: &HeaderMap) -> Self {
        let set = |name: &HeaderName| headers.get(name).filter(|value| !value.is_empty());
        let Some(value) = set(&CHANGED).or_else(|| set(&WRITTEN)) else { return Self::default() };
        let read = value.to_str().ok().and_then(|text| text.parse().ok());
        read.unwrap_or(Self { retention: None, hold: true })
    }

    /// As it is kept.
    pub fn kept(&self) -> HeaderValue {
        // Letters, digits and spaces fit a header.
        HeaderValue::from_str(&self.to_string()).unwrap_or(HeaderValue::from_static(HOLD))
    }

    /// Whether what has it may be removed. `bypass` is the right to remove what governance retains.
    pub fn is_open(&self, now: Timestamp, bypass: bool) -> bool {
        let is_retained = self.retention.is_some_and(|retention| retention.binds(now, bypass));
        !self.hold && !is_retained
    }

    /// Whether its retention may become another one, or none: longer always; anything else when nobody is bound by it.
    pub fn may_become(&self, new: Option<Retention>, now: Timestamp, bypass: bool) -> bool {
        let Some(old) = self.retention.filter(|old| old.binds(now, bypass)) else { return true };
        new.is_some_and(|new| new.mode == old.mode && new.until >= old.until)
    }
}

impl Retention {
    fn binds(self, now: Timestamp, bypass: bool) -> bool {
        self.until > now.secs() && !(bypass && self.mode == Mode::Governance)
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.retention, self.hold) {
            (Some(Retention { mode, until }), false) => write!(f, "{} {until}", mode.name()),
            (Some(Retention { mode, until }), true) => write!(f, "{} {until} {HOLD}", mode.name()),
            (None, true) => f.write_str(HOLD),
            (None, false) => f.write_str(NONE),
        }
    }
}

impl FromStr for Lock {
    type Err = BadLock;

    fn from_str(text: &str) -> Result<Self, BadLock> {
        let retention = |mode, until: &str| {
            let (mode, until) = (Mode::of_name(mode).ok_or(BadLock)?, until.parse().map_err(|_| BadLock)?);
            Ok(Some(Retention { mode, until }))
        };
        let words: Vec<&str> = text.split(' ').collect();
        match words[..] {
            [NONE] => Ok(Self::default()),
            [HOLD] => Ok(Self { retention: None, hold: true }),
            [mode, until] => Ok(Self { retention: retention(mode, until)?, hold: false }),
            [mode, until, HOLD] => Ok(Self { retention: retention(mode, until)?, hold: true }),
            _ => Err(BadLock),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(1000);

    fn lock(text: &str) -> Lock {
        text.parse().unwrap()
    }

    fn retention(text: &str) -> Option<Retention> {
        lock(text).retention
    }

    #[test]
    fn what_was_set_since_counts() {
        let headers = |pairs: &[(HeaderName, &'static str)]| {
            pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect::<HeaderMap>()
        };
        let written = (WRITTEN, "COMPLIANCE 2000");
        assert_eq!(Lock::of(&headers(&[])), Lock::default());
        assert_eq!(Lock::of(&headers(std::slice::from_ref(&written))), lock("COMPLIANCE 2000"));
        assert_eq!(Lock::of(&headers(&[written.clone(), (CHANGED, "")])), lock("COMPLIANCE 2000"));
        assert_eq!(Lock::of(&headers(&[written.clone(), (CHANGED, "NONE")])), Lock::default());
        // What nobody understands is no reason to remove anything.
        assert_eq!(Lock::of(&headers(&[written, (CHANGED, "whatever")])), lock("HOLD"));
    }

    #[test]
    fn who_may_remove_what() {
        for (text, plain, bypassing) in [
            ("NONE", true, true),
            ("GOVERNANCE 1000", true, true),
            ("GOVERNANCE 1001", false, true),
            ("COMPLIANCE 1001", false, false),
            ("COMPLIANCE 1000", true, true),
            ("HOLD", false, false),
            ("GOVERNANCE 1001 HOLD", false, false),
            ("COMPLIANCE 1 HOLD", false, false),
        ] {
            assert_eq!((lock(text).is_open(NOW, false), lock(text).is_open(NOW, true)), (plain, bypassing), "{text}");
        }
    }

    #[test]
    fn what_a_retention_may_become() {
        for (old, new, plain, bypassing) in [
            ("NONE", "COMPLIANCE 2000", true, true),
            ("COMPLIANCE 900", "NONE", true, true),
            ("COMPLIANCE 2000", "COMPLIANCE 2001", true, true),
            ("COMPLIANCE 2000", "COMPLIANCE 1999", false, false),
            ("COMPLIANCE 2000", "GOVERNANCE 3000", false, false),
            ("COMPLIANCE 2000", "NONE", false, false),
            ("GOVERNANCE 2000", "GOVERNANCE 2000", true, true),
            ("GOVERNANCE 2000", "GOVERNANCE 1999", false, true),
            ("GOVERNANCE 2000", "COMPLIANCE 3000", false, true),
            ("GOVERNANCE 2000", "NONE", false, true),
        ] {
            let may = |bypass| lock(old).may_become(retention(new), NOW, bypass);
            assert_eq!((may(false), may(true)), (plain, bypassing), "{old} to {new}");
        }
    }

    proptest! {
        #[test]
        fn what_is_kept_comes_back(mode in 0..3usize, until: u64, hold: bool) {
            let mode = [None, Some(Mode::Governance), Some(Mode::Compliance)][mode];
            let lock = Lock { retention: mode.map(|mode| Retention { mode, until }), hold };
            prop_assert_eq!(lock.to_string().parse(), Ok(lock));
            prop_assert_eq!(Lock::of(&HeaderMap::from_iter([(CHANGED, lock.kept())])), lock);
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,20}|(GOVERNANCE|COMPLIANCE|HOLD|NONE| |[0-9]{1,22}){0,5}") {
            let _ = text.parse::<Lock>();
        }

        #[test]
        fn nothing_that_may_be_set_opens_what_is_locked(until in 0..3000u64, new in 0..3000u64, modes in (0..2usize, 0..2usize)) {
            let modes = ([Mode::Governance, Mode::Compliance][modes.0], [Mode::Governance, Mode::Compliance][modes.1]);
            let old = Lock { retention: Some(Retention { mode: modes.0, until }), hold: false };
            let new = Retention { mode: modes.1, until: new };
            if old.may_become(Some(new), NOW, false) && !old.is_open(NOW, false) {
                let new = Lock { retention: Some(new), hold: false };
                prop_assert!(!new.is_open(NOW, false));
                prop_assert!(!new.is_open(NOW, true) || old.is_open(NOW, true));
            }
        }
    }
}
