//! `?publicAccessBlock`: four switches that keep a bucket from being everybody's.

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
use crate::auth::acl;

const BLOCK: Setting = Setting("public-access-block");
const ROOT: &str = "PublicAccessBlockConfiguration";
/// The longest body: four short elements.
const MAX_BODY_BYTES: usize = 10_240;

/// What is kept from a bucket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Block {
    /// Lists that let everybody in are refused.
    pub(super) block_public_acls: bool,
    /// Lists that let everybody in let nobody in.
    pub(super) ignore_public_acls: bool,
    /// Policies that allow everybody something are refused.
    pub(super) block_public_policy: bool,
    /// A policy that allows everybody something allows it to users of the account only.
    pub(super) restrict_public_buckets: bool,
}

impl Block {
    /// Of a bucket.
    pub(super) fn of(info: &ContainerInfo) -> Self {
        BLOCK.of(info).unwrap_or_default()
    }

    fn read(document: &Node) -> Result<Self, Fault> {
        document.only(&["BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets"])?;
        let flag = |name: &str| match document.child(name)?.map(|child| child.text.trim()) {
            None | Some("false" | "FALSE") => Ok(false),
            Some("true" | "TRUE") => Ok(true),
            Some(_) => Err(Fault::new(Code::MalformedXml)),
        };
        Ok(Self {
            block_public_acls: flag("BlockPublicAcls")?,
            ignore_public_acls: flag("IgnorePublicAcls")?,
            block_public_policy: flag("BlockPublicPolicy")?,
            restrict_public_buckets: flag("RestrictPublicBuckets")?,
        })
    }

    fn xml(self) -> Xml {
        let mut xml = Xml::new(ROOT);
        for (name, flag) in [
            ("BlockPublicAcls", self.block_public_acls),
            ("IgnorePublicAcls", self.ignore_public_acls),
            ("BlockPublicPolicy", self.block_public_policy),
            ("RestrictPublicBuckets", self.restrict_public_buckets),
        ] {
            xml.text(name, if flag { "true" } else { "false" });
        }
        xml
    }
}

/// A refusal that says by which switch.
pub(super) fn denied(reason: &str) -> Fault {
    Fault::saying(Code::AccessDenied, format!("Access Denied because {reason}."))
}

/// # Errors
/// When the lists that a container is to get let everybody in and must not.
pub(super) async fn check_lists(face: &Face<'_>, lists: &HeaderMap) -> Result<(), Fault> {
    let is_public = |name: &str| acl::parse(header(lists, name)).allows_referrer(Some("unknown"));
    if !["x-container-read", "x-container-write"].into_iter().any(is_public) {
        return Ok(());
    }
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    let is_blocked = info.found().is_some_and(|info| Block::of(info).block_public_acls);
    if is_blocked {
        Err(denied("public access control lists are prevented by the BlockPublicAcls setting"))
    } else {
        Ok(())
    }
}

pub(super) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("PUBLIC_ACCESS_BLOCK"));
    }
    match face.parts.method {
        Method::GET => {
            let block: Option<Block> = face.setting(BLOCK).await?;
            let none = || Fault::new(Code::NoSuchPublicAccessBlockConfiguration).with("BucketName", face.bucket());
            Ok(document(block.ok_or_else(none)?.xml()))
        }
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            face.set(BLOCK, Some(&Block::read(&parse(&text, ROOT)?)?)).await?;
            Ok(empty(StatusCode::OK))
        }
        Method::DELETE => {
            face.set::<Block>(BLOCK, None).await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("PUBLIC_ACCESS_BLOCK")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_come_back_as_they_were_set() {
        let block = Block { ignore_public_acls: true, restrict_public_buckets: true, ..Block::default() };
        let text = block.xml().end();
        assert_eq!(Block::read(&Node::parse(text.as_bytes(), ROOT).unwrap()), Ok(block));
        let read = |text: &str| Block::read(&Node::parse(format!("<{ROOT}>{text}</{ROOT}>").as_bytes(), ROOT).unwrap());
        assert_eq!(read(""), Ok(Block::default()));
        assert!(read("<BlockPublicAcls>maybe</BlockPublicAcls>").is_err() && read("<Other>true</Other>").is_err());
    }
}
