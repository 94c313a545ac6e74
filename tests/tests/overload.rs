//! More clients than a proxy has places for: each is served or told to come back, whoever is slow holds up nobody, and what was
//! acknowledged is there.

use std::collections::HashSet;
use std::time::Duration;

use apus_tests::load::{self, Ask, Body, Objects, Offer};
use apus_tests::swift::TESTER;
use apus_tests::{Cluster, Connection, PATIENCE, Request, Response, s3, wait_until};
use rustix::process::Signal;

/// Bytes of an object.
const SIZE: usize = 4096;

/// A cluster whose proxy works on two requests at once, and does not give up on servers that hang.
fn narrow() -> Cluster {
    let settings = "max_requests = 2\n[client]\nnode_timeout = 120\nrecoverable_node_timeout = 120";
    Cluster::builder().settings("proxy", settings).without_passes().start()
}

/// What the proxy tells Prometheus of a figure.
fn figure(cluster: &Cluster, name: &str) -> usize {
    let all = cluster.swift().anonymous("GET", "/metrics").send().expect(200).text();
    let line = all.lines().find_map(|line| line.strip_prefix(&format!("apus_proxy_{name} ")));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {all}"))
}

/// Sends a request again and again until there is a place for it.
fn served(request: &Request) -> Response {
    let started = std::time::Instant::now();
    loop {
        let response = request.clone().send();
        if response.status != 503 {
            return response;
        }
        assert_eq!(response.need("Retry-After"), "1");
        assert!(started.elapsed() < PATIENCE, "never served");
    }
}

#[test]
fn a_storm_is_answered_and_what_it_acknowledged_is_there() {
    let cluster = narrow();
    let tester = cluster.tester();
    tester.make("c");
    let objects = Objects::new(&tester, "c", Body::new(SIZE));

    // Three hundred clients store, each as soon as it has its answer. None gets another than 201 or 503.
    let storm = Offer { rate: 1e6, time: Duration::from_secs(3), connections: 300, obeys: false };
    let mut asked = 0;
    let outcome = load::offer(&objects, &storm, || {
        asked += 1;
        Ask::Put(asked)
    });
    let outcome = outcome.expect_clean("a storm");
    assert!(outcome.count() > 0 && !outcome.refused.is_empty(), "{asked} asked");
    assert_eq!(outcome.count() + outcome.late + outcome.refused.len(), asked as usize);
    assert_eq!(figure(&cluster, "requests_refused_total"), outcome.refused.len());
    let at_work = || (figure(&cluster, "requests_waiting"), figure(&cluster, "requests_working"));
    wait_until("nothing waits and nothing is worked on", || at_work() == (0, 0));

    // What was acknowledged is there, and of what was refused there is nothing.
    let refused: HashSet<Ask> = outcome.refused.iter().map(|(ask, _)| *ask).collect();
    let mut there = (1..=asked).filter(|number| !refused.contains(&Ask::Put(*number)));
    load::run(&objects, 2, |_| there.next().map(Ask::Get)).expect_clean("what was acknowledged");
    let listed = tester.get("c").query("limit=10000").send().expect(200).lines().len();
    assert!(listed <= asked as usize - refused.len());
    for ask in refused.iter().take(20) {
        let Ask::Put(number) = ask else { continue };
        tester.head(&format!("c/{number:08}")).send().expect(404);
    }
}

#[test]
fn slow_uploads_starve_nobody() {
    let cluster = narrow();
    let tester = cluster.tester();
    tester.make("c");

    // Ten clients begin, one after the other: each is asked for its body, so each has had a place. Then they pause.
    let slow = |number: usize| {
        let put = tester.put(&format!("c/slow{number}")).header("Expect", "100-continue").unframed();
        let mut connection = Connection::open(tester.address);
        connection.write(&put.header("Content-Length", SIZE.to_string()).encode());
        assert_eq!(connection.try_head().expect("an answer").status, 100, "client {number}");
        connection.write(&[7; 100]);
        connection
    };
    let uploads: Vec<_> = (0..10).map(slow).collect();

    // Others are served meanwhile.
    for number in 0..20 {
        served(&tester.put(&format!("c/o{number}")).body("x")).expect(201);
        assert_eq!(served(&tester.get(&format!("c/o{number}"))).expect(200).body, b"x");
    }

    // And so are they, when they go on.
    for (number, mut upload) in uploads.into_iter().enumerate() {
        upload.write(&[7; SIZE - 100]);
        upload.response().expect(201);
        assert_eq!(served(&tester.get(&format!("c/slow{number}"))).expect(200).body, [7; SIZE]);
    }
}

#[test]
fn whoever_is_refused_may_go_on_and_operators_always_see() {
    let mut cluster = narrow();
    let tester = cluster.tester();
    tester.make("c");
    tester.store("c/o", "stored");

    // Both places are taken by requests whose servers hang.
    cluster.nodes().iter_mut().for_each(|node| node.process().signal(Signal::STOP));
    let hang = || {
        let mut connection = Connection::open(tester.address);
        connection.write(&tester.get("c/o").encode());
        connection
    };
    let hanging = [hang(), hang()];
    wait_until("both places are taken", || figure(&cluster, "requests_working") == 2);

    // Others are refused in the words of their face, on a connection that they may go on with.
    let mut kept = Connection::open(tester.address);
    for _ in 0..2 {
        let refused = tester.put("c/new").body([1; SIZE]).send_on(&mut kept).expect("an answer").expect(503);
        assert_eq!(refused.need("Retry-After"), "1");
        assert!(refused.text().contains("<h1>Service Unavailable</h1>") && refused.header("X-Trans-Id").is_some());
    }
    let refused = cluster.swift().anonymous("GET", &s3::signed("GET", "c/o", TESTER)).send().expect(503);
    assert_eq!(refused.need("Retry-After"), "1");
    assert!(refused.text().contains("<Code>SlowDown</Code>"), "{}", refused.text());

    // Who asks before sending a body is not asked for it.
    let mut careful = Connection::open(tester.address);
    let put = tester.put("c/new").header("Expect", "100-continue").header("Content-Length", "1000000").unframed();
    careful.write(&put.encode());
    assert_eq!(careful.try_head().expect("an answer").status, 503);

    // Balancers and operators are not refused.
    assert_eq!(cluster.swift().anonymous("GET", "/healthcheck").send().expect(200).text(), "OK");
    assert_eq!(figure(&cluster, "requests_refused_total"), 4);

    // When the servers go on, so do all.
    cluster.nodes().iter_mut().for_each(|node| node.process().signal(Signal::CONT));
    for mut connection in hanging {
        assert_eq!(connection.response().expect(200).body, b"stored");
    }
    assert_eq!(served(&tester.get("c/o")).expect(200).body, b"stored");
    served(&tester.head("c/new")).expect(404);
}
