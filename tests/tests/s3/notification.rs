//! Webhooks hear what happens to the objects of buckets, whichever face it happens through, and once they are there again.

use apus_tests::boto::script;
use apus_tests::webhook::Webhook;
use apus_tests::{Certificate, Cluster, ClusterBuilder, wait_until};
use tempfile::TempDir;

/// Ways to say what a bucket tells.
const PRELUDE: &str = r#"
def tell(*events, bucket='pail', arn='arn:aws:sqs:us-east-1::hook', checked=True, **more):
    rules = {'QueueConfigurations': [{'Id': 'rule', 'QueueArn': arn, 'Events': [f's3:{event}' for event in events], **more}]}
    skip = not checked
    return owner.put_bucket_notification_configuration(Bucket=bucket, SkipDestinationValidation=skip, NotificationConfiguration=rules)

def keys(**rules):
    return {'Filter': {'Key': {'FilterRules': [{'Name': name, 'Value': value} for name, value in rules.items()]}}}

def put(key, body=b'x', **more):
    return owner.put_object(Bucket='pail', Key=key, Body=body, **more)
"#;

fn builder(webhook: &Webhook) -> ClusterBuilder {
    let hook = format!("{{ endpoint = {:?}, token = \"sesame\" }}", webhook.endpoint());
    Cluster::builder()
        .without_passes()
        .settings("proxy", &format!("notifications = {{ webhooks = {{ hook = {hook} }} }}"))
}

fn tell(cluster: &Cluster, text: &str) -> String {
    script(cluster, TempDir::new().expect("a temporary folder").path(), &format!("{PRELUDE}\n{text}"))
}

/// Waits for events, in whatever order they come.
#[track_caller]
fn hears(webhook: &Webhook, expected: &[(&str, &str)]) {
    let mut expected: Vec<_> = expected.iter().map(|(event, key)| ((*event).to_owned(), (*key).to_owned())).collect();
    expected.sort();
    let heard = || {
        let mut heard = webhook.events();
        heard.sort();
        heard
    };
    wait_until(&format!("{expected:?} is heard"), || heard().len() >= expected.len());
    assert_eq!(heard(), expected);
}

#[test]
fn a_webhook_hears_what_clients_of_both_faces_do() {
    let webhook = Webhook::start();
    let cluster = builder(&webhook).start();
    // A bucket begins to tell it, after a test. Nothing else is told, and nothing about other keys.
    let said = tell(
        &cluster,
        r#"
owner.create_bucket(Bucket='pail')
tell('ObjectCreated:*', 'ObjectRemoved:*', 'ObjectTagging:*', **keys(prefix='in/', suffix='.txt'))
put('out.txt'), put('in/other')
print(put('in/é &.txt', b'seven..')['ETag'].strip('"'))
owner.copy_object(Bucket='pail', Key='in/copy.txt', CopySource='pail/out.txt')
owner.put_object_tagging(Bucket='pail', Key='in/copy.txt', Tagging={'TagSet': [{'Key': 'a', 'Value': 'b'}]})
owner.delete_object_tagging(Bucket='pail', Key='in/copy.txt')
owner.delete_objects(Bucket='pail', Delete={'Objects': [{'Key': 'in/copy.txt'}, {'Key': 'in/never.txt'}]})
owner.upload_fileobj(__import__('io').BytesIO(b'p' * (11 << 20)), 'pail', 'in/parts.txt')
print(owner.head_object(Bucket='pail', Key='in/parts.txt')['ETag'].strip('"'))
"#,
    );
    let [etag, of_parts] = said.lines().collect::<Vec<_>>()[..] else { panic!("two ETags, not {said}") };
    let swift = cluster.swift().login(apus_tests::swift::TESTER);
    swift.put("pail/in/swift.txt").body(b"by swift").send().expect(201);
    swift.put("pail/in/swift copy.txt").header("X-Copy-From", "pail/in/swift.txt").send().expect(201);
    swift.delete("pail/in/swift.txt").send().expect(204);
    hears(
        &webhook,
        &[
            ("s3:TestEvent", ""),
            ("ObjectCreated:Put", "in/%C3%A9+%26.txt"),
            ("ObjectCreated:Copy", "in/copy.txt"),
            ("ObjectTagging:Put", "in/copy.txt"),
            ("ObjectTagging:Delete", "in/copy.txt"),
            ("ObjectRemoved:Delete", "in/copy.txt"),
            ("ObjectCreated:CompleteMultipartUpload", "in/parts.txt"),
            ("ObjectCreated:Put", "in/swift.txt"),
            ("ObjectCreated:Copy", "in/swift+copy.txt"),
            ("ObjectRemoved:Delete", "in/swift.txt"),
        ],
    );
    // What it hears is true, and signed.
    let taken = webhook.taken();
    assert!(taken.iter().all(|one| one.authorization.as_deref() == Some("Bearer sesame")));
    let about = |event: &str, key: &str| {
        let wanted = (event.to_owned(), key.to_owned());
        taken.iter().find(|one| one.event() == wanted).expect("it was heard").clone()
    };
    let put = about("ObjectCreated:Put", "in/%C3%A9+%26.txt");
    assert_eq!((put.object("size").as_u64(), put.object("eTag").as_str()), (Some(7), Some(etag)));
    assert_eq!(put.body["EventName"], "s3:ObjectCreated:Put");
    assert_eq!(put.body["Key"], "pail/in/é &.txt");
    assert_eq!(put.body["Records"][0]["s3"]["configurationId"], "rule");
    assert_eq!(put.body["Records"][0]["userIdentity"]["principalId"], "test:tester");
    assert_eq!(put.body["Records"][0]["requestParameters"]["sourceIPAddress"], "127.0.0.1");
    let parts = about("ObjectCreated:CompleteMultipartUpload", "in/parts.txt");
    assert_eq!((parts.object("size").as_u64(), parts.object("eTag").as_str()), (Some(11 << 20), Some(of_parts)));
    // Later events of a key sort behind earlier ones.
    let sequencer = |event: &str| about(event, "in/swift.txt").object("sequencer").as_str().expect("one").to_owned();
    assert!(sequencer("ObjectCreated:Put") < sequencer("ObjectRemoved:Delete"));
}

#[test]
fn versions_and_lifecycles_are_told_apart() {
    let webhook = Webhook::start();
    let mut cluster = builder(&webhook).start();
    let said = tell(
        &cluster,
        r#"
owner.create_bucket(Bucket='pail')
owner.put_bucket_versioning(Bucket='pail', VersioningConfiguration={'Status': 'Enabled'})
tell('ObjectCreated:Put', 'ObjectRemoved:*', 'LifecycleExpiration:*')
version = put('one')['VersionId']
marker = owner.delete_object(Bucket='pail', Key='one')['VersionId']
owner.delete_object(Bucket='pail', Key='one', VersionId=version)
put('two')
rule = {'ID': 'r', 'Status': 'Enabled', 'Filter': {'Prefix': 'two'}, 'Expiration': {'Date': '2020-01-01T00:00:00Z'}}
owner.put_bucket_lifecycle_configuration(Bucket='pail', LifecycleConfiguration={'Rules': [rule]})
print(version, marker)
"#,
    );
    let expected = [
        ("s3:TestEvent", ""),
        ("ObjectCreated:Put", "one"),
        ("ObjectRemoved:DeleteMarkerCreated", "one"),
        ("ObjectRemoved:Delete", "one"),
        ("ObjectCreated:Put", "two"),
    ];
    hears(&webhook, &expected);
    // The pass is a process of its own: what it queues is sent by whoever looks.
    let proxy = cluster.proxy(0);
    wait_until("the listing shows what is to expire", || {
        assert!(proxy.pass("lifecycle", &[]).status.success());
        assert!(proxy.pass("notify", &[]).status.success());
        webhook.events().len() > expected.len()
    });
    let all: Vec<_> = expected.into_iter().chain([("LifecycleExpiration:DeleteMarkerCreated", "two")]).collect();
    hears(&webhook, &all);
    let taken = webhook.taken();
    let version_of = |event: &str| {
        let wanted = (event.to_owned(), "one".to_owned());
        taken
            .iter()
            .find(|one| one.event() == wanted)
            .expect("it was heard")
            .object("versionId")
            .as_str()
            .map(str::to_owned)
    };
    let [version, marker] = said.split_whitespace().collect::<Vec<_>>()[..] else { panic!("two versions, not {said}") };
    assert_eq!(version_of("ObjectCreated:Put").as_deref(), Some(version));
    assert_eq!(version_of("ObjectRemoved:DeleteMarkerCreated").as_deref(), Some(marker));
    assert_eq!(version_of("ObjectRemoved:Delete").as_deref(), Some(version));
}

#[test]
fn events_wait_for_a_webhook_and_outlive_who_wrote_them() {
    let webhook = Webhook::start();
    let mut cluster = builder(&webhook).start();
    tell(&cluster, "owner.create_bucket(Bucket='pail')\ntell('ObjectCreated:*')");
    // The webhook is ill, clients write all the same, and the proxy dies.
    webhook.answer(503);
    tell(&cluster, "for number in range(20): put(f'{number:02}')");
    let ill = cluster.proxy(0).pass("notify", &[]);
    assert!(!ill.status.success(), "a pass that could not send says so: {ill:?}");
    cluster.proxy(0).kill();
    assert_eq!(webhook.events().len(), 1, "nothing but the test was taken");
    // It is well again: all comes, each once, and then nothing is left.
    webhook.answer(200);
    assert!(cluster.proxy(0).pass("notify", &[]).status.success());
    let keys: Vec<String> = (0..20).map(|number| format!("{number:02}")).collect();
    let expected = keys.iter().map(|key| ("ObjectCreated:Put", key.as_str())).chain([("s3:TestEvent", "")]);
    hears(&webhook, &expected.collect::<Vec<_>>());
    assert!(cluster.proxy(0).pass("notify", &[]).status.success());
    assert_eq!(webhook.events().len(), 21);
}

#[test]
fn a_webhook_may_speak_tls() {
    let (mine, others) = (Certificate::new(), Certificate::new());
    let webhook = Webhook::start_tls(&mine);
    // A certificate that the machine does not trust is a webhook that does not hear.
    let cluster = builder(&webhook).environment("SSL_CERT_FILE", others.file()).start();
    tell(&cluster, "owner.create_bucket(Bucket='pail')\nrefused('InvalidArgument', lambda: tell('ObjectCreated:*'))");
    assert_eq!(webhook.events(), []);
    drop(cluster);
    let cluster = builder(&webhook).environment("SSL_CERT_FILE", mine.file()).start();
    tell(&cluster, "owner.create_bucket(Bucket='pail')\ntell('ObjectCreated:*')\nput('secret')");
    hears(&webhook, &[("s3:TestEvent", ""), ("ObjectCreated:Put", "secret")]);
}

#[test]
fn what_a_bucket_may_tell() {
    let webhook = Webhook::start();
    let cluster = builder(&webhook).start();
    tell(
        &cluster,
        r#"
owner.create_bucket(Bucket='pail')
rules = lambda: {k: v for k, v in owner.get_bucket_notification_configuration(Bucket='pail').items() if k != 'ResponseMetadata'}
assert rules() == {}
# A webhook that is not there, or is called otherwise; an event that is none, or happens elsewhere; two rules for one event.
for arn in ['arn:aws:sqs:us-east-1::other', 'arn:aws:sns:us-east-1::hook', 'hook']:
    refused('InvalidArgument', lambda: tell('ObjectCreated:*', arn=arn))
refused('InvalidArgument', lambda: tell('ObjectCreated:Nothing'))
refused('NotImplemented', lambda: tell('Replication:*'))
rule = lambda id, event: {'Id': id, 'QueueArn': 'arn:aws:sqs:us-east-1::hook', 'Events': [f's3:{event}']}
put_rules = lambda *rules, **more: owner.put_bucket_notification_configuration(Bucket='pail', NotificationConfiguration=dict(QueueConfigurations=list(rules), **more))
refused('InvalidArgument', lambda: put_rules(rule('1', 'ObjectCreated:*'), rule('2', 'ObjectCreated:Put')))
refused('NotImplemented', lambda: put_rules(EventBridgeConfiguration={}))
refused('NoSuchBucket', lambda: tell('ObjectCreated:*', bucket='none'))
refused('AccessDenied', friend.put_bucket_notification_configuration, Bucket='pail', NotificationConfiguration={})
assert rules() == {}
# What is there comes back as it was written, and goes.
filters = keys(Prefix='a/', Suffix='.b')
tell('ObjectCreated:Put', 'ObjectRemoved:*', **filters)
assert rules()['QueueConfigurations'] == [{'Id': 'rule', 'QueueArn': 'arn:aws:sqs:us-east-1::hook', 'Events': ['s3:ObjectCreated:Put', 's3:ObjectRemoved:*'], **filters}], rules()
put_rules()
assert rules() == {}
tell('ObjectCreated:*', arn='arn:minio:sqs::hook:webhook')
put_rules()
put('quiet')
"#,
    );
    // Nobody hears of a write after the rules went; and who does not answer is only told if the client says not to try.
    assert_eq!(webhook.events(), vec![("s3:TestEvent".to_owned(), String::new()); 2]);
    webhook.answer(404);
    tell(&cluster, "refused('InvalidArgument', lambda: tell('ObjectCreated:*'))");
    tell(&cluster, "tell('ObjectCreated:*', checked=False)");
}
