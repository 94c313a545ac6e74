//! `?ownershipControls`: whose the objects of a bucket are. Here they are always the bucket owner's, so that the three
//! settings differ in one point only: with `BucketOwnerEnforced` there are no lists.

use apus_base::client::ContainerInfo;
use http::{HeaderMap, Method, StatusCode};
use serde::{Deserialize, Serialize};

use super::auth::header;
use super::code::Code;
use super::fault::Fault;
use super::payload::Payload;
use super::setting::Setting;
use super::xml::{Node, Xml};
use super::{Answered, Face, document, empty, parse};

const OWNERSHIP: Setting = Setting("ownership");
const ROOT: &str = "OwnershipControls";
/// The longest body: one short rule.
const MAX_BODY_BYTES: usize = 10_240;
/// The one list that may be named where there are none, since it says just that.
const OWNERS: &str = "bucket-owner-full-control";

/// Whose an object is that somebody else uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Ownership {
    BucketOwnerEnforced,
    BucketOwnerPreferred,
    ObjectWriter,
}

impl Ownership {
    fn of_name(name: &str) -> Option<Self> {
        [Self::BucketOwnerEnforced, Self::BucketOwnerPreferred, Self::ObjectWriter]
            .into_iter()
            .find(|one| one.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::BucketOwnerEnforced => "BucketOwnerEnforced",
            Self::BucketOwnerPreferred => "BucketOwnerPreferred",
            Self::ObjectWriter => "ObjectWriter",
        }
    }

    fn read(document: &Node) -> Result<Self, Fault> {
        document.only(&["Rule"])?;
        let rule = document.child("Rule")?.ok_or(Fault::new(Code::MalformedXml))?;
        rule.only(&["ObjectOwnership"])?;
        Self::of_name(rule.required("ObjectOwnership")?.trim()).ok_or(Fault::new(Code::MalformedXml))
    }
}

/// What a bucket is made with.
///
/// # Errors
/// When that is no ownership, or does not go with the list that is named.
pub(super) fn asked(face: &Face<'_>) -> Result<HeaderMap, Fault> {
    const NAME: &str = "x-amz-object-ownership";
    let headers = &face.parts.headers;
    let name = header(headers, NAME);
    if !headers.contains_key(NAME) {
        return Ok(HeaderMap::new());
    }
    let refuse = || Fault::argument(NAME, name, Code::InvalidArgument.message());
    let ownership = Ownership::of_name(name).ok_or_else(refuse)?;
    let list = header(headers, "x-amz-acl");
    if ownership == Ownership::BucketOwnerEnforced && !matches!(list, "" | "private" | OWNERS) {
        return Err(Fault::new(Code::InvalidBucketAclWithObjectOwnership));
    }
    Ok(OWNERSHIP.headers(Some(&ownership))?)
}

/// Whether a bucket has no lists.
pub(super) fn is_enforced(info: &ContainerInfo) -> bool {
    OWNERSHIP.of(info) == Some(Ownership::BucketOwnerEnforced)
}

/// # Errors
/// When a request names a list, and the bucket has none.
pub(super) async fn check_lists(face: &Face<'_>) -> Result<(), Fault> {
    let named = header(&face.parts.headers, "x-amz-acl");
    let grants = face.parts.headers.keys().any(|name| name.as_str().starts_with("x-amz-grant-"));
    let changes = face.parts.method == Method::PUT && face.asked.query.has("acl");
    if (named.is_empty() && !grants && !changes) || (named == OWNERS && !grants) {
        return Ok(());
    }
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    let enforced = info.found().is_some_and(|info| is_enforced(info));
    if enforced { Err(Fault::new(Code::AccessControlListNotSupported)) } else { Ok(()) }
}

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("OWNERSHIP_CONTROLS"));
    }
    match face.parts.method {
        Method::GET => {
            let ownership: Option<Ownership> = face.setting(OWNERSHIP).await?;
            let none = || Fault::new(Code::OwnershipControlsNotFound).with("BucketName", face.bucket());
            let mut xml = Xml::new(ROOT);
            xml.open("Rule").text("ObjectOwnership", ownership.ok_or_else(none)?.name());
            Ok(document(xml))
        }
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            put(face, Ownership::read(&parse(&text, ROOT)?)?).await
        }
        Method::DELETE => {
            face.set::<Ownership>(OWNERSHIP, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("OWNERSHIP_CONTROLS")),
    }
}

async fn put(face: &Face<'_>, ownership: Ownership) -> Answered {
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    let has_list = |list: &Option<String>| list.as_deref().is_some_and(|list| !list.is_empty());
    let has_lists = info.found().is_some_and(|info| has_list(&info.read_acl) || has_list(&info.write_acl));
    if ownership == Ownership::BucketOwnerEnforced && has_lists {
        return Err(Fault::new(Code::InvalidBucketAclWithObjectOwnership));
    }
    face.set(OWNERSHIP, Some(&ownership)).await?;
    Ok(empty(StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules() {
        let read =
            |text: &str| Ownership::read(&Node::parse(format!("<{ROOT}>{text}</{ROOT}>").as_bytes(), ROOT).unwrap());
        for name in ["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"] {
            let rule = format!("<Rule><ObjectOwnership>{name}</ObjectOwnership></Rule>");
            assert_eq!(read(&rule).map(Ownership::name), Ok(name));
            assert!(read(&(rule.clone() + &rule)).is_err());
        }
        assert!(read("").is_err() && read("<Rule><ObjectOwnership>Mine</ObjectOwnership></Rule>").is_err());
    }
}
