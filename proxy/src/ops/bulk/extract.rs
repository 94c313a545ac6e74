//! Storing the files of an archive as objects.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::sync::mpsc;

use apus_base::body::{Body, BodyError};

use super::expand::{Compression, Expanded};
use super::pax::Extension;
use super::single;
use super::tar::{Archive, Broken, Kind, Member};
use crate::auth::Denied;
use crate::error::Error;
use crate::ops::Call;
use crate::ops::container::{self, ContainerName};
use crate::ops::headers::pick;
use crate::ops::put::{Put, put};
use crate::ops::resource::{ObjectName, Resource};
use crate::ratelimit::pass;

/// Pieces of a file between the archive and the object servers; each is up to 64 KiB.
const PIECES_IN_FLIGHT: usize = 4;
/// As much is read behind the end of an archive: `tar` fills up its last record, of ten KiB or a little more.
const MOST_BEHIND_BYTES: u64 = 1 << 20;

/// An archive to take apart.
pub struct Extract {
    /// Where its files go.
    pub account: String,
    /// What their names are put behind, `container/prefix`; empty where they begin with their containers'.
    pub base: String,
    /// How it is compressed.
    pub compression: Compression,
    /// It.
    pub body: Body,
}

/// What became of an archive.
#[derive(Debug, Default)]
pub struct Extracted {
    /// Files that are objects now.
    pub created: u64,
    /// Files and containers that are not, with their names below the account.
    pub failed: Vec<(Vec<u8>, Failure)>,
}

/// Why a file is no object.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Its name is no text, or holds the byte that is the cluster's own.
    #[error("Invalid UTF8 or contains NULL")]
    Name,
    /// Its name climbs out of its folder: whoever unpacked it elsewhere would write where they do not mean to.
    #[error("its name has a part '..'")]
    Climbs,
    /// Its holes were left out.
    #[error("it is stored with its holes left out")]
    Sparse,
    /// An extended attribute is not fit for a header.
    #[error("an attribute cannot be metadata")]
    Attribute,
    /// Storing it, or making its container, failed.
    #[error(transparent)]
    Operation(#[from] Error),
}

/// Why an extraction was given up. What was created before stays.
#[derive(Debug, thiserror::Error)]
pub enum GivenUp {
    /// Nobody is known to ask.
    #[error("unauthorized")]
    Unauthorized,
    /// The archive would bring too many containers into being.
    #[error("More than {0} containers to create from tar.")]
    Containers(usize),
    /// It cannot be read on.
    #[error("Invalid Tar File: {0}")]
    Archive(#[from] Broken),
}

/// Stores each file of an archive, until too many failed. The expiry and the metadata of the request go on every object.
///
/// # Errors
/// When it is given up. What was done until then is in `done`.
pub async fn extract(call: Call<'_>, extract: Extract, done: &mut Extracted) -> Result<(), GivenUp> {
    let parts = single(call.parts, Method::PUT);
    let headers = pick(&call.parts.headers, is_for_each);
    let Extract { account, base, compression, body } = extract;
    let archive = Archive::new(Expanded::new(body, compression));
    let call = Call { proxy: call.proxy, parts: &parts };
    let mut extraction = Extraction { call, account, base, headers, archive, containers: HashSet::new(), created: 0 };
    let ended = extraction.run(done).await;
    if !matches!(ended, Err(GivenUp::Archive(_))) {
        extraction.archive.drain(MOST_BEHIND_BYTES).await;
    }
    ended
}

/// The headers of the request that each object gets.
fn is_for_each(name: &HeaderName) -> bool {
    let name = name.as_str();
    name == "x-delete-at" || name == "x-delete-after" || name.starts_with("x-object-meta-")
}

struct Extraction<'a> {
    call: Call<'a>,
    account: String,
    base: String,
    headers: HeaderMap,
    archive: Archive<Expanded>,
    /// Those that are known to be there, or to be out of reach; at most as many as may be made.
    containers: HashSet<String>,
    created: usize,
}

impl Extraction<'_> {
    async fn run(&mut self, done: &mut Extracted) -> Result<(), GivenUp> {
        let most = self.call.proxy.config.bulk.max_failed_extractions;
        while done.failed.len() < most
            && let Some(member) = self.archive.next().await?
        {
            let Some(path) = self.path_of(&member) else { continue };
            match self.store(&member, &path, done).await? {
                Ok(()) => done.created += 1,
                Err(failure) => {
                    let is_unknown = matches!(failure, Failure::Operation(Error::Denied(Denied::Unauthorized)));
                    done.failed.push((path, failure));
                    if is_unknown {
                        return Err(GivenUp::Unauthorized);
                    }
                }
            }
        }
        Ok(())
    }

    /// The name below the account that a member gets; none for what is no file or would be in no container.
    fn path_of(&self, member: &Member) -> Option<Vec<u8>> {
        let path = member.path.strip_prefix(b"./").unwrap_or(&member.path);
        let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
        let path = match self.base.as_str() {
            "" => path[start..].to_vec(),
            base => [base.as_bytes(), b"/", &path[start..]].concat(),
        };
        (member.kind != Kind::Other && path.contains(&b'/')).then_some(path)
    }

    /// Stores one file. The outer error is that of the archive itself.
    async fn store(
        &mut self,
        member: &Member,
        path: &[u8],
        done: &mut Extracted,
    ) -> Result<Result<(), Failure>, GivenUp> {
        let (name, headers) = match self.checked(member, path) {
            Ok(checked) => checked,
            Err(failure) => return Ok(Err(failure)),
        };
        let container_failure = self.make_container(&name.container).await?;
        if let Err(limited) = pass(self.call.proxy, &Method::PUT, &Resource::Object(name.clone())).await {
            return Ok(Err(Error::from(limited).into()));
        }
        let (pieces, body) = channel();
        let length = Ok(Some(member.size));
        let store = put(self.call, Put::new(name, headers, length, body));
        let (stored, fed) = tokio::join!(store, feed(&mut self.archive, pieces));
        fed?;
        if stored.is_err() {
            done.failed.extend(container_failure);
        }
        Ok(stored.map(drop).map_err(Failure::from))
    }

    fn checked(&self, member: &Member, path: &[u8]) -> Result<(ObjectName, HeaderMap), Failure> {
        let text = std::str::from_utf8(path).ok().filter(|path| !path.contains('\0')).ok_or(Failure::Name)?;
        if text.split('/').any(|part| part == "..") {
            return Err(Failure::Climbs);
        }
        if member.kind == Kind::Sparse {
            return Err(Failure::Sparse);
        }
        if member.size > self.call.proxy.config.constraints.max_file_size {
            return Err(Error::TooLarge.into());
        }
        let (container, object) = text.split_once('/').ok_or(Failure::Name)?;
        let mut headers = self.headers.clone();
        describe(&member.extension, &mut headers).ok_or(Failure::Attribute)?;
        Ok((
            ObjectName { account: self.account.as_str().into(), container: container.into(), object: object.into() },
            headers,
        ))
    }

    /// Makes a container that is not there. That it cannot be made is a failure only if the file cannot be stored either.
    async fn make_container(&mut self, container: &str) -> Result<Option<(Vec<u8>, Failure)>, GivenUp> {
        if self.containers.contains(container) {
            return Ok(None);
        }
        let most = self.call.proxy.config.bulk.max_containers_per_extraction;
        let failure = match self.require(container).await {
            Ok(made) => {
                self.created += usize::from(made);
                if self.created > most {
                    return Err(GivenUp::Containers(most));
                }
                None
            }
            Err(Error::Denied(Denied::Unauthorized)) => return Err(GivenUp::Unauthorized),
            Err(error) => Some((container.as_bytes().to_vec(), error.into())),
        };
        if self.containers.len() < most {
            self.containers.insert(container.to_owned());
        }
        Ok(failure)
    }

    /// Whether the container had to be made.
    async fn require(&mut self, container: &str) -> Result<bool, Error> {
        let call = self.call;
        if call.proxy.client.container_info(&self.account, container).await?.found().is_some() {
            return Ok(false);
        }
        let name = ContainerName { account: &self.account, container };
        container::create(call, name, &HeaderMap::new(), None).await.map(|_| true)
    }
}

/// A body, and where its pieces are put in.
fn channel() -> (mpsc::Sender<Result<Bytes, BodyError>>, Body) {
    let (pieces, mut come) = mpsc::channel(PIECES_IN_FLIGHT);
    let stream = futures_util::stream::poll_fn(move |cx| come.poll_recv(cx));
    let frames = futures_util::StreamExt::map(stream, |piece: Result<Bytes, BodyError>| piece.map(Frame::data));
    (pieces, StreamBody::new(frames).boxed_unsync())
}

/// Passes the present member's bytes on, as long as somebody takes them. If the archive ends before, so does the object.
async fn feed(archive: &mut Archive<Expanded>, pieces: mpsc::Sender<Result<Bytes, BodyError>>) -> Result<(), Broken> {
    loop {
        match archive.chunk().await {
            Ok(None) => return Ok(()),
            Ok(Some(piece)) => {
                if pieces.send(Ok(piece)).await.is_err() {
                    return Ok(());
                }
            }
            Err(broken) => {
                let _ = pieces.send(Err(BodyError::Source(Box::new(broken.clone())))).await;
                return Err(broken);
            }
        }
    }
}

/// Makes headers of extended attributes.
fn describe(extension: &Extension, headers: &mut HeaderMap) -> Option<()> {
    if let Some(kind) = &extension.mime_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_bytes(kind).ok()?);
    }
    for (name, value) in &extension.meta {
        let name = HeaderName::from_bytes(&[b"x-object-meta-", name.as_slice()].concat()).ok()?;
        headers.insert(name, HeaderValue::from_bytes(value).ok()?);
    }
    Some(())
}
