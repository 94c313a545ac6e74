//! boto3, and the other programs of the virtual environment that speak S3, against a cluster.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use crate::{Apus, Cluster, Swift, User, tools};

/// Two users of one account, of whom the first owns it, and the owner of another.
pub const USERS: [User; 3] = [
    User { account: "test", name: "tester", key: "testing", groups: &[".admin"] },
    User { account: "test", name: "tester3", key: "testing3", groups: &["friends"] },
    User { account: "test2", name: "tester2", key: "testing2", groups: &[".admin"] },
];

/// Clients of each user, a client without a key, and how errors are looked at.
const PRELUDE: &str = r#"
import boto3, botocore, json, os, time, urllib.request
from boto3.s3.transfer import TransferConfig
from botocore import UNSIGNED
from botocore.config import Config

def client(user=None, key=None):
    config = Config(retries={'max_attempts': 1}, s3={'addressing_style': 'path'}, **({} if user else {'signature_version': UNSIGNED}))
    made = boto3.client('s3', aws_access_key_id=user, aws_secret_access_key=key, config=config)
    # Buckets of other accounts have a colon in their names, which boto3 knows from other servers but checks.
    made.meta.events.unregister('before-parameter-build.s3', botocore.handlers.validate_bucket_name)
    return made

owner, friend = client('test:tester', 'testing'), client('test:tester3', 'testing3')
stranger, nobody = client('test2:tester2', 'testing2'), client()
s3 = owner

def refused(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response['Error']['Code'] == code, error
        return error.response
    raise SystemExit(f'{code} was expected of {arguments}')
"#;

impl From<&Apus> for Swift {
    fn from(apus: &Apus) -> Self {
        apus.swift()
    }
}

impl From<&Cluster> for Swift {
    fn from(cluster: &Cluster) -> Self {
        cluster.swift()
    }
}

/// Where a cluster answers.
pub fn url(cluster: impl Into<Swift>) -> String {
    format!("http://{}", cluster.into().address)
}

/// A program of the virtual environment, for the owner of `test`, in a folder.
pub fn program(cluster: impl Into<Swift>, folder: &Path, name: &str) -> Command {
    let url = url(cluster);
    let mut command = Command::new(tools::python_program(name));
    let settings = [
        ("AWS_ACCESS_KEY_ID", "test:tester".to_owned()),
        ("AWS_SECRET_ACCESS_KEY", "testing".to_owned()),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_ENDPOINT_URL", url.clone()),
        ("AWS_CONFIG_FILE", "/dev/null".to_owned()),
        ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ("AWS_MAX_ATTEMPTS", "1".to_owned()),
        ("ST_AUTH", format!("{url}/auth/v1.0")),
        ("ST_USER", "test:tester".to_owned()),
        ("ST_KEY", "testing".to_owned()),
    ];
    command.envs(settings).current_dir(folder);
    command
}

/// Runs such a program, and gives what it says.
pub fn run(cluster: impl Into<Swift>, folder: &Path, name: &str, arguments: &[&str]) -> String {
    let output = tools::run(program(cluster, folder, name).args(arguments));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Runs a script that has clients of [`USERS`]: `owner` (also called `s3`), `friend`, `stranger` and, without a key, `nobody`.
pub fn script(cluster: impl Into<Swift>, folder: &Path, script: &str) -> String {
    run(cluster, folder, "python", &["-c", &format!("{PRELUDE}{script}")])
}

/// Runs a script against a new cluster with [`USERS`].
pub fn story(text: &str) -> String {
    let (apus, folder) = (Apus::builder().users(&USERS).start(), TempDir::new().expect("a temporary folder"));
    script(&apus, folder.path(), text)
}
