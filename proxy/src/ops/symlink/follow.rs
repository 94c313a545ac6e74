//! Reading what links stand for.

use apus_base::body::Body;
use http::header::{CONTENT_LOCATION, ETAG};
use http::{HeaderMap, HeaderValue, Response};

use super::link::KEPT_TARGET;
use super::{Link, LinkError};
use crate::error::Error;
use crate::ops::Call;
use crate::ops::get::{Read, stored};
use crate::ops::headers::{IGNORE_RANGE, append};
use crate::ops::resource::Resource;

/// Reads an object, or what the link at its name stands for. `Content-Location` says where links led to.
///
/// # Errors
/// When links lead nowhere or in a circle, or where the caller may not read; or as [`stored`].
pub(in crate::ops) async fn read(call: Call<'_>, mut read: Read) -> Result<Response<Body>, Error> {
    if read.as_link {
        let mut response = stored(call, &read).await?;
        Link::show(response.headers_mut());
        return Ok(response);
    }
    append(&mut read.headers, IGNORE_RANGE, KEPT_TARGET.as_str());
    Chase { call, read, path: None, etag: None, dynamic: true, steps: 0 }.run().await
}

/// A read on its way along links.
pub(super) struct Chase<'a> {
    pub(super) call: Call<'a>,
    /// What to read next.
    pub(super) read: Read,
    /// Where links have led to.
    pub(super) path: Option<String>,
    /// What the last link, if it is static, says that is there.
    pub(super) etag: Option<String>,
    /// Whether links that are not static are followed too.
    pub(super) dynamic: bool,
    /// How many links were followed.
    pub(super) steps: usize,
}

impl Chase<'_> {
    /// Goes to the end. Conditions are the final object's: a link that does not meet them is followed all the same.
    pub(super) async fn run(mut self) -> Result<Response<Body>, Error> {
        loop {
            let mut response = stored(self.call, &self.read).await.map_err(|error| self.behind(error))?;
            let link = Link::of(response.headers()).filter(|link| link.etag.is_some() || self.dynamic);
            let Some(link) = link else {
                self.check_end(response.headers())?;
                if let Some(Ok(path)) = self.path.as_deref().map(HeaderValue::from_str) {
                    response.headers_mut().insert(CONTENT_LOCATION, path);
                }
                return Ok(response);
            };
            self.step(link, response.headers()).await?;
        }
    }

    async fn step(&mut self, link: Link, found: &HeaderMap) -> Result<(), Error> {
        let is = link.etag.clone().or_else(|| etag(found));
        if self.etag.is_some() && self.etag != is {
            return Err(self.behind(LinkError::OtherLink.into()));
        }
        let most = self.call.proxy.config.symlink.symloop_max;
        if self.steps >= most {
            return Err(LinkError::TooMany(most).into());
        }
        self.steps += usize::from(!link.extends);
        let own_account = &self.read.name.account;
        self.path = Some(link.path(own_account));
        self.read.name = link.points_to(own_account).ok_or_else(|| self.behind(Error::NotFound))?;
        if !link.reserved {
            let resource = Resource::Object(self.read.name.clone());
            let granted = self.call.authorize(&self.read.method, &resource).await;
            granted.map_err(|error| self.behind(error))?;
        }
        self.etag = link.etag;
        Ok(())
    }

    fn check_end(&self, found: &HeaderMap) -> Result<(), Error> {
        match (&self.etag, etag(found)) {
            (Some(wanted), Some(found)) if *wanted != found => {
                Err(self.behind(LinkError::Changed { found, wanted: wanted.clone() }.into()))
            }
            _ => Ok(()),
        }
    }

    fn behind(&self, error: Error) -> Error {
        match &self.path {
            Some(path) => Error::Behind { path: path.clone(), error: Box::new(error) },
            None => error,
        }
    }
}

fn etag(headers: &HeaderMap) -> Option<String> {
    let etag = headers.get(ETAG)?.to_str().ok()?;
    Some(etag.trim_matches('"').to_owned())
}
