//! Small things that a bucket or an object has beside itself, most of which this server does not keep yet. What is not kept
//! is refused with 501 when it is to be stored, and reads as none.

use http::Method;

use super::code::Code;
use super::fault::Fault;
use super::xml::Xml;
use super::{Answered, Face, Kind, bucket, document};

/// What is asked for by name in the query and not there at all.
pub(super) const UNSUPPORTED: [&str; 19] = [
    "accelerate",
    "analytics",
    "attributes",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "notification",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "session",
    "torrent",
    "website",
];

pub(super) async fn answer(face: &Face<'_>, kind: Kind) -> Answered {
    match (kind, &face.parts.method) {
        (Kind::Location, &Method::GET) => location(face).await,
        (Kind::Location, _) => Err(face.no_method("LOCATION")),
        (Kind::Logging, _) if face.asked.key.is_some() => Err(Fault::new(Code::NoLoggingStatusForKey)),
        (Kind::Logging, &Method::GET) => {
            bucket::describe(face).await?;
            Ok(document(Xml::new("BucketLoggingStatus")))
        }
        (Kind::Logging, &Method::PUT) | (Kind::Lifecycle, _) => Err(Fault::new(Code::NotImplemented)),
        (Kind::Logging, _) => Err(face.no_method("LOGGING_STATUS")),
        (Kind::ObjectLock, &Method::GET) => {
            Err(Fault::new(Code::ObjectLockConfigurationNotFound).with("BucketName", face.bucket()))
        }
        (Kind::ObjectLock, &Method::PUT) => Err(Fault::not_implemented("The requested resource is not implemented")),
        _ => Err(face.no_method("OBJECT_LOCK")),
    }
}

async fn location(face: &Face<'_>) -> Answered {
    bucket::describe(face).await?;
    let mut xml = Xml::new("LocationConstraint");
    // The oldest region goes without saying.
    if face.config().location != "us-east-1" {
        xml.content(&face.config().location);
    }
    Ok(document(xml))
}
