//! `apus inspect`: looks at one thing from close by, as swift-object-info, swift-account-info, swift-container-info and
//! swift-get-nodes do, and changes nothing.
//!
//! What is on this machine's disks is read from them, whether or not a server runs. Listings belong to the servers that have
//! them open, and are asked of these. The exit status is 1 when what was looked at is not sound, or not there.

mod copies;
mod listing;
mod metadata;
mod nodes;
mod object;
mod pending;
mod quarantined;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::cli;
use crate::error::StartError;
use crate::serve;
use crate::view::View;
use nodes::NodesArguments;

#[derive(Debug, Subcommand)]
pub(crate) enum InspectCommand {
    /// An object's file: its metadata, and whether they are true; or all copies of an object, by its name.
    Object {
        /// A .data, .meta or .ts file, or ACCOUNT/CONTAINER/OBJECT, or the three by themselves.
        #[arg(required = true, num_args = 1..=3, value_name = "FILE|NAME")]
        target: Vec<String>,
        /// Do not read the body to compare its MD5 with the ETag.
        #[arg(short, long)]
        no_check_etag: bool,
        /// Show names of metadata without what they have in common.
        #[arg(long)]
        drop_prefixes: bool,
        /// The policy of an object that is given by name. [default: the container's]
        #[arg(short = 'P', long, value_name = "POLICY")]
        policy_name: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// What each of its servers knows of a container.
    Container {
        /// ACCOUNT/CONTAINER, or the two by themselves.
        #[arg(required = true, num_args = 1..=2, value_name = "NAME")]
        target: Vec<String>,
        /// Show names of metadata without what they have in common.
        #[arg(long)]
        drop_prefixes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// What each of its servers knows of an account.
    Account {
        #[arg(value_name = "ACCOUNT")]
        account: String,
        /// Show names of metadata without what they have in common.
        #[arg(long)]
        drop_prefixes: bool,
        #[command(flatten)]
        common: Common,
    },
    /// Where something belongs by the rings, in swift-get-nodes' options and words.
    Nodes(NodesArguments),
    /// The container updates that wait on this node's disks: for which container, how many, and since when.
    Async(Common),
    /// What lies in quarantine on this node's disks, and whether a good copy has taken its place.
    Quarantined(Common),
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The node's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InspectError {
    #[error("there is no {}, and it is no ACCOUNT/CONTAINER/OBJECT", .0.display())]
    NoFile(PathBuf),
    #[error("{0:?} is not {1}")]
    Name(String, &'static str),
    #[error("{} is a folder; name a file in it", .0.display())]
    Folder(PathBuf),
    #[error("cannot read {}: {}", .0.display(), .1)]
    Unreadable(PathBuf, String),
    #[error("{} is not an object's file: {}", .0.display(), .1)]
    NotAnObject(PathBuf, String),
    #[error("the ring file {} does not exist", .0.display())]
    NoRing(PathBuf),
    #[error("{0}")]
    Usage(&'static str),
}

/// What was found, and whether all of it is sound.
#[derive(Debug, Default)]
struct Sight {
    text: String,
    unsound: bool,
}

impl Sight {
    fn line(&mut self, line: impl AsRef<str>) {
        self.text += line.as_ref();
        self.text.push('\n');
    }
}

/// Looks, and says what there is.
pub(crate) fn run(command: InspectCommand) -> Result<ExitCode, StartError> {
    let view = |common: &Common| View::read(&common.config);
    let sight = match command {
        InspectCommand::Object { target, no_check_etag, drop_prefixes, policy_name, common } => {
            let (view, shown) = (view(&common)?, object::Shown { check_etag: !no_check_etag, drop_prefixes });
            match target.as_slice() {
                [file] if Path::new(file).exists() || !file.trim_start_matches('/').contains('/') => {
                    object::file(&view, Path::new(file), shown)?
                }
                names => asking(copies::object(&view, names, policy_name.as_deref(), shown))?,
            }
        }
        InspectCommand::Container { target, drop_prefixes, common } => {
            asking(listing::container(&view(&common)?, &target, drop_prefixes))?
        }
        InspectCommand::Account { account, drop_prefixes, common } => {
            asking(listing::account(&view(&common)?, &account, drop_prefixes))?
        }
        InspectCommand::Nodes(arguments) => nodes::nodes(&arguments)?,
        InspectCommand::Async(common) => pending::waiting(&view(&common)?)?,
        InspectCommand::Quarantined(common) => quarantined::list(&view(&common)?)?,
    };
    cli::say(sight.text.trim_end_matches('\n'));
    Ok(if sight.unsound { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn asking<T>(question: impl Future<Output = Result<T, StartError>>) -> Result<T, StartError> {
    serve::runtime()?.block_on(question)
}

/// Splits `a/c/o` into as many names as `most`, where the last may hold slashes.
fn split(target: &[String], most: usize, what: &'static str) -> Result<Vec<String>, InspectError> {
    let names: Vec<String> = match target {
        [one] => one.trim_start_matches('/').splitn(most, '/').map(str::to_owned).collect(),
        several => several.to_vec(),
    };
    if names.len() == most && names.iter().all(|name| !name.is_empty()) {
        Ok(names)
    } else {
        Err(InspectError::Name(target.join("/"), what))
    }
}
