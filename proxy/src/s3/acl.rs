//! Access control lists: those of a bucket become the read and write ACL of its container, as far as these can say the same.
//! Objects have none of their own.

use http::header::LOCATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::service::owner;
use super::xml::{Node, Xml};
use super::{Answered, Face, bucket, document, empty, object, public_access};
use crate::auth::acl;
use crate::ops::container;

/// The longest list that is read.
const MAX_BODY_BYTES: usize = 200 * 1024;
const CANNED: &str = "x-amz-acl";
const READ: HeaderName = HeaderName::from_static("x-container-read");
const WRITE: HeaderName = HeaderName::from_static("x-container-write");
const XSI: &str = " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\" xsi:type=";
const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";

/// What a bucket's list comes down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Private,
    PublicRead,
    PublicReadWrite,
}

impl Meaning {
    fn of_canned(name: &str) -> Result<Self, Fault> {
        match name {
            "public-read" => Ok(Self::PublicRead),
            "public-read-write" => Ok(Self::PublicReadWrite),
            // Objects have no list of their own, so that those which are about a bucket's owner change nothing.
            "private" | "bucket-owner-full-control" | "bucket-owner-read" => Ok(Self::Private),
            "authenticated-read" | "log-delivery-write" => Err(Fault::new(Code::NotImplemented)),
            other => Err(Fault::argument(CANNED, other, Code::InvalidArgument.message())),
        }
    }

    /// The most open of what a document grants.
    fn of_document(document: &Node) -> Result<Self, Fault> {
        let malformed = || Fault::new(Code::MalformedAcl);
        document.only(&["Owner", "AccessControlList"]).map_err(|_| malformed())?;
        document
            .child("Owner")
            .map_err(|_| malformed())?
            .ok_or_else(malformed)?
            .required("ID")
            .map_err(|_| malformed())?;
        let list = document.child("AccessControlList").map_err(|_| malformed())?.ok_or_else(malformed)?;
        let mut meaning = None;
        for grant in list.all("Grant") {
            let permission = grant.required("Permission").map_err(|_| malformed())?;
            let grantee = grant.child("Grantee").ok().flatten();
            let kind = grantee.and_then(|grantee| grantee.kind.as_deref());
            let group = grantee.and_then(|grantee| grantee.required("URI").ok());
            // Containers know everybody, and no other group.
            if kind == Some("Group") && group != Some(ALL_USERS) {
                return Err(Fault::new(Code::NotImplemented));
            }
            meaning = Some(match (permission, kind, meaning) {
                ("FULL_CONTROL", Some("CanonicalUser"), None | Some(Self::Private)) => Self::Private,
                ("FULL_CONTROL", Some("CanonicalUser"), Some(open)) => open,
                ("READ", Some("Group"), Some(Self::PublicReadWrite)) => Self::PublicReadWrite,
                ("READ", Some("Group"), _) => Self::PublicRead,
                ("WRITE", Some("Group"), _) => Self::PublicReadWrite,
                _ => return Err(malformed()),
            });
        }
        meaning.ok_or_else(malformed)
    }

    fn headers(self) -> HeaderMap {
        let listed = HeaderValue::from_static(".r:*,.rlistings");
        // A bucket that nobody else may use is one without lists.
        let none = HeaderValue::from_static("");
        HeaderMap::from_iter(match self {
            Self::Private => vec![(READ, none.clone()), (WRITE, none)],
            Self::PublicRead => vec![(READ, listed), (WRITE, none)],
            Self::PublicReadWrite => vec![(READ, listed), (WRITE, HeaderValue::from_static(".r:*"))],
        })
    }
}

/// # Errors
/// When a list that is named does not exist, or is not kept here.
pub(super) fn check_canned(name: Option<&str>) -> Result<(), Fault> {
    name.map_or(Ok(()), |name| Meaning::of_canned(name).map(drop))
}

/// The headers of a container whose bucket gets the list that a header of the request names; `None` if none does.
pub(super) fn canned(face: &Face<'_>) -> Result<Option<HeaderMap>, Fault> {
    if !face.parts.headers.contains_key(CANNED) {
        return Ok(None);
    }
    Meaning::of_canned(header(&face.parts.headers, CANNED)).map(|meaning| Some(meaning.headers()))
}

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    match face.parts.method {
        Method::GET => Ok(document(show(face).await?)),
        Method::PUT if face.asked.key.is_some() => put_on_object(face, payload).await,
        Method::PUT => put(face, payload).await,
        _ => Err(face.no_method("ACL")),
    }
}

async fn show(face: &Face<'_>) -> Result<Xml, Fault> {
    let headers = if face.asked.key.is_some() { object::describe(face).await? } else { bucket::describe(face).await? };
    let mut xml = Xml::new("AccessControlPolicy");
    owner(&mut xml, "Owner", &face.user);
    xml.open("AccessControlList").open("Grant");
    grantee(&mut xml, &face.user);
    xml.text("Permission", "FULL_CONTROL").close();
    for (name, permission) in [(&READ, "READ"), (&WRITE, "WRITE")] {
        let list = acl::parse(header(&headers, name.as_str()));
        // Only Swift's clients name somebody.
        for named in list.named() {
            grantee(xml.open("Grant"), named);
            xml.text("Permission", permission).close();
        }
        if list.allows_referrer(Some("unknown")) {
            xml.open("Grant").open_with("Grantee", &format!("{XSI}\"Group\"")).text("URI", ALL_USERS).close();
            xml.text("Permission", permission).close();
        }
    }
    Ok(xml)
}

fn grantee(xml: &mut Xml, user: &str) {
    xml.open_with("Grantee", &format!("{XSI}\"CanonicalUser\"")).text("ID", user).text("DisplayName", user).close();
}

/// What a request to change a list asks for.
async fn asked_for(face: &Face<'_>, payload: Payload) -> Result<Meaning, Fault> {
    let text = face.xml(payload, MAX_BODY_BYTES).await?;
    let is_canned = face.parts.headers.contains_key(CANNED);
    match text {
        Some(_) if is_canned => Err(Fault::new(Code::UnexpectedContent)),
        None if is_canned => Meaning::of_canned(header(&face.parts.headers, CANNED)),
        None => Err(Fault::new(Code::MissingSecurityHeader).with("MissingHeaderName", CANNED)),
        Some(text) => {
            let document = Node::parse(&text, "AccessControlPolicy").map_err(|_| Fault::new(Code::MalformedAcl))?;
            Meaning::of_document(&document)
        }
    }
}

/// An object is as open as its bucket. To ask for no more than that for its owner changes nothing.
async fn put_on_object(face: &Face<'_>, payload: Payload) -> Answered {
    object::describe(face).await?;
    match asked_for(face, payload).await? {
        Meaning::Private => Ok(empty(StatusCode::OK)),
        Meaning::PublicRead | Meaning::PublicReadWrite => Err(Fault::new(Code::NotImplemented)),
    }
}

async fn put(face: &Face<'_>, payload: Payload) -> Answered {
    let headers = asked_for(face, payload).await?.headers();
    public_access::check_lists(face, &headers).await?;
    let parts = face.request(Method::POST, headers.clone());
    let done = container::update(face.call(&parts), face.container(), &headers).await;
    done.map_err(|error| face.bucket_fault(error))?;
    let mut response = empty(StatusCode::OK);
    if let Ok(location) = HeaderValue::from_str(face.bucket()) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_come_down_to_what_containers_know() {
        let grant = |kind: &str, permission: &str| {
            format!(
                "<Grant><Grantee xmlns:xsi=\"x\" xsi:type=\"{kind}\"><ID>a</ID><URI>{ALL_USERS}</URI></Grantee><Permission>{permission}</Permission></Grant>"
            )
        };
        let (own, read, write) =
            (grant("CanonicalUser", "FULL_CONTROL"), grant("Group", "READ"), grant("Group", "WRITE"));
        let meaning = |grants: &[&str]| {
            let list = grants.concat();
            let text = format!(
                "<AccessControlPolicy><Owner><ID>a</ID></Owner><AccessControlList>{list}</AccessControlList></AccessControlPolicy>"
            );
            let document = Node::parse(text.as_bytes(), "AccessControlPolicy").unwrap();
            Meaning::of_document(&document).map_err(|fault| fault.code)
        };
        assert_eq!(meaning(&[&own]), Ok(Meaning::Private));
        assert_eq!(meaning(&[&read, &own]), Ok(Meaning::PublicRead));
        assert_eq!(meaning(&[&write, &read, &own]), Ok(Meaning::PublicReadWrite));
        assert_eq!(meaning(&[]), Err(Code::MalformedAcl));
        assert_eq!(meaning(&[&grant("CanonicalUser", "READ")]), Err(Code::MalformedAcl));
        let some = grant("Group", "READ").replace("AllUsers", "AuthenticatedUsers");
        assert_eq!(meaning(&[&own, &some]), Err(Code::NotImplemented), "not everybody");
    }
}
