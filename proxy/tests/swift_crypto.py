"""Swift's own keymaster, encrypter and decrypter around an object server that only remembers.

Reads a list of requests as JSON from standard input and writes what came of each. Bytes are in hexadecimal digits.
"""
import base64
import json
import logging
import sys

from swift.common.header_key_dict import HeaderKeyDict
from swift.common.middleware.crypto.decrypter import Decrypter
from swift.common.middleware.crypto.encrypter import Encrypter
from swift.common.middleware.crypto.keymaster import KeyMaster
from swift.common.swob import Request

logging.disable(logging.CRITICAL)


def keymaster(app, secrets):
    conf = {'meta_version_to_write': secrets['version']}
    if secrets['active']:
        conf['active_root_secret_id'] = secrets['active']
    for secret_id, secret in secrets['roots'].items():
        conf['encryption_root_secret' + ('_' + secret_id if secret_id else '')] = secret
    return KeyMaster(app, conf)


class Store:
    """Takes what an encrypter sends."""

    def __call__(self, env, start_response):
        request = Request(env)
        self.body = env['wsgi.input'].read()
        footers = HeaderKeyDict()
        if 'swift.callback.update_footers' in env:
            env['swift.callback.update_footers'](footers)
        self.headers = HeaderKeyDict(request.headers)
        self.headers.update(footers)
        start_response('201 Created', [('Etag', footers.get('Etag', ''))])
        return [b'']


class Stored:
    """Answers what it was given."""

    def __init__(self, asked):
        self.asked = asked

    def __call__(self, env, start_response):
        self.conditions = {name: env.get('HTTP_' + name.upper().replace('-', '_'))
                           for name in ('If-Match', 'If-None-Match', 'X-Backend-Etag-Is-At')}
        start_response(self.asked['status'], list(self.asked['headers'].items()))
        return [bytes.fromhex(self.asked['body'])]


def call(app, asked, body=b''):
    request = Request.blank(asked['path'], environ={'REQUEST_METHOD': asked['method']},
                            headers=asked.get('request', {}), body=body)
    seen = {}

    def start_response(status, headers, exc_info=None):
        seen.update(status=status, headers=dict(headers))

    seen['body'] = b''.join(app(request.environ, start_response)).hex()
    return seen


def put(asked):
    store = Store()
    app = keymaster(Encrypter(store, {}), asked['secrets'])
    seen = call(app, asked, bytes.fromhex(asked['body']))
    return {'status': seen['status'], 'etag': seen['headers'].get('Etag'),
            'headers': {name.lower(): value for name, value in store.headers.items() if value is not None},
            'body': store.body.hex()}


def get(asked):
    stored = Stored(asked)
    seen = call(keymaster(Decrypter(Encrypter(stored, {}), {}), asked['secrets']), asked)
    seen['headers'] = {name.lower(): value for name, value in seen['headers'].items()}
    seen['conditions'] = stored.conditions
    return seen


print(json.dumps([{'PUT': put, 'GET': get}[asked['method']](asked) for asked in json.load(sys.stdin)]))
