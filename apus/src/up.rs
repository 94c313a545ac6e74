//! `apus up`: a whole cluster in one process, for trying it, for developing against it, and for small needs.
//!
//! The roles are the same as in separate processes and talk over loopback. The storage servers listen on ports that
//! the system picks at each start, so the only port that can be taken is the public one.

use apus_base::serve::{Tls, TlsFiles};
use apus_proxy::auth::user::User;

use crate::cli::{self, UpArguments};
use crate::config::NodeConfig;
use crate::data::{ADDRESSES, DataFolder};
use crate::error::StartError;
use crate::node::Node;
use crate::rings::Addresses;
use crate::roles::Role;
use crate::serve::{self, Bound};

const BACKENDS: [Role; 3] = [Role::Account, Role::Container, Role::Object];

/// Runs until a signal.
pub(crate) fn run(arguments: &UpArguments) -> Result<(), StartError> {
    // What was typed is checked before a folder is made.
    let users: Vec<User> = arguments.users.iter().map(|user| user.parse()).collect::<Result<_, _>>()?;
    let tls = certificate(arguments)?;
    let folder = DataFolder::open(arguments)?;
    let mut config = NodeConfig::read(&folder.config())?;
    if !users.is_empty() {
        config.proxy.users = users;
    }
    if arguments.listen.is_some() {
        config.listen.proxy.clone_from(&arguments.listen);
    }
    if tls.is_some() {
        config.proxy.tls = tls;
    }
    let cluster = config.cluster(&folder.config())?;
    serve::runtime()?.block_on(async {
        let (bound, addresses) = bind_all(&config, &folder).await?;
        let file = folder.root().join(ADDRESSES);
        addresses.write(&file).map_err(|source| StartError::Folder { path: file, source })?;
        let greeting = greeting(&config, &folder, &bound);
        let node = Node::new(config, cluster, addresses)?;
        serve::serve(node, bound, || cli::say(&greeting)).await
    })
}

/// The certificate that was typed, if it can be used.
fn certificate(arguments: &UpArguments) -> Result<Option<TlsFiles>, StartError> {
    let typed = arguments.tls_certificate.clone().zip(arguments.tls_key.clone());
    let files = typed.map(|(certificate, key)| TlsFiles { certificate, key });
    if let Some(files) = &files {
        Tls::load(files.clone(), true)?;
    }
    Ok(files)
}

async fn bind_all(config: &NodeConfig, folder: &DataFolder) -> Result<(Vec<Bound>, Addresses), StartError> {
    let public = config.listen.of(Role::Proxy);
    let public = public.ok_or_else(|| StartError::NoAddress { path: folder.config(), role: Role::Proxy.name() })?;
    let mut bound = Vec::new();
    let mut addresses = Addresses::default();
    for role in BACKENDS {
        let one = serve::bind(role, "127.0.0.1:0").await?;
        addresses.set(role, one.address);
        bound.push(one);
    }
    bound.push(serve::bind(Role::Proxy, public).await?);
    Ok((bound, addresses))
}

/// What a newcomer needs next, and the line that scripts wait for.
fn greeting(config: &NodeConfig, folder: &DataFolder, bound: &[Bound]) -> String {
    let public = bound.iter().find(|b| b.role == Role::Proxy);
    let url = public.map(|b| format!("{}://{}", config.scheme(), b.address)).unwrap_or_default();
    let mut text = format!("Apus is up; its data is in {}\n", folder.root().display());
    if let Some(user) = config.proxy.users.first() {
        text += &format!(
            "
  Swift URL  {url}/auth/v1.0
  user       {account}:{name}
  key        {key}

Try, in another terminal:
  export ST_AUTH={url}/auth/v1.0 ST_USER={account}:{name} ST_KEY={key}
  swift upload first README.md        (`pip install python-swiftclient` has it)
  swift list first

",
            account = user.account,
            name = user.user,
            key = user.key.0,
        );
    }
    text + &format!("ready {url}")
}
