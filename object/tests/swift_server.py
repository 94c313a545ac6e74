"""The real Swift's object server beside ours: the same random requests to both, and every difference is printed.

Arguments: our server's host:port, a folder for Swift's device, the seed, how many objects. Exits 1 on a difference.
"""
import http.client
import os
import random
import sys
import time

from swift.common import utils

utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b'', b'end'

from swift.common.swob import Request  # noqa: E402  (after the salt is set)
from swift.obj.server import ObjectController  # noqa: E402

ADDRESS, FOLDER, SEED, OBJECTS = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.mkdir(os.path.join(FOLDER, 'd1'))
SWIFT = ObjectController({'devices': FOLDER, 'mount_check': 'false', 'fallocate_reserve': '0', 'log_level': 'CRITICAL'})
RNG = random.Random(SEED)

COMPARED = ('etag', 'content-type', 'content-length', 'content-range', 'last-modified', 'x-timestamp', 'x-backend-timestamp',
            'x-backend-data-timestamp', 'x-backend-durable-timestamp', 'x-backend-content-type', 'x-delete-at', 'expires',
            'x-static-large-object', 'x-object-manifest', 'x-object-meta-a', 'x-object-meta-b_c', 'x-object-sysmeta-s',
            'x-object-transient-sysmeta-t', 'content-encoding')
BODIES = (b'', b'x', b'0123456789', b'abc' * 500)
# Recent, because Swift forgets old tombstones at once.
START = int(time.time()) - 1000
DATES = tuple(time.strftime('%a, %d %b %Y %H:%M:%S GMT', time.gmtime(START + secs)) for secs in range(40))


def at(*secs):
    return tuple(str(START + s) for s in secs)


def maybe(chance, headers, name, values):
    if RNG.random() < chance:
        headers[name] = RNG.choice(values)


def metadata(headers):
    maybe(.4, headers, 'X-Object-Meta-A', ('1', 'two', '\u00c3\u00a9'))
    maybe(.3, headers, 'X-Object-Meta-B-c', ('', 'v'))
    maybe(.3, headers, 'X-Object-Transient-Sysmeta-T', ('t',))
    maybe(.3, headers, 'X-Object-Sysmeta-S', ('s', 's2'))
    maybe(.2, headers, 'Expires', ('never',))
    maybe(.2, headers, 'Content-Encoding', ('gzip',))
    maybe(.2, headers, 'X-Object-Manifest', ('c/o',))
    maybe(.2, headers, 'X-Static-Large-Object', ('True',))
    maybe(.2, headers, 'X-Delete-At', at(5, 12, 25, 40) + ('9999999999', 'soon'))


def request(path):
    now = '%d.%05d' % (START + RNG.randint(1, 30), RNG.choice((0, 0, 1, 12345)))
    headers, method, body = {'X-Timestamp': now}, RNG.choice(('PUT', 'PUT', 'POST', 'POST', 'DELETE', 'GET', 'GET', 'HEAD')), b''
    maybe(.02, headers, 'X-Timestamp', ('never', '-1', ''))
    if method == 'PUT':
        body = RNG.choice(BODIES)
        metadata(headers)
        headers['Content-Length'] = str(len(body))
        maybe(.97, headers, 'Content-Type', ('text/plain', 'a/b;swift_bytes=7', 'c/d; charset=x'))
        maybe(.1, headers, 'If-None-Match', ('*', '"d41d8cd98f00b204e9800998ecf8427e"'))
        maybe(.1, headers, 'ETag', ('d41d8cd98f00b204e9800998ecf8427e', '"9dd4e461268c8034f5c8564e155c67a6"'))
    elif method == 'POST':
        metadata(headers)
        maybe(.4, headers, 'Content-Type', ('new/type', 'newer/type'))
        if 'Content-Type' in headers:
            maybe(.4, headers, 'Content-Type-Timestamp', ('%d.00000' % (START + RNG.randint(1, 30)),))
        headers['Content-Length'] = '0'
    elif method == 'DELETE':
        maybe(.2, headers, 'X-If-Delete-At', at(12, 25) + ('soon',))
    else:
        maybe(.3, headers, 'Range', ('bytes=0-0', 'bytes=5-', 'bytes=-3', 'bytes=5-2', 'bytes=2000-', 'bytes=-0', 'x'))
        maybe(.1, headers, 'If-Match', ('*', 'nope', '"d41d8cd98f00b204e9800998ecf8427e"'))
        maybe(.1, headers, 'If-None-Match', ('*', 'nope', 's', '"d41d8cd98f00b204e9800998ecf8427e"'))
        maybe(.1, headers, 'If-Modified-Since', DATES)
        maybe(.1, headers, 'If-Unmodified-Since', DATES)
        maybe(.2, headers, 'X-Backend-Etag-Is-At', ('X-Object-Sysmeta-S', 'x-no,x-object-meta-a'))
        maybe(.2, headers, 'X-Backend-Open-Expired', ('true',))
        maybe(.2, headers, 'X-Backend-Ignore-Range-If-Metadata-Present', ('X-Static-Large-Object', 'x-no, X-Object-Manifest'))
    return method, path, headers, body


def ask_swift(method, path, headers, body):
    answer = Request.blank(path, method=method, headers=headers, body=body).get_response(SWIFT)
    return answer.status_int, {k.lower(): v for k, v in answer.headers.items()}, answer.body


def ask_ours(method, path, headers, body):
    # A connection for each, since the server ends those whose body it did not want.
    ours = http.client.HTTPConnection(ADDRESS)
    ours.request(method, path, body=body, headers=headers)
    answer = ours.getresponse()
    content = answer.read()
    ours.close()
    return answer.status, {k.lower(): v for k, v in answer.getheaders()}, content


def seen(method, answer):
    status, headers, body = answer
    read = method in ('GET', 'HEAD') and status in (200, 206)
    if read or status in (304, 416):
        names = COMPARED if read else ('etag', 'content-range', 'x-backend-timestamp')
    elif method == 'POST':
        names = ('x-backend-content-type', 'x-object-sysmeta-s', 'x-backend-timestamp') if status != 404 else ()
    else:
        names = ('x-backend-timestamp', 'x-backend-content-type') + (('etag',) if status == 201 else ())
    # Swift quotes some ETags and not others.
    return status, {name: headers[name].strip('"') for name in names if headers.get(name)}, body if read else None


def main():
    statuses, differences = {}, 0
    for n in range(OBJECTS):
        history, path = [], '/d1/7/a/c/o%d' % n
        for _ in range(14):
            asked = request(path)
            theirs, ours = seen(asked[0], ask_swift(*asked)), seen(asked[0], ask_ours(*asked))
            history.append((asked[:3], theirs[0]))
            statuses[asked[0], theirs[0]] = statuses.get((asked[0], theirs[0]), 0) + 1
            # Swift fails on a POST whose content type alone is new, if no POST came before.
            if theirs != ours and theirs[0] != 500:
                differences += 1
                print('after', *('\n  %r -> %d' % step for step in history[:-1]))
                print(' asked %r, %d bytes\n Swift %r\n ours  %r\n' % (asked[:3], len(asked[3]), theirs, ours))
                break
    print(sorted(statuses.items()))
    sys.exit(1 if differences else 0)


main()
