//! Who carries lifecycles out: proxies that share the buckets, die and stop, in clusters of which nodes are down.

use std::net::SocketAddr;

use apus_tests::{Cluster, Request, disk, wait_until};

use super::tell;

/// Runs the pass of a proxy.
fn pass(cluster: &mut Cluster, arguments: &[&str]) -> String {
    let output = cluster.proxy(0).pass("lifecycle", arguments);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_killed_pass_is_gone_on_with_and_proxies_look_by_themselves() {
    let mut cluster = Cluster::builder().proxies(2).without_passes().start();
    tell(&mut cluster, "put('a'); put('b'); rules(rule(Expiration={'Date': PAST}))");

    // It dies when the objects are gone, and before it has said so.
    assert!(cluster.proxy(0).pass_until("lifecycle", "lifecycle.page_done"));
    tell(&mut cluster, "assert keys() == [], keys()\nput('c')");
    let said = pass(&mut cluster, &[]);
    assert!(said.contains("expired 1"), "{said}");

    // A bucket without rules leaves no work.
    tell(
        &mut cluster,
        "assert keys() == [], keys()\nowner.delete_bucket_lifecycle(Bucket='pail')\nput('d')\npassed()\nassert keys() == ['d']",
    );

    // Two proxies that look by themselves.
    for i in 0..2 {
        let path = cluster.proxy(i).config();
        let text = std::fs::read_to_string(&path).expect("a configuration").replace("interval = 0", "interval = 1");
        std::fs::write(&path, text).expect("a configuration");
        cluster.proxy(i).kill();
        cluster.proxy(i).start(None);
    }
    tell(
        &mut cluster,
        r#"
rules(rule(Expiration={'Date': PAST}))
deadline = time.monotonic() + 60
while keys():
    assert time.monotonic() < deadline
"#,
    );
}

/// Objects that each of two proxies has removed.
fn expired(proxies: [SocketAddr; 2]) -> [u64; 2] {
    proxies.map(|address| {
        let metrics = Request::new(address, "GET", "/metrics").send().expect(200).text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("apus_proxy_lifecycle_expired_total "));
        line.unwrap_or_else(|| panic!("{metrics}")).parse().expect("a number")
    })
}

/// Two proxies that look by themselves and are slow, and 160 objects in 16 buckets that have expired.
fn at_work() -> (Cluster, [SocketAddr; 2]) {
    let slow = "lifecycle = { interval = 1, tasks_per_second = 20 }";
    let mut cluster = Cluster::builder().proxies(2).without_passes().settings("proxy", slow).start();
    let proxies = [0, 1].map(|i| cluster.proxy(i).address("proxy"));
    tell(
        &mut cluster,
        r#"
buckets = [f'pail-{n}' for n in range(16)]
for bucket in buckets:
    owner.create_bucket(Bucket=bucket)
    for key in range(10):
        owner.put_object(Bucket=bucket, Key=str(key), Body=b'x')
for bucket in buckets:
    rules(rule(Expiration={'Date': PAST}), bucket=bucket)
"#,
    );
    wait_until("both have begun", || expired(proxies).iter().all(|count| *count > 0));
    (cluster, proxies)
}

/// Nothing is left in the buckets.
fn assert_all_is_gone(cluster: &mut Cluster) {
    tell(cluster, "for n in range(16):\n    refused('404', owner.head_object, Bucket=f'pail-{n}', Key='9')");
}

#[test]
fn proxies_share_the_buckets_and_remove_nothing_twice() {
    let (mut cluster, proxies) = at_work();
    wait_until("all is gone", || expired(proxies).iter().sum::<u64>() >= 160);
    assert_all_is_gone(&mut cluster);
    assert_eq!(expired(proxies).iter().sum::<u64>(), 160);
}

#[test]
fn what_a_proxy_leaves_when_it_stops_the_other_does() {
    let (mut cluster, proxies) = at_work();

    // It stops in the middle, and gives back what it had taken.
    let before = expired(proxies);
    assert!(before.iter().sum::<u64>() < 160, "they were too quick: {before:?}");
    cluster.proxy(1).stop();

    // The other ends it soon, without waiting for the claims of one that died.
    tell(
        &mut cluster,
        r#"
deadline = time.monotonic() + 60
left = lambda: [n for n in range(16) if owner.list_objects_v2(Bucket=f'pail-{n}')['KeyCount']]
while left():
    assert time.monotonic() < deadline, left()
"#,
    );
    assert_all_is_gone(&mut cluster);
}

/// Four nodes, and a bucket of versions beside one without.
fn four_nodes() -> Cluster {
    let mut cluster =
        Cluster::builder().nodes(4).without_passes().settings("proxy", "lifecycle = { interval = 0, day = 1 }").start();
    tell(
        &mut cluster,
        r#"
owner.create_bucket(Bucket='vault')
owner.put_bucket_versioning(Bucket='vault', VersioningConfiguration={'Status': 'Enabled'})
for n in range(12):
    put(f'old/{n:02}')
    for body in [b'first', b'second']:
        owner.put_object(Bucket='vault', Key=f'{n:02}', Body=body)
put('stays')
"#,
    );
    cluster
}

/// The files of objects on all nodes.
fn files(cluster: &mut Cluster) -> usize {
    cluster.nodes().iter().map(|node| disk::with_suffix(&node.devices(), ".data").len()).sum()
}

/// What there is when all is done: the object that stays, and in the other bucket a link and a version of each key.
const LEFT: usize = 3 * (1 + 12 + 12);

#[test]
fn a_node_that_is_down_holds_up_nothing_and_brings_nothing_back() {
    let mut cluster = four_nodes();

    // One node is away, which is a primary of most objects: all goes that should.
    cluster.node(1).kill();
    tell(
        &mut cluster,
        r#"
rules(rule(prefix='old/', Expiration={'Date': PAST}))
said = passed()
assert 'expired 12' in said and 'failed' not in said, said
rules(rule(NoncurrentVersionExpiration={'NoncurrentDays': 1}), bucket='vault')
removed, deadline = 0, time.monotonic() + 60
while removed < 12:
    said = passed()
    removed += sum(int(count) for count in re.findall(r'versions (\d+)', said))
    assert time.monotonic() < deadline, said
"#,
    );

    // It is back with all that it had, and learns what is gone.
    cluster.node(1).start(None);
    cluster.pass("replicate-listings");
    cluster.pass("replicate");
    assert_eq!(files(&mut cluster), LEFT);
    tell(
        &mut cluster,
        r#"
assert keys() == ['stays'], keys()
assert [v['IsLatest'] for v in owner.list_object_versions(Bucket='vault')['Versions']] == [True] * 12
for n in range(12):
    refused('404', owner.head_object, Bucket='pail', Key=f'old/{n:02}')
    assert owner.get_object(Bucket='vault', Key=f'{n:02}')['Body'].read() == b'second'
"#,
    );
}

#[test]
fn what_too_few_nodes_know_of_goes_when_they_are_back() {
    let mut cluster = four_nodes();
    tell(
        &mut cluster,
        "rules(rule(prefix='old/', Expiration={'Date': PAST}))\nrules(rule(NoncurrentVersionExpiration={'NoncurrentDays': 1}), bucket='vault')",
    );

    // Without a majority of the primaries nobody knows whether an object is still the one that was listed.
    for node in [0, 1] {
        cluster.node(node).kill();
    }
    // A replica of the queue that missed a turn may say that there is nothing to do; another one says otherwise.
    wait_until("a pass says that it failed", || {
        let output = cluster.proxy(0).pass("lifecycle", &[]);
        !output.status.success() && String::from_utf8_lossy(&output.stdout).contains("failed")
    });

    // They are back, hear what was told to nobody meanwhile, and it is done.
    for node in [0, 1] {
        cluster.node(node).start(None);
    }
    cluster.pass("update");
    cluster.pass("replicate-listings");
    tell(
        &mut cluster,
        r#"
versions_left = lambda: [v['IsLatest'] for v in owner.list_object_versions(Bucket='vault')['Versions']]
passes_until(lambda: keys() == ['stays'] and versions_left() == [True] * 12)
"#,
    );
    cluster.pass("replicate");
    assert_eq!(files(&mut cluster), LEFT);
}
