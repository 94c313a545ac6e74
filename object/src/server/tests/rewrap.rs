//! REWRAP: what it changes, what it leaves, and whom it gives way to.

use super::updates::fake_container;
use super::{Answer, Node, chunked};

const META: &str = "x-object-sysmeta-crypto-body-meta";
const LISTED: &str = "x-object-sysmeta-container-update-override-etag";
const USER: &str = "x-object-transient-sysmeta-crypto-meta-color";

/// What a REWRAP says of the version that it has read.
async fn version(node: &Node) -> [(&'static str, String); 3] {
    let head = node.send("HEAD", &[], "").await;
    let of = |name| head.header(name).to_owned();
    [
        ("x-backend-data-timestamp", of("x-backend-data-timestamp")),
        ("x-backend-timestamp", of("x-backend-timestamp")),
        ("if-match", of("etag")),
    ]
}

async fn rewrap(node: &Node, version: &[(&'static str, String)], items: &[(&str, &str)]) -> Answer {
    let mut headers = vec![("x-timestamp", "1000")];
    headers.extend(version.iter().map(|(name, value)| (*name, value.as_str())));
    headers.extend(items);
    node.send("REWRAP", &headers, "").await
}

async fn put(node: &Node, more: &[(&str, &str)]) {
    let items = [(META, "old"), (LISTED, "old"), (USER, "old"), ("x-object-meta-plain", "p")];
    assert_eq!(node.put("100", b"ciphertext", &[&items, more].concat()).await.status, 201);
}

#[tokio::test]
async fn items_are_replaced_and_nothing_else() {
    let node = Node::default().await;
    put(&node, &[]).await;
    let before = node.get(&[]).await;
    let version = version(&node).await;
    for _twice in 0..2 {
        let done = rewrap(&node, &version, &[(META, "new"), (USER, "new"), ("x-object-meta-plain", "no")]).await;
        assert_eq!(done.status, 202);
        let after = node.get(&[]).await;
        assert_eq!((after.header(META), after.header(LISTED), after.header(USER)), ("new", "old", "new"));
        assert_eq!((after.header("x-object-meta-plain"), &after.body), ("p", &before.body));
        for name in ["etag", "x-timestamp", "last-modified", "content-length", "x-backend-data-timestamp"] {
            assert_eq!(after.header(name), before.header(name));
        }
        assert_eq!(node.files().len(), 1);
        assert!(!after.headers.contains_key("x-backend-rewrapping"));
    }
    // Metadata that do not fit the file's attributes are behind the body, and come and go there too.
    let long = "l".repeat(8000);
    for value in [long.as_str(), "short"] {
        assert_eq!(rewrap(&node, &version, &[(META, value)]).await.status, 202);
        let after = node.get(&[]).await;
        assert_eq!((after.header(META), &after.body), (value, &before.body));
    }
}

#[tokio::test]
async fn items_of_a_post_are_beside_the_data() {
    let node = Node::default().await;
    put(&node, &[]).await;
    let post = [("x-timestamp", "101"), (USER, "post"), ("content-type", "a/b")];
    assert_eq!(node.send("POST", &post, "").await.status, 202);
    let (version, files) = (version(&node).await, node.files());
    assert_eq!(rewrap(&node, &version, &[(META, "new"), (USER, "new")]).await.status, 202);
    let after = node.get(&[]).await;
    assert_eq!((after.header(META), after.header(USER), after.header("content-type")), ("new", "new", "a/b"));
    assert_eq!(after.header("x-backend-timestamp"), "0000000101.00000");
    assert_eq!(node.files(), files);
    // What the POST had hidden is gone from the data.
    let data = node.device().join(files.iter().find(|file| file.ends_with(".data")).unwrap());
    let pickled = xattr::get(data, "user.swift.metadata").unwrap().unwrap();
    assert!(!String::from_utf8_lossy(&pickled).to_lowercase().contains(USER));
}

#[tokio::test]
async fn a_client_that_was_quicker_wins() {
    let node = Node::default().await;
    put(&node, &[]).await;
    let read = version(&node).await;
    // Another version of the metadata, of the data, or of the bytes under the same timestamps.
    assert_eq!(node.send("POST", &[("x-timestamp", "101"), (USER, "post")], "").await.status, 202);
    assert_eq!(rewrap(&node, &read, &[(USER, "new")]).await.status, 409);
    let mut other = version(&node).await;
    other[2].1 = "0123".into();
    assert_eq!(rewrap(&node, &other, &[(USER, "new")]).await.status, 409);
    assert_eq!(node.get(&[]).await.header(USER), "post");
    // Items that are not there are not added.
    let read = version(&node).await;
    assert_eq!(rewrap(&node, &read, &[("x-object-sysmeta-crypto-other", "new")]).await.status, 409);
    assert_eq!(rewrap(&node, &read[..2], &[(USER, "new")]).await.status, 400);
    node.send("DELETE", &[("x-timestamp", "102")], "").await;
    assert_eq!(rewrap(&node, &read, &[(USER, "new")]).await.status, 404);
    assert_eq!(node.files().len(), 1);
}

#[tokio::test]
async fn the_listing_gets_a_row_that_beats_only_its_own_version() {
    let (node, (fake, address, _stop)) = (Node::default().await, fake_container(201).await);
    put(&node, &[]).await;
    let version = version(&node).await;
    let told = [("x-container-host", address.as_str()), ("x-container-device", "c1"), ("x-container-partition", "9")];
    assert_eq!(rewrap(&node, &version, &[&told[..], &[(LISTED, "new")]].concat()).await.status, 202);
    let row = fake.rows.lock().unwrap()[0].1.row.clone();
    let client = apus_base::timestamp::Timestamp::from_secs(100);
    assert_eq!((row.etag.as_str(), row.size, row.deleted), ("new", 10, false));
    assert!(row.timestamps.data > client && row.timestamps.data.ticks() == client.ticks());
    assert_eq!((row.timestamps.content_type, row.timestamps.meta), (client, client));
}

#[tokio::test]
async fn metadata_behind_the_body_is_stored() {
    let node = Node::default().await;
    let names = format!("x-backend-etag, x-backend-crc32, {META}, {LISTED}");
    let headers = [("x-timestamp", "100"), ("content-type", "a/b"), ("trailer", names.as_str()), (META, "header")];
    let send = |trailers: Vec<(&'static str, &'static str)>| {
        let body = chunked(vec![b"hello".to_vec()], Some(&trailers));
        node.try_send("PUT", "/d1/7/a/c/o", &headers, body)
    };
    let hello = [("x-backend-etag", "5d41402abc4b2a76b9719d911017c592"), ("x-backend-crc32", "3610a686")];
    let put = send([&hello[..], &[(META, "trailer"), (LISTED, "listed")]].concat()).await.unwrap();
    assert_eq!(put.status, 201);
    let got = node.get(&[]).await;
    assert_eq!((got.header(META), got.header(LISTED)), ("trailer", "listed"));
}
