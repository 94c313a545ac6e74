//! `?encryption`: whether a bucket's objects are encrypted that nobody asks it of.
//!
//! AWS encrypts everything, and says so of a bucket that was told nothing. Here that is true only where the operator has switched
//! encryption on for everything; of other buckets it is said that they have no such configuration, as AWS once did. What a bucket is
//! told stands in its container ([`DEFAULT`]), so that objects which come through Swift are encrypted, too.

use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::{AES256, no_kms};
use crate::ops::container;
use crate::ops::crypto::{DEFAULT, is_default};
use crate::s3::bucket::describe;
use crate::s3::code::Code;
use crate::s3::fault::Fault;
use crate::s3::payload::Payload;
use crate::s3::xml::{Node, Xml};
use crate::s3::{Answered, Face, document, empty, parse};

const ROOT: &str = "ServerSideEncryptionConfiguration";
/// The longest body: one rule.
const MAX_BODY_BYTES: usize = 10_240;

pub(in crate::s3) async fn answer(face: &Face<'_>, payload: Payload) -> Answered {
    if face.asked.key.is_some() {
        return Err(face.no_method("ENCRYPTION"));
    }
    match face.parts.method {
        Method::GET => show(face).await,
        Method::PUT => {
            let text = face.xml(payload, MAX_BODY_BYTES).await?.ok_or(Fault::new(Code::MalformedXml))?;
            check(&parse(&text, ROOT)?)?;
            face.check_secret()?;
            tell(face, AES256).await?;
            Ok(empty(StatusCode::OK))
        }
        Method::DELETE => {
            tell(face, "").await?;
            Ok(empty(StatusCode::NO_CONTENT))
        }
        _ => Err(face.no_method("ENCRYPTION")),
    }
}

async fn show(face: &Face<'_>) -> Answered {
    describe(face).await?;
    let info = face.proxy.client.container_info(&face.account, face.bucket()).await;
    let info = info.map_err(|error| face.fault(error.into()))?;
    if !face.proxy.keymaster.encrypts() && !info.found().is_some_and(|info| is_default(info)) {
        return Err(Fault::new(Code::ServerSideEncryptionConfigurationNotFound).with("BucketName", face.bucket()));
    }
    let mut xml = Xml::new(ROOT);
    xml.open("Rule").open("ApplyServerSideEncryptionByDefault").text("SSEAlgorithm", AES256).close();
    xml.text("BucketKeyEnabled", "false").close();
    Ok(document(xml))
}

async fn tell(face: &Face<'_>, method: &'static str) -> Result<(), Fault> {
    let headers = HeaderMap::from_iter([(DEFAULT, HeaderValue::from_static(method))]);
    let parts = face.request(Method::POST, headers.clone());
    let done = container::update(face.call(&parts), face.container(), &headers).await;
    done.map_err(|error| face.bucket_fault(error))
}

/// # Errors
/// When it is another configuration than the one that there is.
fn check(document: &Node) -> Result<(), Fault> {
    let malformed = || Fault::new(Code::MalformedXml);
    document.only(&["Rule"])?;
    let [rule] = document.children.as_slice() else { return Err(malformed()) };
    // Bucket keys are of KMS; without it they change nothing.
    rule.only(&["ApplyServerSideEncryptionByDefault", "BucketKeyEnabled", "BlockedEncryptionTypes"])?;
    let by_default = rule.child("ApplyServerSideEncryptionByDefault")?.ok_or_else(malformed)?;
    match by_default.required("SSEAlgorithm")?.trim() {
        AES256 if by_default.child("KMSMasterKeyID")?.is_some() => Err(Fault::saying(
            Code::InvalidArgument,
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms",
        )),
        AES256 => Ok(()),
        kms if kms.starts_with("aws:kms") => Err(no_kms()),
        _ => Err(malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_rule_with_the_one_method() {
        let check = |rules: &str| {
            check(&Node::parse(format!("<{ROOT}>{rules}</{ROOT}>").as_bytes(), ROOT).unwrap())
                .map_err(|fault| fault.code)
        };
        let rule = |method: &str| {
            let method = format!("<SSEAlgorithm>{method}</SSEAlgorithm>");
            format!("<Rule><ApplyServerSideEncryptionByDefault>{method}</ApplyServerSideEncryptionByDefault></Rule>")
        };
        assert_eq!(check(&rule("AES256")), Ok(()));
        assert_eq!(check(&rule("aws:kms")), Err(Code::NotImplemented));
        for other in [String::new(), rule("AES256").repeat(2), "<Rule/>".into(), rule("ROT13")] {
            assert_eq!(check(&other), Err(Code::MalformedXml), "{other}");
        }
    }
}
