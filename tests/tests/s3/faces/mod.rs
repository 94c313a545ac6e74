//! What one face wrote, seen through the other: S3's clients and Swift's at the same objects, with what belongs to these.

mod access;
mod expiry;
mod large;
mod metadata;
mod versions;

use apus_tests::boto;

/// Swift's command line and its library beside the clients of S3, and a bucket of both.
const PRELUDE: &str = r#"
import subprocess, sys, swiftclient

other = swiftclient.Connection(os.environ['ST_AUTH'], os.environ['ST_USER'], os.environ['ST_KEY'], retries=0)

def swift(*arguments):
    program = os.path.join(os.path.dirname(sys.executable), 'swift')
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout

# The lines of `swift stat`, by their names.
def stat(*of):
    lines = [line.partition(':') for line in swift('stat', *of).splitlines()]
    return {name.strip(): value.strip() for name, _, value in lines}

def missing(call, *arguments, **more):
    try:
        call(*arguments, **more)
    except swiftclient.ClientException as error:
        assert error.http_status == 404, error
        return error
    raise SystemExit(f'it is still there: {arguments}')

def put(key, body=b'x', **more):
    return owner.put_object(Bucket='pail', Key=key, Body=body, **more)

def get(key, **more):
    return owner.get_object(Bucket='pail', Key=key, **more)['Body'].read()

owner.create_bucket(Bucket='pail')
"#;

fn run(script: &str) {
    boto::story(&format!("{PRELUDE}{script}"));
}
