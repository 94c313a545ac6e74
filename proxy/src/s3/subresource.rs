//! Small things that a bucket or an object has beside itself, most of which this server does not keep yet. What is not kept
//! is refused with 501 when it is to be stored, and reads as none.

use http::Method;

use super::code::Code;
use super::fault::Fault;
use super::xml::Xml;
use super::{Answered, Face, Kind, bucket, document};

/// What is asked for by name in the query and not there at all.
pub(super) const UNSUPPORTED: [&str; 14] = [
    "accelerate",
    "analytics",
    "intelligent-tiering",
    "inventory",
    "metadataConfiguration",
    "metadataTable",
    "metrics",
    "renameObject",
    "replication",
    "requestPayment",
    "restore",
    "select",
    "session",
    "torrent",
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
        (Kind::Logging, &Method::PUT) => Err(Fault::new(Code::NotImplemented)),
        _ => Err(face.no_method("LOGGING_STATUS")),
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
