//! What a request says to the keys of conditions.

use apus_base::clock;
use apus_base::serve::Secure;
use http::header::{REFERER, USER_AGENT};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::condition::Asks;
use crate::context::Context;
use crate::s3::Face;
use crate::s3::auth::header;
use crate::s3::tagging::Tags;

/// The tags of an object that is there.
pub(super) const EXISTING_TAG: &str = "s3:existingobjecttag/";
const REQUESTED_TAG: &str = "s3:requestobjecttag/";

/// A request, with what had to be looked up for it.
pub(super) struct Keys<'a> {
    pub(super) face: &'a Face<'a>,
    /// Of the object that is asked for; none where no condition is about them.
    pub(super) tags: Tags,
}

impl Asks for Keys<'_> {
    fn values(&self, key: &str) -> Vec<String> {
        if key == "s3:requestobjecttagkeys" {
            return self.requested().keys().map(str::to_owned).collect();
        }
        self.value(key).into_iter().collect()
    }
}

impl Keys<'_> {
    fn value(&self, key: &str) -> Option<String> {
        let (face, parts) = (self.face, self.face.parts);
        let context = parts.extensions.get::<Context>();
        let user = Some(face.user.clone()).filter(|user| !user.is_empty());
        let sent = |name: &str| Some(header(&parts.headers, name).to_owned()).filter(|text| !text.is_empty());
        match key {
            "aws:sourceip" => context.map(|context| context.peer.ip().to_canonical().to_string()),
            "aws:securetransport" => Some(parts.extensions.get::<Secure>().is_some().to_string()),
            "aws:username" => user.as_deref().and_then(|user| user.split_once(':')).map(|(_, name)| name.to_owned()),
            "aws:userid" => user,
            "aws:principalaccount" => {
                user.as_deref().and_then(|user| user.split_once(':')).map(|(account, _)| account.to_owned())
            }
            "aws:principalarn" => {
                let (account, name) = user.as_deref()?.split_once(':')?;
                Some(format!("arn:aws:iam::{account}:user/{name}"))
            }
            "aws:principaltype" => Some(if user.is_some() { "User" } else { "Anonymous" }.to_owned()),
            "aws:useragent" => sent(USER_AGENT.as_str()),
            "aws:referer" => sent(REFERER.as_str()),
            "aws:epochtime" => Some(clock::now().secs().to_string()),
            "aws:currenttime" => {
                let now = i64::try_from(clock::now().secs()).ok()?;
                OffsetDateTime::from_unix_timestamp(now).ok()?.format(&Rfc3339).ok()
            }
            "s3:prefix" | "s3:delimiter" | "s3:max-keys" => face.asked.query.get(key.strip_prefix("s3:")?),
            "s3:versionid" => face.asked.query.get("versionId"),
            key => match (key.strip_prefix(EXISTING_TAG), key.strip_prefix(REQUESTED_TAG)) {
                (Some(tag), _) => self.tags.get_ignoring_case(tag),
                (_, Some(tag)) => self.requested().get_ignoring_case(tag),
                _ => key.strip_prefix("s3:").filter(|name| name.starts_with("x-amz-")).and_then(sent),
            },
        }
    }

    fn requested(&self) -> Tags {
        // The rules for headers have seen that they make sense.
        Tags::of_request(&self.face.parts.headers).unwrap_or_default()
    }
}
