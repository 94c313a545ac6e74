//! The `[proxy.s3]` table; names are Swift's, of its `s3api`.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// How the S3 face behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether it answers at all.
    pub enabled: bool,
    /// The region; signatures name it.
    pub location: String,
    /// Below which domains buckets are, as `bucket.s3.example.com`; without one, only paths name buckets.
    pub storage_domain: Vec<String>,
    /// Below which domains buckets are shown as websites, as `bucket.account.web.example.com`; without one, none are.
    pub website_domain: Vec<String>,
    /// Whether names of buckets have to fit the domain name system.
    pub dns_compliant_bucket_names: bool,
    /// Most keys of one listing.
    pub max_bucket_listing: u64,
    /// Most parts of one listing of parts.
    pub max_parts_listing: u64,
    /// The highest number of a part. Swift's own default is 1000; clients count on that of AWS.
    pub max_upload_part_num: u32,
    /// Most keys of one request that deletes many.
    pub max_multi_delete_objects: usize,
    /// So many of them are deleted together.
    pub multi_delete_concurrency: usize,
    /// The smallest part of an upload but the last, in bytes.
    pub min_segment_size: u64,
    /// How far a client's clock may be from ours, in seconds.
    pub allowable_clock_skew: u64,
    /// Whether a client's own key of encryption (SSE-C) is taken over TLS only. Where something else ends TLS before this server, and
    /// nobody listens in between, it may be false.
    pub customer_keys_need_tls: bool,
    /// Whether those who ask too often get 429 instead of 503.
    pub ratelimit_as_client_error: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            location: "us-east-1".into(),
            storage_domain: Vec::new(),
            website_domain: Vec::new(),
            dns_compliant_bucket_names: true,
            max_bucket_listing: 1000,
            max_parts_listing: 1000,
            max_upload_part_num: 10_000,
            max_multi_delete_objects: 1000,
            multi_delete_concurrency: 2,
            min_segment_size: 5 * 1024 * 1024,
            allowable_clock_skew: 900,
            customer_keys_need_tls: true,
            ratelimit_as_client_error: false,
        }
    }
}

impl Config {
    /// What `/info` says.
    pub fn info(&self) -> Option<Value> {
        self.enabled.then(|| {
            json!({
                "max_bucket_listing": self.max_bucket_listing,
                "max_parts_listing": self.max_parts_listing,
                "max_upload_part_num": self.max_upload_part_num,
                "max_multi_delete_objects": self.max_multi_delete_objects,
                "allow_multipart_uploads": true,
                "min_segment_size": self.min_segment_size,
                "s3_acl": false,
            })
        })
    }
}
