//! What can happen to an object, by S3's names. Pure.

use serde::{Deserialize, Serialize};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
pub enum Kind {
    /// An object was written by a PUT,
    Put,
    /// by a form,
    Post,
    /// by a copy,
    Copy,
    /// by the end of an upload in parts.
    Completed,
    /// An object, or a version, was deleted,
    Deleted,
    /// or hidden by a delete marker.
    MarkerMade,
    /// A rule of the bucket did the first,
    Expired,
    /// or the second of that.
    ExpiredToMarker,
    /// It has other tags,
    Tagged,
    /// or none any more.
    Untagged,
}

const NAMES: [(Kind, &str); 10] = [
    (Kind::Put, "ObjectCreated:Put"),
    (Kind::Post, "ObjectCreated:Post"),
    (Kind::Copy, "ObjectCreated:Copy"),
    (Kind::Completed, "ObjectCreated:CompleteMultipartUpload"),
    (Kind::Deleted, "ObjectRemoved:Delete"),
    (Kind::MarkerMade, "ObjectRemoved:DeleteMarkerCreated"),
    (Kind::Expired, "LifecycleExpiration:Delete"),
    (Kind::ExpiredToMarker, "LifecycleExpiration:DeleteMarkerCreated"),
    (Kind::Tagged, "ObjectTagging:Put"),
    (Kind::Untagged, "ObjectTagging:Delete"),
];

/// What AWS has too and never happens here.
const ELSEWHERE: [&str; 7] = [
    "s3:ObjectAcl:",
    "s3:ReducedRedundancyLostObject",
    "s3:ObjectRestore:",
    "s3:Replication:",
    "s3:LifecycleTransition",
    "s3:IntelligentTiering",
    "s3:ObjectAnnotation:",
];

/// What is to be thought of an event that a bucket asks for: `s3:ObjectCreated:*`, `s3:ObjectCreated:Put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Some happen.
    Known,
    /// AWS has it, and here it never happens.
    Never,
    /// There is none of that name.
    Unknown,
}

impl Kind {
    /// Its name, without the `s3:` that rules have before it.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(kind, _)| *kind == self).map(|(_, name)| *name).unwrap_or_default()
    }

    /// Whether a rule that asks for `wanted` means it.
    pub fn is(self, wanted: &str) -> bool {
        wanted.strip_prefix("s3:").is_some_and(|wanted| covers(wanted, self.name()))
    }
}

/// Whether a name that may end in `:*` stands for another.
fn covers(wanted: &str, name: &str) -> bool {
    wanted == name || wanted.strip_suffix('*').is_some_and(|start| start.ends_with(':') && name.starts_with(start))
}

/// Whether two asked for can be the same event.
pub(super) fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}

/// What is to be thought of an event that a bucket asks for.
pub fn judge(wanted: &str) -> Standing {
    match () {
        () if NAMES.iter().any(|(kind, _)| kind.is(wanted)) => Standing::Known,
        () if ELSEWHERE.iter().any(|name| wanted.starts_with(name)) => Standing::Never,
        () => Standing::Unknown,
    }
}

impl From<Kind> for &'static str {
    fn from(kind: Kind) -> Self {
        kind.name()
    }
}

impl TryFrom<String> for Kind {
    type Error = &'static str;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        NAMES.iter().find(|(_, known)| *known == name).map(|(kind, _)| *kind).ok_or("an unknown event")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_all_of_a_family_and_for_nothing_else() {
        assert!(Kind::Put.is("s3:ObjectCreated:*") && Kind::Put.is("s3:ObjectCreated:Put"));
        for other in
            ["s3:ObjectCreated:Copy", "s3:ObjectRemoved:*", "ObjectCreated:*", "s3:*", "s3:Object*", "s3:", "*", ""]
        {
            assert!(!Kind::Put.is(other), "{other}");
        }
        assert!(overlap("s3:ObjectCreated:*", "s3:ObjectCreated:Put") && overlap("s3:A:B", "s3:A:B"));
        assert!(!overlap("s3:ObjectCreated:Put", "s3:ObjectCreated:Copy"));
    }

    #[test]
    fn what_is_asked_for_is_known_elsewhere_or_nothing() {
        assert_eq!(judge("s3:LifecycleExpiration:*"), Standing::Known);
        assert_eq!(judge("s3:Replication:*"), Standing::Never);
        assert_eq!(judge("s3:ObjectCreated:"), Standing::Unknown);
        assert_eq!(judge("s3:TestEvent"), Standing::Unknown);
    }

    #[test]
    fn every_kind_has_one_name_and_comes_back_by_it() {
        for (kind, name) in NAMES {
            assert_eq!(Kind::try_from(name.to_owned()), Ok(kind));
            assert_eq!(kind.name(), name);
        }
        assert!(Kind::try_from("s3:ObjectCreated:Put".to_owned()).is_err());
    }
}
