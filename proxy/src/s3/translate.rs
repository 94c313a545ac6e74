//! What an operation was refused for, in S3's words.

use http::StatusCode;

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::{Face, condition, encryption, metadata, payload};
use crate::auth::Denied;
use crate::constraints::{BadLength, Invalid, Level};
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::large::LargeError;
pub(super) use crate::ops::large::SEGMENTS;
use crate::ops::lock::LockError;
use crate::ops::versions::{Version, VersionError};
use apus_base::hex::hex;

impl Face<'_> {
    /// Of an operation on the bucket.
    pub(super) fn bucket_fault(&self, error: Error) -> Fault {
        self.container_fault(self.bucket(), error)
    }

    /// Of a write of the object that the request is about.
    pub(super) fn write_fault(&self, error: Error, condition: Option<&Condition>) -> Fault {
        let key = self.asked.key.as_deref().unwrap_or_default();
        condition::refused(error, condition, key).unwrap_or_else(|error| self.bucket_fault(error))
    }

    /// Of an operation on a container.
    pub(super) fn container_fault(&self, container: &str, error: Error) -> Fault {
        match error.behind() {
            Error::NotFound => Fault::no_such_bucket(container),
            Error::Version(VersionError::NotEmpty) => {
                let sentence =
                    "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
                Fault::saying(Code::BucketNotEmpty, sentence)
            }
            Error::Refused(StatusCode::CONFLICT, _) => Fault::new(Code::BucketNotEmpty),
            _ => self.fault(error),
        }
    }

    /// Of an operation on an object, which may be missing because its bucket is.
    pub(super) async fn object_fault(
        &self,
        container: &str,
        key: &str,
        version: Option<Version>,
        error: Error,
    ) -> Fault {
        let no_version = |version: Option<Version>| {
            let fault = Fault::new(Code::NoSuchVersion).with("Key", key);
            fault.with("VersionId", version.map(|version| version.to_string()).unwrap_or_default())
        };
        match error.behind() {
            Error::Version(VersionError::DeleteMarker(marker)) => {
                let fault = Fault { headers: vec![("x-amz-delete-marker", "true".into())], ..Fault::no_such_key(key) };
                let shown = ("x-amz-version-id", marker.to_string());
                Fault { headers: fault.headers.iter().cloned().chain([shown]).collect(), ..fault }
            }
            Error::Version(VersionError::Missing) => Fault::no_such_key(key),
            Error::Version(VersionError::NotVersioned) => no_version(version),
            error if error.is_not_found() => {
                let info = self.proxy.client.container_info(&self.account, container).await;
                let is_there = container.ends_with(SEGMENTS) || info.is_ok_and(|info| info.found().is_some());
                if is_there { Fault::no_such_key(key) } else { Fault::no_such_bucket(container) }
            }
            _ => self.fault(error),
        }
    }

    /// Of any operation.
    pub(super) fn fault(&self, error: Error) -> Fault {
        let text = error.to_string();
        match error {
            Error::Body(reason) => payload::broken(reason),
            Error::Behind { error, .. } => self.fault(*error),
            Error::Denied(Denied::Unauthorized | Denied::Forbidden) => Fault::new(Code::AccessDenied),
            Error::Denied(Denied::Unavailable(_)) | Error::Unavailable => Fault::new(Code::ServiceUnavailable),
            Error::Limited(_) => self.slow_down(),
            Error::Quota(_) => Fault::saying(Code::EntityTooLarge, text),
            Error::TooLarge | Error::SourceTooLarge => Fault::new(Code::EntityTooLarge),
            Error::Length(BadLength::Missing) => Fault::new(Code::MissingContentLength),
            Error::Length(BadLength::Unsupported) => {
                let sentence = "A header you provided implies functionality that is not implemented";
                Fault::not_implemented(sentence).with("Header", "Transfer-Encoding")
            }
            Error::Length(_) => Fault::saying(Code::InvalidRequest, text),
            Error::Invalid(Invalid::NameTooLong(Level::Object, ..)) => Fault::new(Code::KeyTooLong),
            Error::Invalid(reason) => self.invalid(&reason, text),
            // Only what everybody may do can be a list that containers do not take.
            Error::Acl(_) => Fault::not_implemented("A bucket cannot be writable for everybody."),
            Error::TooManyContainers(_) | Error::IfNoneMatch | Error::Link(_) | Error::Version(_) => {
                Fault::saying(Code::InvalidRequest, text)
            }
            Error::Lock(error) => match error {
                LockError::Locked | LockError::Parts => Fault::saying(Code::AccessDenied, text),
                LockError::NotEnabled => Fault::saying(Code::InvalidRequest, text),
                LockError::Versioning | LockError::Unfit => Fault::saying(Code::InvalidBucketState, text),
                LockError::Overtaken => Fault::new(Code::OperationAborted),
            },
            Error::Large(LargeError::Segment(_)) => Fault::new(Code::BrokenMpu),
            Error::Large(LargeError::PartNumber | LargeError::PartRange) => Fault::saying(Code::InvalidRequest, text),
            Error::Locked(why) => encryption::locked(why),
            Error::Unmet { .. } => Fault::new(Code::PreconditionFailed),
            Error::Contended => Fault::new(Code::ConditionalRequestConflict),
            Error::Refused(status, text) => self.refused(status, text),
            Error::NotFound | Error::Gone => Fault::no_such_bucket(self.bucket()),
            error => {
                tracing::error!(%error, "an operation failed in a way that S3 has no word for");
                Fault::new(Code::InternalError)
            }
        }
    }

    fn invalid(&self, reason: &Invalid, text: String) -> Fault {
        let argument = match reason {
            Invalid::DeleteAt | Invalid::DeleteAtPast => "X-Delete-At",
            Invalid::DeleteAfter | Invalid::DeleteAfterPast => "X-Delete-After",
            _ => return Fault::saying(Code::InvalidRequest, text),
        };
        Fault::argument(argument, header(&self.parts.headers, argument), text)
    }

    fn refused(&self, status: StatusCode, text: String) -> Fault {
        match status.as_u16() {
            400 => Fault::saying(Code::InvalidRequest, text),
            403 => Fault::new(Code::AccessDenied),
            412 => Fault::new(Code::PreconditionFailed),
            413 => Fault::new(Code::EntityTooLarge),
            422 => {
                let md5 = metadata::content_md5(&self.parts.headers).ok().flatten().unwrap_or_default();
                Fault::new(Code::BadDigest).with("ExpectedDigest", hex(&md5))
            }
            429 | 498 => self.slow_down(),
            409 | 500..=599 => Fault::new(Code::ServiceUnavailable),
            status => {
                tracing::error!(status, "the storage servers answered in a way that S3 has no word for");
                Fault::new(Code::InternalError)
            }
        }
    }

    fn slow_down(&self) -> Fault {
        let status = self.config().ratelimit_as_client_error.then_some(StatusCode::TOO_MANY_REQUESTS);
        Fault { status, ..Fault::new(Code::SlowDown) }
    }
}
