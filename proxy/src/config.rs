//! The `[proxy]` table of a node's configuration.

use std::path::PathBuf;
use std::time::Duration;

use apus_base::client::ClientConfig;
use apus_base::crypto::{Encryption, InvalidEncryption};
use apus_base::serve::{Limits, TlsError, TlsFiles};
use serde::{Deserialize, Serialize};

use crate::auth::reseller::{InvalidResellers, Reseller};
use crate::auth::token::WeakSecret;
use crate::auth::user::{InvalidUser, Secret, User};
use crate::constraints::Constraints;
use crate::middleware::{access_log, container_sync, etag_quoter, list_endpoints, name_check, read_only};
use crate::middleware::{crossdomain, domain_remap, formpost, staticweb, tempurl};
use crate::ops::large::{DloConfig, SloConfig};
use crate::ops::{bulk, notification, symlink, versions};
use crate::ratelimit::{self, InvalidRate};
use crate::s3;

/// How a proxy behaves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may ask for tokens.
    pub users: Vec<User>,
    /// What tokens are signed with; the same at every proxy of the cluster. `openssl rand -hex 32` makes a good one.
    pub token_secret: Secret,
    /// How long a token holds, in seconds.
    pub token_life: u64,
    /// Whose accounts there are. The first one's prefix begins tokens and storage URLs.
    pub resellers: Vec<Reseller>,
    /// Where tokens are asked for, with a slash on both sides.
    pub auth_prefix: String,
    /// The scheme of storage URLs and of other URLs of our own.
    pub storage_url_scheme: Scheme,
    /// The limits on what clients may send.
    pub constraints: Constraints,
    /// Whether and with what secrets objects are encrypted.
    pub encryption: Encryption,
    /// How the storage servers are asked.
    pub client: ClientConfig,
    /// Static large objects.
    pub slo: SloConfig,
    /// Dynamic large objects.
    pub dlo: DloConfig,
    /// The S3 face.
    pub s3: s3::Config,
    /// How lifecycles of buckets are carried out.
    pub lifecycle: s3::lifecycle::Config,
    /// Who is told what happens to the objects of buckets.
    pub notifications: notification::Config,
    /// Whether an account comes into being with the first write to it, and looks empty before.
    pub account_autocreate: bool,
    /// Whether reseller admins may PUT and DELETE accounts; without it these are 405.
    pub allow_account_management: bool,
    /// Most containers in an account; 0 sets no limit.
    pub max_containers_per_account: u64,
    /// Accounts to which that limit does not apply.
    pub max_containers_whitelist: Vec<String>,
    /// Values of `Host` that are answered with 403.
    pub deny_host_headers: Vec<String>,
    /// Origins that may read every container's responses in a browser; `*` means all.
    pub cors_allow_origin: Vec<String>,
    /// Response headers that browsers may show to scripts, beside Swift's own.
    pub cors_expose_headers: Vec<String>,
    /// Whether responses to origins that are not allowed carry no CORS headers at all.
    pub strict_cors_mode: bool,
    /// Whether `/info` answers; without it, 403.
    pub expose_info: bool,
    /// Whether `/recon/...` answers, and so tells anybody who asks about this machine.
    pub recon: bool,
    /// Sections, or `section.key`, that `/info` hides.
    pub disallowed_sections: Vec<String>,
    /// Symlinks.
    pub symlink: symlink::Config,
    /// Keeping what is overwritten and deleted.
    pub versioned_writes: versions::Config,
    /// While this file exists, `/healthcheck` answers 503, so that a load balancer takes the node out.
    pub disable_path: Option<PathBuf>,
    /// The end of every transaction id of this node, to tell nodes apart in logs.
    pub trans_id_suffix: String,
    /// URLs that are signed.
    pub tempurl: tempurl::Config,
    /// Uploads by forms that are signed.
    pub formpost: formpost::Config,
    /// Containers as static sites.
    pub staticweb: staticweb::Config,
    /// Accounts and containers named by hosts; unset, none are.
    pub domain_remap: Option<domain_remap::Config>,
    /// The page for old browser plugins; unset, there is none.
    pub crossdomain: Option<crossdomain::Config>,
    /// How many characters of a token the access log shows.
    pub reveal_sensitive_prefix: usize,
    /// Whether containers are held to the quotas that their owners set.
    pub container_quotas: bool,
    /// Whether accounts are held to the quotas that reseller admins set.
    pub account_quotas: bool,
    /// The limits of bulk requests.
    pub bulk: bulk::Config,
    /// How often accounts and containers may be written to.
    pub ratelimit: ratelimit::Config,
    /// What may be written.
    pub read_only: read_only::Config,
    /// What paths may not hold.
    pub name_check: name_check::Config,
    /// Whether ETags are quoted.
    pub etag_quoter: etag_quoter::Config,
    /// Whether anybody may ask where something is stored.
    pub list_endpoints: list_endpoints::Config,
    /// Other clusters that keep containers like ours.
    pub container_sync: container_sync::Config,
    /// Whether `X-Open-Expired: true` reaches objects that expired and are not gone yet.
    pub allow_open_expired: bool,
    /// What operators sign their requests for `/info` with; without it nobody sees what is for operators.
    pub admin_key: Option<Secret>,
    /// What the access log says more, and less.
    pub access_log: access_log::Config,
    /// The certificate with which the public port speaks TLS; without it, plain HTTP.
    pub tls: Option<TlsFiles>,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// Whether each connection begins with the PROXY protocol, as balancers speak it that do not understand HTTP;
    /// connections without it are refused.
    pub require_proxy_protocol: bool,
    /// Most connections from clients at once; further ones wait.
    pub max_clients: usize,
    /// Requests worked on at once; 0 means 64 for each core. Further ones wait for a second at most, then they get 503.
    pub max_requests: usize,
    /// How long a client may pause while it sends a head or a body, in seconds; then it gets 408.
    pub client_timeout: u64,
    /// How long requests in flight may go on after the process was asked to stop, in seconds.
    pub grace: u64,
}

/// How clients reach the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// As the request came.
    Default,
    /// `http://`.
    Http,
    /// `https://`, for something in front of us that ends TLS and does not say so.
    Https,
}

/// Why a proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum InvalidConfig {
    /// A user makes no sense.
    #[error(transparent)]
    User(#[from] InvalidUser),
    /// A reseller makes no sense.
    #[error(transparent)]
    Resellers(#[from] InvalidResellers),
    /// Tokens could be forged.
    #[error(transparent)]
    TokenSecret(#[from] WeakSecret),
    /// The root secrets make no sense.
    #[error("encryption: {0}")]
    Encryption(#[from] InvalidEncryption),
    /// A rate is none.
    #[error(transparent)]
    Rate(#[from] InvalidRate),
    /// Lifecycles cannot be carried out so.
    #[error(transparent)]
    Lifecycle(#[from] s3::lifecycle::InvalidLifecycle),
    /// Events cannot be sent so.
    #[error(transparent)]
    Notification(#[from] notification::InvalidNotification),
    /// What paths may not match is no regular expression.
    #[error("forbidden_regexp: {0}")]
    NameCheck(#[from] regex::Error),
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Where tokens are asked for is no folder of the URL.
    #[error("auth_prefix must begin and end with a slash and have something in between, as in \"/auth/\", not {0:?}")]
    AuthPrefix(String),
}

impl Default for Config {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            users: Vec::new(),
            token_secret: Secret::default(),
            token_life: 86_400,
            resellers: vec![Reseller { prefix: "AUTH".into(), require_group: None }],
            auth_prefix: "/auth/".into(),
            storage_url_scheme: Scheme::Default,
            constraints: Constraints::default(),
            encryption: Encryption::default(),
            client: ClientConfig::default(),
            slo: SloConfig::default(),
            dlo: DloConfig::default(),
            s3: s3::Config::default(),
            lifecycle: s3::lifecycle::Config::default(),
            notifications: notification::Config::default(),
            account_autocreate: true,
            allow_account_management: false,
            max_containers_per_account: 0,
            max_containers_whitelist: Vec::new(),
            deny_host_headers: Vec::new(),
            cors_allow_origin: Vec::new(),
            cors_expose_headers: Vec::new(),
            strict_cors_mode: true,
            expose_info: true,
            recon: false,
            disallowed_sections: vec!["swift.valid_api_versions".into(), "swift.auto_create_account_prefix".into()],
            symlink: symlink::Config::default(),
            versioned_writes: versions::Config::default(),
            disable_path: None,
            trans_id_suffix: String::new(),
            tempurl: tempurl::Config::default(),
            formpost: formpost::Config::default(),
            staticweb: staticweb::Config::default(),
            domain_remap: None,
            crossdomain: None,
            reveal_sensitive_prefix: 16,
            container_quotas: true,
            account_quotas: true,
            bulk: bulk::Config::default(),
            ratelimit: ratelimit::Config::default(),
            read_only: read_only::Config::default(),
            name_check: name_check::Config::default(),
            etag_quoter: etag_quoter::Config::default(),
            list_endpoints: list_endpoints::Config::default(),
            container_sync: container_sync::Config::default(),
            allow_open_expired: false,
            admin_key: None,
            access_log: access_log::Config::default(),
            tls: None,
            http2: true,
            require_proxy_protocol: false,
            max_clients: limits.connections,
            max_requests: 0,
            client_timeout: limits.patience.as_secs(),
            grace: limits.grace.as_secs(),
        }
    }
}

impl Config {
    /// What the HTTP server allows clients.
    pub fn limits(&self) -> Limits {
        Limits {
            connections: self.max_clients,
            patience: Duration::from_secs(self.client_timeout),
            grace: Duration::from_secs(self.grace),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_table_of_toml_is_read_and_what_it_leaves_out_is_swifts() {
        let text = "
            token_secret = \"0123456789abcdef\"
            max_clients = 10
            disallowed_sections = []
            [[users]]
            account = \"test\"
            user = \"tester\"
            key = \"colons: may be here\"
            groups = [\".admin\"]
            [constraints]
            max_file_size = 5
            [client]
            node_timeout = 3
            [tls]
            certificate = \"tls.crt\"
            key = \"tls.key\"
        ";
        let config: Config = toml::from_str(text).unwrap();
        assert_eq!(config.limits().connections, 10);
        assert_eq!((config.constraints.max_file_size, config.constraints.max_meta_count), (5, 90));
        assert_eq!(config.users[0].key, Secret("colons: may be here".into()));
        assert_eq!((config.token_life, config.strict_cors_mode), (86_400, true));
        assert_eq!(config.tls.as_ref().map(|tls| tls.key.as_path()), Some(Path::new("tls.key")));
        assert!(config.http2 && !config.require_proxy_protocol);
        assert!(!format!("{config:?}").contains("0123456789"));
        // What was written is read again.
        let again: Config = toml::from_str(&toml::to_string(&config).unwrap()).unwrap();
        assert_eq!(format!("{again:?}"), format!("{config:?}"));
    }

    #[test]
    fn what_it_does_not_know_is_an_error_with_its_line() {
        let error = |text| toml::from_str::<Config>(text).unwrap_err().to_string();
        assert!(error("max_clients = 1\ncolour = 2").contains("line 2"));
        assert!(error("storage_url_scheme = \"ftp\"").contains("http"));
    }
}
