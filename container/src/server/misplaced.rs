//! What a device has of objects under other policies than their containers': for the reconciler, which asks `GET
//! /<device>?misplaced=` for a container at a time and says with `DELETE /<device>?misplaced=<hash>&state=...` that it
//! has taken note.

use apus_base::body::{self, Body};
use apus_base::db::{DbError, Info, Kind, ListingId, View};
use apus_base::listing::request::status;
use apus_base::listing::{Refusal, Target};
use apus_base::policy::PolicyIndex;
use apus_base::wire::MisplacedRows;
use http::{HeaderValue, Response, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::ContainerServer;
use super::inventory::hash;
use crate::store::misplaced::{self, After};

/// Rows of one page: with the longest names and every character escaped some 4 MiB.
const PAGE: usize = 500;

/// What is asked for.
struct Question {
    container: Option<ListingId>,
    /// Where the rows of that container go on; without it, it is about the container after that one.
    after: Option<After>,
}

impl ContainerServer {
    /// Whether a device is asked about this.
    pub(super) fn is_about_misplaced(uri: &Uri) -> bool {
        parameter(uri, "misplaced").is_some() && Target::device_of(uri).is_ok()
    }

    pub(super) async fn misplaced(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let (device, question) = (Target::device_of(uri)?, Question::parse(uri)?);
        let database = self.shared.databases.get(&device).await?;
        let page = database.read::<_, DbError, _>(move |view| page(view, &question)).await?;
        let json = serde_json::to_vec(&page).map_err(|error| Refusal::BadRequest(error.to_string()))?;
        let mut response = Response::new(body::full(json));
        response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }

    pub(super) async fn misplaced_noted(&self, uri: &Uri) -> Result<Response<Body>, Refusal> {
        let (device, question) = (Target::device_of(uri)?, Question::parse(uri)?);
        let (Some(id), Some((row, policy))) = (question.container, parameter(uri, "state").and_then(state)) else {
            return Err(Refusal::BadRequest("Invalid state".into()));
        };
        let database = self.shared.databases.get(&device).await?;
        database.commit::<_, DbError, _>(move |tx| misplaced::done(tx, id, row, policy)).await?;
        Ok(status(StatusCode::NO_CONTENT))
    }
}

impl Question {
    fn parse(uri: &Uri) -> Result<Self, Refusal> {
        let bad = || Refusal::BadRequest("Invalid marker".into());
        let container = parameter(uri, "misplaced").filter(|text| !text.is_empty());
        let container = container.map(|text| hash(text).ok_or_else(bad)).transpose()?;
        let after = parameter(uri, "after").map(|text| after(text).ok_or_else(bad)).transpose()?;
        Ok(Self { container: container.map(|hash| ListingId { kind: Kind::Container, hash }), after })
    }
}

fn parameter<'a>(uri: &'a Uri, name: &str) -> Option<&'a str> {
    let mut pairs = uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// `<policy>/<0 or 1>/<name>`, the name percent-encoded.
fn after(text: &str) -> Option<After> {
    let mut parts = text.splitn(3, '/');
    let (policy, deleted, name) = (parts.next()?, parts.next()?, parts.next()?);
    let name = percent_decode_str(name).decode_utf8().ok()?.into_owned();
    Some(After { policy: PolicyIndex(policy.parse().ok()?), deleted: deleted == "1", name })
}

/// `<last row>:<policy>`.
fn state(text: &str) -> Option<(u64, PolicyIndex)> {
    let (row, policy) = text.split_once(':')?;
    Some((row.parse().ok()?, PolicyIndex(policy.parse().ok()?)))
}

fn page(view: &View<'_>, question: &Question) -> Result<Option<MisplacedRows>, DbError> {
    let found = match (&question.container, &question.after) {
        (Some(id), Some(_)) => Info::load(view, *id)?.map(|info| (*id, info)),
        (after, _) => misplaced::next_container(view, *after)?,
    };
    let Some((id, info)) = found else { return Ok(None) };
    let rows = misplaced::rows(view, id, &info, question.after.as_ref(), PAGE)?;
    let last = rows.last().filter(|_| rows.len() == PAGE);
    let next = last.map(|last| {
        let name = utf8_percent_encode(&last.name, NON_ALPHANUMERIC);
        format!("{}/{}/{name}", last.policy.0, u8::from(last.row.deleted))
    });
    Ok(Some(MisplacedRows {
        hash: id.hash.hex(),
        state: format!("{}:{}", info.last_row, info.policy.0),
        account: info.account,
        container: info.container,
        rows: rows.into_iter().map(|found| found.row.to_wire(found.name, found.policy)).collect(),
        next,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_question_is_read_or_refused(query in "(misplaced|after|state)=[0-9a-f/%:&=]{0,40}") {
            if let Ok(uri) = format!("/d1?{query}").parse::<Uri>() {
                let _ = (Question::parse(&uri).is_ok(), parameter(&uri, "state").and_then(state));
            }
        }

        #[test]
        fn a_page_goes_on_where_it_ended(policy in 0u32..9, deleted: bool, name in "\\PC{1,20}") {
            let text = format!("{policy}/{}/{}", u8::from(deleted), utf8_percent_encode(&name, NON_ALPHANUMERIC));
            prop_assert_eq!(after(&text), Some(After { policy: PolicyIndex(policy), deleted, name }));
        }
    }
}
