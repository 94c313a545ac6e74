//! The one list of what every request wears on its way to the face, outermost first.
//!
//! A step may answer by itself, or change the request, run the rest and change the response. The order matters; each
//! step's reason to stand where it does is beside it.

use std::net::SocketAddr;
use std::pin::Pin;

use http::{Request, Response};

use apus_base::body::Body;

use crate::Proxy;
use crate::context::{self, Context};
use crate::middleware::{
    access_log, admission, catch_errors, container_sync, cors, crossdomain, domain_remap, etag_quoter, formpost,
    gatekeeper, healthcheck, info, list_endpoints, listing_formats, name_check, ratelimit, read_only, request_line,
    staticweb, tempauth, tempurl,
};

/// The future of a response.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Response<Body>> + Send + 'a>>;

/// One step of the pipeline.
pub type Step = for<'a> fn(&'a Proxy, Request<Body>, Next<'a>) -> Answer<'a>;

/// Outermost first.
const STEPS: &[Step] = &[
    // Around everything, so that whatever happens inside, an answer goes out, with its transaction's id.
    catch_errors::step,
    // Sees every answer as the client does, refusals of the steps below included.
    access_log::step,
    // Before anything that looks at a header which a client must not set, and after everything that sets one.
    gatekeeper::step,
    // What is too long is not looked at by anybody.
    request_line::step,
    // Load balancers and the curious have no token.
    healthcheck::step,
    // Before all that costs something, a look at who asks included, and behind what makes a refusal an answer like any other.
    admission::step,
    // Who signs in S3's way is answered by that face, whatever the path would mean to the steps below.
    crate::s3::step,
    crossdomain::step,
    // Before all that looks at a path, also `/info`, which may be an object's name below a container's own domain.
    domain_remap::step,
    info::step,
    list_endpoints::step,
    // For all names, and before anything is looked up by them.
    name_check::step,
    // Outside everything that makes or compares ETags, and inside the gatekeeper, because the setting is system metadata.
    etag_quoter::step,
    // Browsers ask without a token what they may ask with one, and have to see refusals too.
    cors::step,
    // Behind CORS, whose headers go on every form; before authentication, as it needs to know nobody.
    listing_formats::step,
    // Before authentication, whose place a signature takes.
    container_sync::step,
    // Before authentication, whose place a signature takes; behind the listing formats, which an index page passes
    // untouched.
    tempurl::step,
    // Behind signed URLs, which may be for a POST of any body; every file of a form becomes a PUT of its own, so before
    // all that has a say in a PUT.
    formpost::step,
    // Before authentication, because who asks does not matter.
    read_only::step,
    // Before authentication, which may be what somebody wears out.
    ratelimit::step,
    // Says who asks; the face asks what they may.
    tempauth::step,
    // Behind authentication, because a site is for those who show no token.
    staticweb::step,
];

/// What stands behind a step.
#[derive(Clone, Copy)]
pub struct Next<'a> {
    proxy: &'a Proxy,
    rest: &'static [Step],
}

impl<'a> Next<'a> {
    /// Runs the steps behind this one, and at the end the face.
    pub fn run(self, request: Request<Body>) -> Answer<'a> {
        match self.rest.split_first() {
            Some((step, rest)) => step(self.proxy, request, Next { proxy: self.proxy, rest }),
            None => Box::pin(crate::swift::answer(self.proxy, request)),
        }
    }
}

/// Answers a request that `peer` sent.
pub fn answer(proxy: &Proxy, mut request: Request<Body>, peer: SocketAddr) -> Answer<'_> {
    let extra = request.headers().get("x-trans-id-extra");
    let trans_id = context::trans_id(&proxy.config.trans_id_suffix, extra);
    request.extensions_mut().insert(Context { trans_id, peer, identity: None, grant: None });
    Next { proxy, rest: STEPS }.run(request)
}

#[cfg(test)]
mod tests;
