//! Buckets: listing them, making and deleting them.

use http::header::LOCATION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::translate::SEGMENTS;
use super::{Answered, Face, acl, empty, listing, lock, ownership, parse};
use crate::ops::container::{self, ContainerName};
use crate::ops::delete;
use crate::ops::listing::Listing;
use crate::ops::lock::of_upload;

/// The longest body of a PUT of a bucket.
const MAX_BODY_BYTES: usize = 10_240;
/// Parts that are deleted in one turn.
const PAGE: u64 = 1000;

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match face.parts.method {
        Method::GET => listing::answer(face).await,
        Method::HEAD => {
            describe(face).await?;
            Ok(empty(StatusCode::OK))
        }
        Method::PUT => create(face, payload).await,
        Method::DELETE => remove(face).await,
        Method::POST => Err(Fault::new(Code::NotImplemented)),
        _ => Err(face.no_method("BUCKET")),
    }
}

/// The headers of the bucket's container, if whoever signed may see them.
pub(super) async fn describe(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    let parts = face.request(Method::HEAD, HeaderMap::new());
    let described =
        container::read(face.call(&parts), face.container(), Method::HEAD, &Listing::default(), false).await;
    described.map(|response| response.headers().clone()).map_err(|error| face.bucket_fault(error))
}

async fn create(face: &Face<'_>, payload: Payload) -> Answered {
    if let Some(text) = face.xml(payload, MAX_BODY_BYTES).await? {
        let document = parse(&text, "CreateBucketConfiguration")?;
        document.only(&["LocationConstraint"])?;
        let location = document.required("LocationConstraint")?.trim();
        if !location.eq_ignore_ascii_case(&face.config().location) {
            return Err(Fault::new(Code::InvalidLocationConstraint));
        }
    }
    let mut headers = acl::canned(face)?.unwrap_or_default();
    headers.extend(ownership::asked(face)?);
    headers.extend(lock::made_with(face).await?);
    let parts = face.request(Method::PUT, headers.clone());
    let made = container::create(face.call(&parts), face.container(), &headers, None).await;
    match made.map_err(|error| face.bucket_fault(error))? {
        StatusCode::ACCEPTED => Err(Fault::new(Code::BucketAlreadyOwnedByYou).with("BucketName", face.bucket())),
        _ => {
            let mut response = empty(StatusCode::OK);
            if let Ok(location) = HeaderValue::from_str(&format!("/{}", face.bucket())) {
                response.headers_mut().insert(LOCATION, location);
            }
            Ok(response)
        }
    }
}

/// Parts that wait for the rest of their upload go with an empty bucket, and then the bucket.
async fn remove(face: &Face<'_>) -> Answered {
    let described = describe(face).await?;
    let count: u64 = super::auth::header(&described, "x-container-object-count").parse().unwrap_or_default();
    if count > 0 {
        let versioned = described.contains_key("x-versions-enabled");
        let sentence = "The bucket you tried to delete is not empty. You must delete all versions in the bucket.";
        return Err(if versioned {
            Fault::saying(Code::BucketNotEmpty, sentence)
        } else {
            Fault::new(Code::BucketNotEmpty)
        });
    }
    let parts = face.request(Method::DELETE, HeaderMap::new());
    // Versions have parts too.
    let checked = container::check_versions(face.call(&parts), face.container()).await;
    checked.map_err(|error| face.bucket_fault(error))?;
    remove_segments(face).await?;
    let done = container::delete(face.call(&parts), face.container()).await;
    done.map_err(|error| face.bucket_fault(error))?;
    Ok(empty(StatusCode::NO_CONTENT))
}

async fn remove_segments(face: &Face<'_>) -> Result<(), Fault> {
    let segments = format!("{}{SEGMENTS}", face.bucket());
    let name = ContainerName { account: &face.account, container: &segments };
    let info = face.proxy.client.container_info(&face.account, &segments).await;
    if info.is_ok_and(|info| info.found().is_none()) {
        return Ok(());
    }
    let parts = of_upload(&face.request(Method::DELETE, HeaderMap::new()));
    let mut marker = String::new();
    loop {
        let listing = Listing { limit: PAGE, marker, ..Listing::default() };
        let names = match container::list(face.call(&parts), name, &listing).await {
            Err(error) if error.is_not_found() => return Ok(()),
            names => names.map_err(|_| Fault::new(Code::ServiceUnavailable))?,
        };
        let Some(last) = names.last().map(|row| row.name().to_owned()) else { break };
        for row in &names {
            let object = face.name(&segments, row.name());
            let done = delete::delete_version(face.call(&parts), &object, None).await;
            done.map_err(|_| Fault::new(Code::ServiceUnavailable))?;
        }
        marker = last;
    }
    match container::delete(face.call(&parts), name).await {
        Err(error) if error.is_not_found() => Ok(()),
        done => done.map_err(|_| Fault::new(Code::ServiceUnavailable)),
    }
}
