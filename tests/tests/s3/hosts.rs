//! Buckets that the host names: for clients that address them so, and as websites for browsers.

use apus_tests::{Cluster, Swift, boto};
use tempfile::TempDir;

/// Every name is this machine's, and how a browser asks.
const PRELUDE: &str = r#"
import http.client, socket
from urllib.parse import urlsplit

URL = urlsplit(os.environ['AWS_ENDPOINT_URL'])
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *more, **how: resolve(URL.hostname, *more, **how)

def browse(host, path, method='GET', **headers):
    connection = http.client.HTTPConnection(URL.hostname, URL.port)
    connection.request(method, path, headers={'Host': host, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), dict((k.lower(), v) for k, v in answer.getheaders())
"#;

fn story(script: &str) {
    let settings = "s3 = { storage_domain = ['s3.example.com'], website_domain = ['web.example.com'] }";
    let mut cluster = Cluster::builder().settings("proxy", settings).start();
    let (swift, folder) = (Swift { address: cluster.proxy(0).address("proxy") }, TempDir::new().expect("a folder"));
    boto::script(swift, folder.path(), &format!("{PRELUDE}{script}"));
}

#[test]
fn a_host_names_a_bucket() {
    story(
        r#"
virtual = boto3.client('s3', aws_access_key_id='test:tester', aws_secret_access_key='testing', region_name='us-east-1',
                       endpoint_url=f'http://s3.example.com:{URL.port}', config=Config(s3={'addressing_style': 'virtual'}))
virtual.create_bucket(Bucket='pail')
hosts = []
virtual.meta.events.register('before-send.s3', lambda request, **_: hosts.append(urlsplit(request.url).hostname))
virtual.put_object(Bucket='pail', Key='pail/k ☃', Body=b'by host', Metadata={'color': 'blue'})
assert hosts == ['pail.s3.example.com'], hosts
assert s3.get_object(Bucket='pail', Key='pail/k ☃')['Body'].read() == b'by host'
got = virtual.get_object(Bucket='pail', Key='pail/k ☃')
assert got['Body'].read() == b'by host' and got['Metadata'] == {'color': 'blue'}, got
assert [item['Key'] for item in virtual.list_objects_v2(Bucket='pail')['Contents']] == ['pail/k ☃']

# Signed URLs name the host too.
url = urlsplit(virtual.generate_presigned_url('get_object', Params={'Bucket': 'pail', 'Key': 'pail/k ☃'}))
assert url.hostname == 'pail.s3.example.com'
assert browse(url.netloc, f'{url.path}?{url.query}')[:2] == (200, 'by host')
assert 'SignatureDoesNotMatch' in browse(url.netloc.replace('pail', 'other'), f'{url.path}?{url.query}')[1]
virtual.delete_object(Bucket='pail', Key='pail/k ☃')
virtual.delete_bucket(Bucket='pail')
refused('404', s3.head_bucket, Bucket='pail')
"#,
    );
}

#[test]
fn a_bucket_is_a_website() {
    story(
        r#"
site = 'pail.test.web.example.com'
s3.create_bucket(Bucket='pail')
refused('NoSuchWebsiteConfiguration', s3.get_bucket_website, Bucket='pail')
assert browse(site, '/')[0] == 404
pages = {'index.html': 'home', 'docs/index.html': 'docs', 'error.html': 'not here', 'old.html': ''}
for key, text in pages.items():
    more = {'WebsiteRedirectLocation': '/docs/'} if key == 'old.html' else {}
    s3.put_object(Bucket='pail', Key=key, Body=text.encode(), ContentType='text/html', **more)
refused('InvalidRedirectLocation', s3.put_object, Bucket='pail', Key='x', Body=b'', WebsiteRedirectLocation='javascript:alert(1)')
config = {'IndexDocument': {'Suffix': 'index.html'}, 'ErrorDocument': {'Key': 'error.html'}, 'RoutingRules': [
    {'Condition': {'KeyPrefixEquals': 'papers/'}, 'Redirect': {'ReplaceKeyPrefixWith': 'docs/', 'HttpRedirectCode': '302'}}]}
s3.put_bucket_website(Bucket='pail', WebsiteConfiguration=config)
told = s3.get_bucket_website(Bucket='pail')
assert {k: told[k] for k in config} == config, told
assert s3.head_object(Bucket='pail', Key='old.html')['WebsiteRedirectLocation'] == '/docs/'

# Nobody reads what the bucket does not give to everybody, whatever they are signed with.
status, text, headers = browse(site, '/')
assert status == 403 and '<li>Code: AccessDenied</li>' in text and headers['content-type'].startswith('text/html'), (status, text)
policy = {'Version': '2012-10-17', 'Statement': [{'Effect': 'Allow', 'Principal': '*', 'Action': 's3:GetObject', 'Resource': 'arn:aws:s3:::pail/*'}]}
s3.put_bucket_policy(Bucket='pail', Policy=json.dumps(policy))

assert browse(site, '/')[:2] == (200, 'home')
assert browse(site, '/docs/')[:2] == (200, 'docs')
assert browse(site + ':80', '/index.html', Range='bytes=1-2')[:2] == (206, 'om')
status, _, headers = browse(site, '/docs')
assert (status, headers['location']) == (302, '/docs/'), headers
status, _, headers = browse(site, '/old.html')
assert (status, headers['location']) == (301, '/docs/'), headers
status, _, headers = browse(site, '/papers/a b'.replace(' ', '%20'))
assert (status, headers['location']) == (302, f'http://{site}/docs/a%20b'), headers
assert browse(site, '/missing')[:2] == (404, 'not here')
assert browse(site, '/', method='HEAD')[:2] == (200, '')
assert browse(site, '/index.html', method='DELETE')[0] == 405
assert browse('other.test.web.example.com', '/')[0] == 404

# Elsewhere.
s3.put_bucket_website(Bucket='pail', WebsiteConfiguration={'RedirectAllRequestsTo': {'HostName': 'example.org', 'Protocol': 'https'}})
status, _, headers = browse(site, '/a?b=c')
assert (status, headers['location']) == (301, 'https://example.org/a'), headers
s3.delete_bucket_website(Bucket='pail')
refused('NoSuchWebsiteConfiguration', s3.get_bucket_website, Bucket='pail')
"#,
    );
}
