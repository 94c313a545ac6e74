//! Bringing a body to the primaries, which keep it for a commit.

use std::sync::Arc;

use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use http::{HeaderValue, Method};

use super::Write;
use super::primaries::{Primaries, Wait};
use crate::client::digests::Sums;
use crate::client::hop::{self, Hop, Opened};
use crate::client::put::{PutError, PutObject, Storing, is_sound, put_headers};
use crate::client::route::{Route, with_policy};
use crate::client::{Answer, Target};
use crate::wire::header::{DELETE_AT, HOLD};

impl Primaries<'_> {
    /// Has a majority of the primaries hold a body. Gives its MD5 and its length, too.
    pub(super) async fn hold(&self, put: PutObject<'_>) -> Result<(Write, String, u64), PutError> {
        let target = Target::Object(self.path);
        let route = Arc::new(Route::new(&self.client.inner, Method::PUT, &target)?);
        let token = self.token();
        let mut headers = with_policy(&put_headers(&put), &target);
        headers.insert(HOLD, token.clone());
        let delete_at = headers.get(DELETE_AT).cloned();
        let opened = join_all(self.nodes.iter().map(|node| hop::open_at(&route, node.clone(), headers.clone()))).await;
        let (mut hops, mut answers) = (Vec::new(), Vec::new());
        for (node, opened) in self.nodes.iter().zip(opened) {
            match opened {
                Ok(Opened::Ready(hop)) => hops.push(hop),
                Ok(Opened::Answered(answer)) if route.check(node, answer.status) => answers.push(answer),
                Ok(Opened::Answered(_)) => {}
                Err(error) => route.failed(node, &error),
            }
        }
        let mut storing = Storing { route, replicas: self.nodes.len(), needed: self.majority(), hops, answers };
        if storing.hops.len() < storing.needed {
            return Err(storing.refused());
        }
        let Sums { etag, length, .. } = storing.stream(put).await?;
        let holders = self.holders(&mut storing, &etag).await;
        if holders.iter().filter(|holds| **holds).count() < storing.needed {
            return Err(storing.refused());
        }
        Ok((Write::Held { token, holders, delete_at }, etag, length))
    }

    /// Which primaries hold the body.
    async fn holders(&self, storing: &mut Storing, etag: &str) -> Vec<bool> {
        let (hops, route) = (std::mem::take(&mut storing.hops), Arc::clone(&storing.route));
        let answer = |hop: Hop| {
            let (route, name) = (&route, hop.node().name.clone());
            async move { (name, hop.answer(route).await) }
        };
        let answers: FuturesUnordered<_> = hops.into_iter().map(answer).collect();
        let mut holders = vec![false; self.nodes.len()];
        let mut hear = |(name, answer): (String, Option<Answer>)| {
            let Some(answer) = answer else { return Wait::More };
            if answer.status.is_success() && is_sound(&answer, etag) {
                let its = self.nodes.iter().zip(&mut holders).filter(|(node, _)| node.name == name);
                its.for_each(|(_, holds)| *holds = true);
            } else {
                storing.answers.push(answer);
            }
            let enough = holders.iter().filter(|holds| **holds).count() >= storing.needed;
            if enough { Wait::Moment } else { Wait::More }
        };
        self.gather(answers, &mut hear).await;
        holders
    }

    fn token(&self) -> HeaderValue {
        let token = format!("{:016x}{:016x}", self.random(), self.random());
        // Digits are always a header's value.
        HeaderValue::try_from(token).unwrap_or(HeaderValue::from_static("0"))
    }
}
