//! What is kept of an event, and what a webhook reads: S3's event message, version 2.1, with the two fields before its records
//! that receivers of MinIO's webhooks look for. Pure.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use apus_base::timestamp::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::Kind;
use crate::ops::versions::Version;

/// What stands for itself in a key; a space becomes a plus, as in forms.
const IN_KEY: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'*').remove(b' ');

/// An event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Event {
    pub(super) kind: Kind,
    pub(super) account: String,
    pub(super) bucket: String,
    pub(super) key: String,
    /// When it happened: a later event of the same key has a later time.
    #[serde(with = "internal")]
    pub(super) at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none", with = "version")]
    pub(super) version: Option<Version>,
    /// Who did it, if somebody signed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) user: String,
    /// From which address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) source: String,
    /// The transaction's id.
    #[serde(default)]
    pub(super) request: String,
    /// The rule's name.
    #[serde(default)]
    pub(super) rule: String,
}

impl Event {
    /// The body that a webhook gets.
    pub(super) fn message(&self, region: &str) -> Value {
        json!({
            "EventName": format!("s3:{}", self.kind.name()),
            "Key": format!("{}/{}", self.bucket, self.key),
            "Records": [self.record(region)],
        })
    }

    fn record(&self, region: &str) -> Value {
        json!({
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "awsRegion": region,
            "eventTime": time(self.at),
            "eventName": self.kind.name(),
            "userIdentity": { "principalId": self.user },
            "requestParameters": { "sourceIPAddress": self.source },
            "responseElements": { "x-amz-request-id": self.request, "x-amz-id-2": self.request },
            "s3": {
                "s3SchemaVersion": "1.0",
                "configurationId": self.rule,
                "bucket": {
                    "name": self.bucket,
                    "ownerIdentity": { "principalId": self.account },
                    "arn": format!("arn:aws:s3:::{}", self.bucket),
                },
                "object": self.object(),
            },
        })
    }

    fn object(&self) -> Value {
        let mut object = json!({ "key": escaped(&self.key), "sequencer": sequencer(self.at) });
        if let Some(size) = self.size {
            object["size"] = json!(size);
        }
        if let Some(etag) = &self.etag {
            object["eTag"] = json!(etag);
        }
        if let Some(version) = self.version {
            object["versionId"] = json!(version.to_string());
        }
        object
    }
}

/// What a webhook gets when a bucket begins to tell it.
pub(super) fn test_event(bucket: &str, now: Timestamp, request: &str) -> Value {
    json!({
        "Service": "Amazon S3",
        "Event": "s3:TestEvent",
        "Time": time(now),
        "Bucket": bucket,
        "RequestId": request,
        "HostId": request,
    })
}

fn time(at: Timestamp) -> String {
    // Swift's has six digits and no zone; S3's has three and one.
    let text = at.isoformat();
    format!("{}Z", text.get(..23).unwrap_or(&text))
}

fn escaped(key: &str) -> String {
    utf8_percent_encode(key, IN_KEY).to_string().replace(' ', "+")
}

/// Digits of one length, so that they sort as the times do.
fn sequencer(at: Timestamp) -> String {
    format!("{:016X}{:016X}", at.ticks(), at.offset())
}

/// Timestamps as they are written in headers.
mod internal {
    use apus_base::timestamp::Timestamp;
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&at.internal())
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(|_| D::Error::custom("no timestamp"))
    }
}

/// Versions as clients see them.
mod version {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    use crate::ops::versions::Version;

    pub(super) fn serialize<S: Serializer>(version: &Option<Version>, to: S) -> Result<S::Ok, S::Error> {
        match version {
            Some(version) => to.collect_str(version),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'d, D: Deserializer<'d>>(from: D) -> Result<Option<Version>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        text.map(|text| text.parse().map_err(|_| D::Error::custom("no version"))).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(key: &str) -> Event {
        Event {
            kind: Kind::Put,
            account: "AUTH_test".into(),
            bucket: "b".into(),
            key: key.into(),
            at: "1712345678.12345".parse().unwrap(),
            size: Some(3),
            etag: Some("e".into()),
            version: Some(Version::Null),
            user: "test:tester".into(),
            source: "192.0.2.1".into(),
            request: "tx1".into(),
            rule: "r".into(),
        }
    }

    #[test]
    fn a_webhook_reads_what_aws_sends() {
        let message = event("red flower/é&+.jpg").message("us-east-1");
        assert_eq!(message["EventName"], "s3:ObjectCreated:Put");
        assert_eq!(message["Key"], "b/red flower/é&+.jpg");
        let record = &message["Records"][0];
        assert_eq!(record["eventTime"], "2024-04-05T19:34:38.123Z");
        assert_eq!(record["eventName"], "ObjectCreated:Put");
        assert_eq!(record["s3"]["bucket"]["arn"], "arn:aws:s3:::b");
        let object = json!({
            "key": "red+flower/%C3%A9%26%2B.jpg", "size": 3, "eTag": "e", "versionId": "null",
            "sequencer": "00009BBCA79674F90000000000000000",
        });
        assert_eq!(record["s3"]["object"], object);
    }

    proptest! {
        #[test]
        fn events_come_back_and_their_order_shows(key in "\\PC{0,40}", ticks in 0_u64..9_999_999_999_99999, other in 0_u64..9_999_999_999_99999) {
            let one = Event { at: Timestamp::from_ticks(ticks), ..event(&key) };
            let read: Event = serde_json::from_str(&serde_json::to_string(&one).unwrap()).unwrap();
            prop_assert_eq!(&read, &one);
            let other = Timestamp::from_ticks(other);
            prop_assert_eq!(sequencer(one.at).cmp(&sequencer(other)), one.at.cmp(&other));
        }
    }
}
