//! What a request does, to what, in the words of policies: the one place that knows. Pure.

use http::{HeaderMap, Method};

use crate::s3::asked::{Asked, Query};
use crate::s3::lock::{HOLD, MODE, UNTIL};

/// One thing that a request does. Most do one; a copy reads too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::s3) struct Need {
    /// `s3:GetObject`.
    pub(in crate::s3) action: &'static str,
    /// The bucket.
    pub(in crate::s3) bucket: String,
    /// The key, unless it is done to the bucket.
    pub(in crate::s3) key: Option<String>,
    /// The right that the lists of the bucket may give.
    pub(in crate::s3) right: Right,
}

/// What one has to be allowed where no policy says anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::s3) enum Right {
    /// To read objects, or to list them.
    Read,
    /// To write objects.
    Write,
    /// To change the bucket itself, or what only its owner decides about its objects.
    Own,
}

impl Right {
    /// As operations know it.
    pub(in crate::s3) fn method(self) -> Method {
        match self {
            Self::Read => Method::GET,
            Self::Write => Method::PUT,
            Self::Own => Method::POST,
        }
    }
}

/// Sub-resources of buckets: the query, what GET is called, what PUT is called, what DELETE is called.
const OF_BUCKETS: [(&str, &str, &str, &str); 18] = [
    ("accelerate", "s3:GetAccelerateConfiguration", "s3:PutAccelerateConfiguration", ""),
    ("acl", "s3:GetBucketAcl", "s3:PutBucketAcl", ""),
    ("cors", "s3:GetBucketCORS", "s3:PutBucketCORS", "s3:PutBucketCORS"),
    ("encryption", "s3:GetEncryptionConfiguration", "s3:PutEncryptionConfiguration", "s3:PutEncryptionConfiguration"),
    ("lifecycle", "s3:GetLifecycleConfiguration", "s3:PutLifecycleConfiguration", "s3:PutLifecycleConfiguration"),
    ("location", "s3:GetBucketLocation", "", ""),
    ("logging", "s3:GetBucketLogging", "s3:PutBucketLogging", ""),
    ("notification", "s3:GetBucketNotification", "s3:PutBucketNotification", ""),
    ("object-lock", "s3:GetBucketObjectLockConfiguration", "s3:PutBucketObjectLockConfiguration", ""),
    (
        "ownershipControls",
        "s3:GetBucketOwnershipControls",
        "s3:PutBucketOwnershipControls",
        "s3:PutBucketOwnershipControls",
    ),
    ("policy", "s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
    ("policyStatus", "s3:GetBucketPolicyStatus", "", ""),
    (
        "publicAccessBlock",
        "s3:GetBucketPublicAccessBlock",
        "s3:PutBucketPublicAccessBlock",
        "s3:PutBucketPublicAccessBlock",
    ),
    (
        "replication",
        "s3:GetReplicationConfiguration",
        "s3:PutReplicationConfiguration",
        "s3:PutReplicationConfiguration",
    ),
    ("requestPayment", "s3:GetBucketRequestPayment", "s3:PutBucketRequestPayment", ""),
    ("tagging", "s3:GetBucketTagging", "s3:PutBucketTagging", "s3:PutBucketTagging"),
    ("versioning", "s3:GetBucketVersioning", "s3:PutBucketVersioning", ""),
    ("website", "s3:GetBucketWebsite", "s3:PutBucketWebsite", "s3:DeleteBucketWebsite"),
];

/// Sub-resources of objects: the query, and what GET, PUT and DELETE are called, of the current version and of another.
const OF_OBJECTS: [(&str, [&str; 3], [&str; 3]); 5] = [
    ("acl", ["s3:GetObjectAcl", "s3:PutObjectAcl", ""], ["s3:GetObjectVersionAcl", "s3:PutObjectVersionAcl", ""]),
    ("attributes", ["s3:GetObjectAttributes", "", ""], ["s3:GetObjectVersionAttributes", "", ""]),
    (
        "legal-hold",
        ["s3:GetObjectLegalHold", "s3:PutObjectLegalHold", ""],
        ["s3:GetObjectLegalHold", "s3:PutObjectLegalHold", ""],
    ),
    (
        "retention",
        ["s3:GetObjectRetention", "s3:PutObjectRetention", ""],
        ["s3:GetObjectRetention", "s3:PutObjectRetention", ""],
    ),
    (
        "tagging",
        ["s3:GetObjectTagging", "s3:PutObjectTagging", "s3:DeleteObjectTagging"],
        ["s3:GetObjectVersionTagging", "s3:PutObjectVersionTagging", "s3:DeleteObjectVersionTagging"],
    ),
];

/// Those of them that only an owner changes, where no policy says anything.
const LOCKS: [&str; 2] = ["legal-hold", "retention"];

/// What a request does to its bucket. What it copies comes beside it, and each key of a deletion of many.
pub(in crate::s3) fn needs(method: &Method, asked: &Asked, headers: &HeaderMap) -> Vec<Need> {
    let Some(bucket) = asked.bucket.clone() else { return Vec::new() };
    let query = &asked.query;
    let Some(key) = asked.key.clone() else {
        let need = of_bucket(method, query).map(|(action, right)| Need { action, bucket, key: None, right });
        return need.into_iter().collect();
    };
    let need = |action: &'static str, right| Need { action, bucket: bucket.clone(), key: Some(key.clone()), right };
    let (action, right) = of_object(method, query);
    let mut needs = vec![need(action, right)];
    if action == "s3:PutObject" && headers.contains_key("x-amz-tagging") {
        needs.push(need("s3:PutObjectTagging", Right::Write));
    }
    match action {
        "s3:PutObject" => needs.extend(Need::of_lock(&bucket, &key, headers)),
        "s3:GetObjectAttributes" => needs.push(need("s3:GetObject", Right::Read)),
        "s3:GetObjectVersionAttributes" => needs.push(need("s3:GetObjectVersion", Right::Read)),
        _ => {}
    }
    needs
}

impl Need {
    /// Deleting an object, or one of its versions.
    pub(in crate::s3) fn delete(bucket: &str, key: &str, is_version: bool) -> Self {
        let action = if is_version { "s3:DeleteObjectVersion" } else { "s3:DeleteObject" };
        Self { action, bucket: bucket.to_owned(), key: Some(key.to_owned()), right: Right::Write }
    }

    /// Storing an object.
    pub(in crate::s3) fn put(bucket: &str, key: &str) -> Self {
        Self { action: "s3:PutObject", bucket: bucket.to_owned(), key: Some(key.to_owned()), right: Right::Write }
    }

    /// Locking an object that is stored with these headers.
    pub(in crate::s3) fn of_lock(bucket: &str, key: &str, headers: &HeaderMap) -> Vec<Self> {
        let need = |action| Self { action, bucket: bucket.to_owned(), key: Some(key.to_owned()), right: Right::Own };
        let is_asked = |name: &&str| headers.contains_key(*name);
        let retention = [MODE, UNTIL].iter().any(is_asked).then(|| need("s3:PutObjectRetention"));
        let hold = is_asked(&HOLD).then(|| need("s3:PutObjectLegalHold"));
        retention.into_iter().chain(hold).collect()
    }

    /// Removing what governance retains, or retaining it for a shorter time.
    pub(in crate::s3) fn bypass(bucket: &str, key: &str) -> Self {
        let action = "s3:BypassGovernanceRetention";
        Self { action, bucket: bucket.to_owned(), key: Some(key.to_owned()), right: Right::Own }
    }

    /// Reading an object, or one of its versions.
    pub(in crate::s3) fn get(bucket: &str, key: &str, is_version: bool) -> Self {
        let action = if is_version { "s3:GetObjectVersion" } else { "s3:GetObject" };
        Self { action, bucket: bucket.to_owned(), key: Some(key.to_owned()), right: Right::Read }
    }

    /// As policies write it.
    pub(super) fn resource(&self) -> String {
        match &self.key {
            Some(key) => format!("{}/{key}", self.bucket),
            None => self.bucket.clone(),
        }
    }
}

fn of_bucket(method: &Method, query: &Query) -> Option<(&'static str, Right)> {
    let is_read = matches!(*method, Method::GET | Method::HEAD);
    if let Some((_, get, put, delete)) = OF_BUCKETS.into_iter().find(|(name, ..)| query.has(name)) {
        // Whoever lists a bucket has always been told where it is, and whether it keeps versions.
        let is_told =
            ["s3:GetBucketAcl", "s3:GetBucketLocation", "s3:GetBucketVersioning", "s3:GetBucketLogging"].contains(&get);
        let right = if is_read && is_told { Right::Read } else { Right::Own };
        return Some(match *method {
            Method::PUT | Method::POST => (put, right),
            Method::DELETE => (delete, right),
            _ => (get, right),
        })
        .filter(|(action, _)| !action.is_empty());
    }
    match *method {
        // Each key is looked at when it is known.
        Method::POST => None,
        Method::PUT => Some(("s3:CreateBucket", Right::Own)),
        Method::DELETE => Some(("s3:DeleteBucket", Right::Own)),
        _ if query.has("uploads") => Some(("s3:ListBucketMultipartUploads", Right::Read)),
        _ if query.has("versions") => Some(("s3:ListBucketVersions", Right::Read)),
        _ => Some(("s3:ListBucket", Right::Read)),
    }
}

fn of_object(method: &Method, query: &Query) -> (&'static str, Right) {
    let is_version = query.has("versionId");
    let at = match *method {
        Method::GET | Method::HEAD => 0,
        Method::DELETE => 2,
        _ => 1,
    };
    let right = if at == 0 { Right::Read } else { Right::Write };
    if let Some((name, current, version)) = OF_OBJECTS.into_iter().find(|(name, ..)| query.has(name)) {
        let action = if is_version { version[at] } else { current[at] };
        // Whoever may write need not be one who binds the owner.
        let right = if right == Right::Write && LOCKS.contains(&name) { Right::Own } else { right };
        return (if action.is_empty() { "s3:PutObject" } else { action }, right);
    }
    let is_upload = query.has("uploadId");
    let action = match (at, is_upload, is_version) {
        (0, true, _) => "s3:ListMultipartUploadParts",
        (0, false, true) => "s3:GetObjectVersion",
        (0, false, false) => "s3:GetObject",
        (2, true, _) => "s3:AbortMultipartUpload",
        (2, false, true) => "s3:DeleteObjectVersion",
        (2, false, false) => "s3:DeleteObject",
        _ => "s3:PutObject",
    };
    (action, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::s3::Config;

    fn actions(method: &str, target: &str, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let (parts, ()) = http::Request::builder().uri(target).body(()).unwrap().into_parts();
        let asked = Asked::of(&parts, Query::parse(parts.uri.query()), &Config::default()).unwrap();
        let headers = headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.parse().unwrap())).collect();
        let needs = needs(&method.parse().unwrap(), &asked, &headers);
        needs.into_iter().map(|need| format!("{} {}", need.action.trim_start_matches("s3:"), need.resource())).collect()
    }

    #[test]
    fn what_requests_do() {
        for (method, target, expected) in [
            ("GET", "/", ""),
            ("GET", "/pail", "ListBucket pail"),
            ("HEAD", "/pail", "ListBucket pail"),
            ("GET", "/pail?versions", "ListBucketVersions pail"),
            ("GET", "/pail?uploads", "ListBucketMultipartUploads pail"),
            ("PUT", "/pail", "CreateBucket pail"),
            ("PUT", "/pail?policy", "PutBucketPolicy pail"),
            ("DELETE", "/pail?policy", "DeleteBucketPolicy pail"),
            ("DELETE", "/pail?cors", "PutBucketCORS pail"),
            ("POST", "/pail?delete", ""),
            ("GET", "/pail/a/b", "GetObject pail/a/b"),
            ("HEAD", "/pail/k?versionId=null", "GetObjectVersion pail/k"),
            ("PUT", "/pail/k", "PutObject pail/k"),
            ("PUT", "/pail/k?partNumber=1&uploadId=u", "PutObject pail/k"),
            ("POST", "/pail/k?uploads", "PutObject pail/k"),
            ("GET", "/pail/k?uploadId=u", "ListMultipartUploadParts pail/k"),
            ("DELETE", "/pail/k?uploadId=u", "AbortMultipartUpload pail/k"),
            ("DELETE", "/pail/k?versionId=1", "DeleteObjectVersion pail/k"),
            ("PUT", "/pail/k?tagging&versionId=1", "PutObjectVersionTagging pail/k"),
            ("GET", "/pail/k?acl", "GetObjectAcl pail/k"),
            ("PUT", "/pail?object-lock", "PutBucketObjectLockConfiguration pail"),
            ("PUT", "/pail/k?retention&versionId=1", "PutObjectRetention pail/k"),
            ("GET", "/pail/k?legal-hold", "GetObjectLegalHold pail/k"),
            ("GET", "/pail/k?attributes", "GetObjectAttributes pail/k GetObject pail/k"),
        ] {
            assert_eq!(actions(method, target, &[]).join(" "), expected, "{method} {target}");
        }
        let tagged = actions("PUT", "/pail/k", &[("x-amz-tagging", "a=b")]);
        assert_eq!(tagged, ["PutObject pail/k", "PutObjectTagging pail/k"]);
        let locked = actions("POST", "/pail/k?uploads", &[(MODE, "GOVERNANCE"), (UNTIL, "x"), (HOLD, "ON")]);
        assert_eq!(locked, ["PutObject pail/k", "PutObjectRetention pail/k", "PutObjectLegalHold pail/k"]);
    }
}
