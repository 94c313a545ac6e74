//! `apus dispersion`: containers and objects spread over a share of all partitions, and how many of their copies are there: what
//! swift-dispersion-populate and swift-dispersion-report do, with the same names, so that either finds what the other made.
//!
//! [`populate`] writes through the proxy as a user of the cluster; [`report`] lists through the proxy and then asks each primary
//! of each item itself. The user is in `[dispersion]` of the configuration or on the command line.

mod populate;
mod report;
mod spread;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use apus_base::policy::PolicyIndex;
use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::cli;
use crate::error::StartError;
use crate::serve;
use crate::view::View;
use user::{Credentials, User, UserError};

/// The `[dispersion]` table of a node's configuration.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// Where the user gets a token: `http://proxy:8080/auth/v1.0`.
    auth_url: String,
    /// `account:user`.
    auth_user: String,
    auth_key: String,
    /// On how many percent of the partitions there shall be something.
    dispersion_coverage: f64,
    /// Requests at the same time.
    concurrency: usize,
    /// How often a request that fails is made again.
    retries: u32,
}

impl Default for Config {
    fn default() -> Self {
        let nothing = String::new;
        Self {
            auth_url: nothing(),
            auth_user: nothing(),
            auth_key: nothing(),
            dispersion_coverage: 1.0,
            concurrency: 25,
            retries: 5,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum DispersionCommand {
    /// Make containers and objects on a share of the partitions.
    Populate {
        #[command(flatten)]
        common: Common,
        /// On how many percent of the partitions. [default: dispersion_coverage of `[dispersion]`, or 1]
        #[arg(long, value_name = "PERCENT")]
        coverage: Option<f64>,
        /// Leave out partitions that have something already, and so cover more.
        #[arg(long)]
        no_overlap: bool,
        /// The first number in a container's name.
        #[arg(long, value_name = "N", default_value_t = 0)]
        container_suffix_start: u64,
        /// The first number in an object's name.
        #[arg(long, value_name = "N", default_value_t = 0)]
        object_suffix_start: u64,
    },
    /// Ask each primary for its copy; the exit status is 1 unless all are there.
    Report {
        #[command(flatten)]
        common: Common,
        /// Say it as JSON.
        #[arg(short = 'j', long)]
        dump_json: bool,
        /// Name each partition that lacks copies.
        #[arg(short, long)]
        partitions: bool,
        /// Name each server that has no copy.
        #[arg(short, long)]
        debug: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Common {
    /// The configuration of any node, which has the rings.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Where the user gets a token, instead of auth_url in `[dispersion]`.
    #[arg(short = 'A', long, value_name = "URL")]
    auth: Option<String>,
    /// ACCOUNT:USER, instead of auth_user in `[dispersion]`.
    #[arg(short = 'U', long, value_name = "USER")]
    user: Option<String>,
    /// The user's key, instead of auth_key in `[dispersion]`.
    #[arg(short = 'K', long, value_name = "KEY")]
    key: Option<String>,
    /// The storage policy, by name or index. [default: the cluster's]
    #[arg(short = 'P', long, value_name = "POLICY")]
    policy_name: Option<String>,
    /// Only containers.
    #[arg(long, conflicts_with = "object_only")]
    container_only: bool,
    /// Only objects.
    #[arg(long)]
    object_only: bool,
    /// Requests at the same time.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    concurrency: Option<u16>,
}

/// What both commands work with.
struct Work {
    view: View,
    user: User,
    policy: PolicyIndex,
    concurrency: usize,
    containers: bool,
    objects: bool,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DispersionError {
    #[error(transparent)]
    User(#[from] UserError),
    #[error("the coverage must be more than 0 percent and at most 100")]
    Coverage,
    #[error("there are no {0} to query; run `apus dispersion populate` first")]
    Nothing(&'static str),
}

/// Runs one of the commands.
pub(crate) fn run(command: DispersionCommand) -> Result<ExitCode, StartError> {
    match command {
        DispersionCommand::Populate { common, coverage, no_overlap, container_suffix_start, object_suffix_start } => {
            let view = View::read(&common.config)?;
            let coverage = coverage.unwrap_or(view.config.dispersion.dispersion_coverage);
            if !(coverage > 0.0 && coverage <= 100.0) {
                return Err(DispersionError::Coverage.into());
            }
            let first = [container_suffix_start, object_suffix_start];
            serve::runtime()?.block_on(async {
                let work = Work::begin(view, &common).await?;
                cli::say(&format!("Using storage policy: {}", work.policy_name()));
                populate::populate(&work, &populate::Extent { coverage, no_overlap, first }).await?;
                Ok(ExitCode::SUCCESS)
            })
        }
        DispersionCommand::Report { common, dump_json, partitions, debug } => {
            let view = View::read(&common.config)?;
            serve::runtime()?.block_on(async {
                let work = Work::begin(view, &common).await?;
                if !dump_json {
                    cli::say(&format!("Using storage policy: {}", work.policy_name()));
                }
                let all = report::report(&work, &report::Manner { json: dump_json, partitions, debug }).await?;
                Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            })
        }
    }
}

impl Work {
    /// Logs in.
    async fn begin(view: View, common: &Common) -> Result<Self, StartError> {
        let config = &view.config.dispersion;
        let policy = match &common.policy_name {
            Some(policy) => view.policy(policy)?,
            None => view.cluster.policies.default_index(),
        };
        let either = |typed: &Option<String>, configured: &String| typed.clone().unwrap_or_else(|| configured.clone());
        let credentials = Credentials {
            url: either(&common.auth, &config.auth_url),
            user: either(&common.user, &config.auth_user),
            key: either(&common.key, &config.auth_key),
        };
        let user = User::log_in(credentials, config.retries).await.map_err(DispersionError::from)?;
        let concurrency = common.concurrency.map_or(config.concurrency, usize::from).max(1);
        let (containers, objects) = (!common.object_only, !common.container_only);
        Ok(Self { user, policy, concurrency, containers, objects, view })
    }

    fn policy_name(&self) -> String {
        self.view
            .cluster
            .policies
            .get(self.policy)
            .map_or_else(|| self.policy.to_string(), |policy| policy.name.clone())
    }

    /// What the names of the containers begin with.
    fn container_prefix(&self) -> String {
        format!("dispersion_{}_", self.policy)
    }

    /// The container of the objects.
    fn object_container(&self) -> String {
        format!("dispersion_objects_{}", self.policy)
    }
}
