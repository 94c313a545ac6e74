//! Writes on conditions, as faces ask for them.

use apus_base::body;
use http::Request;
use http::request::Parts;
use serde_json::json;

use super::backend::{Rig, rig};
use crate::error::Error;
use crate::ops::condition::Condition;
use crate::ops::delete::{delete_if, delete_version};
use crate::ops::get::Read;
use crate::ops::put::{Put, put};
use crate::ops::resource::ObjectName;
use crate::ops::{Call, copy};

fn name(object: &str) -> ObjectName {
    ObjectName { account: "AUTH_a".into(), container: "c".into(), object: object.into() }
}

/// The condition of a client that says `header: value`.
fn condition(header: &str, value: &str) -> Condition {
    let request = Request::builder().header(header, value).body(()).unwrap();
    Condition::of(request.headers()).unwrap()
}

impl Rig {
    fn parts(&self, method: &str) -> Parts {
        let request = Request::builder().method(method).uri("/v1/AUTH_a/c/o").body(body::empty()).unwrap();
        self.of(&["a:admin", "a", "AUTH_a"], request).into_parts().0
    }

    /// Stores at a name on a condition: done, or whether something was there that does not meet it.
    async fn store_if(&self, object: &str, sent: &'static str, condition: Condition) -> Result<String, bool> {
        let parts = self.parts("PUT");
        let call = Call { proxy: &self.proxy, parts: &parts };
        let length = Ok(Some(sent.len() as u64));
        let new = Put::new(name(object), parts.headers.clone(), length, body::full(sent));
        unmet(put(call, Put { condition: Some(condition), ..new }).await.map(|stored| stored.etag.unwrap()))
    }

    async fn delete_if(&self, object: &str, condition: Condition) -> Result<bool, bool> {
        let parts = self.parts("DELETE");
        let call = Call { proxy: &self.proxy, parts: &parts };
        unmet(delete_if(call, &name(object), None, &condition).await.map(|deleted| deleted.existed))
    }
}

#[track_caller]
fn unmet<T>(done: Result<T, Error>) -> Result<T, bool> {
    done.map_err(|error| match error {
        Error::Unmet { exists } => exists,
        error => panic!("{error}"),
    })
}

async fn a_name_is_compared_and_swapped(rig: Rig) {
    // Only the first one creates.
    let one = rig.store_if("o", "one", Condition::absent()).await.unwrap();
    assert_eq!(rig.store_if("o", "two", Condition::absent()).await, Err(true));
    // Who knows what is there may replace it, once.
    let two = rig.store_if("o", "two", condition("if-match", &format!("\"{one}\""))).await.unwrap();
    assert_eq!(rig.store_if("o", "three", condition("if-match", &one)).await, Err(true));
    assert_eq!(rig.store_if("o", "three", condition("if-none-match", &two)).await, Err(true));
    assert_eq!(rig.ask("GET /v1/AUTH_a/c/o", &[], "").await.body, "two");
    // Deleting likewise; of nothing, nothing matches.
    assert_eq!(rig.delete_if("o", condition("if-match", &one)).await, Err(true));
    assert_eq!(rig.delete_if("o", condition("if-match", &two)).await, Ok(true));
    assert_eq!(rig.delete_if("o", condition("if-match", "*")).await, Err(false));
    assert_eq!(rig.store_if("o", "three", condition("if-match", &two)).await, Err(false));
    assert!(rig.store_if("o", "three", Condition::absent()).await.is_ok());
}

#[tokio::test]
async fn what_is_there_is_compared() {
    a_name_is_compared_and_swapped(rig(json!({})).await.with_container().await).await;
}

#[tokio::test]
async fn encrypted_objects_are_known_by_the_etags_of_their_plaintext() {
    let secret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
    let encryption = json!({ "encryption": { "root_secret": secret } });
    a_name_is_compared_and_swapped(rig(encryption).await.with_container().await).await;
}

#[tokio::test]
async fn the_link_to_a_version_is_what_is_compared_where_versions_are_kept() {
    let rig = rig(json!({})).await.with_container().await;
    assert_eq!(rig.ask("POST /v1/AUTH_a/c", &[("x-versions-enabled", "true")], "").await.status, 204);
    a_name_is_compared_and_swapped(rig).await;
}

#[tokio::test]
async fn copies_and_clients_of_swift_say_their_conditions_too() {
    let rig = rig(json!({})).await.with_container().await;
    for (headers, status) in [(&[("if-none-match", "*")][..], 201), (&[("if-none-match", "*")], 412), (&[], 201)] {
        assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o", headers, "x").await.status.as_u16(), status);
    }
    // `If-Match` of a PUT has no meaning in Swift.
    assert_eq!(rig.ask("PUT /v1/AUTH_a/c/o", &[("if-match", "other")], "x").await.status, 201);
    let parts = rig.parts("PUT");
    let call = Call { proxy: &rig.proxy, parts: &parts };
    let source = || Read::asked(name("o"), http::Method::GET, &parts.headers, false);
    let absent = || copy::Terms { condition: Some(Condition::absent()), ..copy::Terms::default() };
    assert!(copy::copy_if(call, source(), name("copy"), absent()).await.is_ok());
    let again = copy::copy_if(call, source(), name("copy"), absent()).await;
    assert!(matches!(again, Err(Error::Unmet { exists: true })));
    assert!(delete_version(call, &name("copy"), None).await.unwrap().existed);
}
