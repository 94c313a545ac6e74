//! `rclone`, unchanged, as the owner of `test`, with a cluster for its remote `apus:`.

use std::path::Path;
use std::process::Command;

use crate::{Apus, boto, tools};

/// By which of its backends it speaks to a cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// Swift's, which sends segments of 1 MiB.
    Swift,
    /// S3's, which sends parts of 5 MiB.
    S3,
}

/// Runs it in a folder, and gives what it says.
pub fn run(apus: &Apus, backend: Backend, folder: &Path, arguments: &[&str]) -> String {
    let url = boto::url(apus);
    let settings = match backend {
        Backend::Swift => vec![
            ("TYPE", "swift".to_owned()),
            ("AUTH", format!("{url}/auth/v1.0")),
            ("AUTH_VERSION", "1".to_owned()),
            ("USER", "test:tester".to_owned()),
            ("KEY", "testing".to_owned()),
            ("CHUNK_SIZE", "1M".to_owned()),
        ],
        Backend::S3 => vec![
            ("TYPE", "s3".to_owned()),
            ("PROVIDER", "Other".to_owned()),
            ("ENDPOINT", url),
            ("ACCESS_KEY_ID", "test:tester".to_owned()),
            ("SECRET_ACCESS_KEY", "testing".to_owned()),
            ("REGION", "us-east-1".to_owned()),
            ("UPLOAD_CUTOFF", "5M".to_owned()),
        ],
    };
    let mut command = Command::new("rclone");
    command.envs(settings.into_iter().map(|(name, value)| (format!("RCLONE_CONFIG_APUS_{name}"), value)));
    // Its S3 backend refuses to start where another program's certificates are named.
    command.env("RCLONE_CONFIG", "/dev/null").env_remove("AWS_CA_BUNDLE").current_dir(folder);
    let output = tools::run(command.args(arguments).arg("--retries=1"));
    String::from_utf8(output.stdout).expect("UTF-8")
}
