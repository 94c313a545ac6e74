"""The real Swift's domain_remap, tempurl, formpost and staticweb in front of a storage that everybody agrees on.

Arguments: the seed, how many requests. Prints the storage, then each random request with Swift's answer: JSON, one a line.
"""
import base64
import hashlib
import hmac
import io
import json
import logging
import random
import sys

from swift.common.middleware import domain_remap, formpost, listing_formats, staticweb, tempauth, tempurl
from swift.common.swob import HTTPBadRequest, HTTPNotFound, Request, Response, wsgi_to_str

logging.disable(logging.CRITICAL)
RNG = random.Random(int(sys.argv[1]))
LISTING = [{'subdir': 'dir/x&y/'}, {'subdir': 'dir/..'}] + [
    {'name': name, 'bytes': size, 'content_type': kind, 'hash': 'e', 'last_modified': '2024-04-05T19:34:39.123450'}
    for name, size, kind in (('dir/a', 0, 'text/plain'), ('dir/b "é".txt', 1536, 'a/b; c="d"'), ('dir/c', 1 << 21, 'none'))]
JSON = 'application/json; charset=utf-8'
PUBLIC = '.r:*,.rlistings'


def container(listing, **meta):
    items = {'x-container-meta-' + name.replace('_', '-'): value for name, value in meta.items() if name != 'acl'}
    return {'content-type': JSON, 'x-container-read': meta.get('acl', PUBLIC), **items}, json.dumps(listing)


def thing(content, kind='text/plain', **headers):
    named = {name.replace('_', '-'): value for name, value in headers.items()}
    return {'content-type': kind, 'content-length': str(len(content)), 'x-timestamp': '1712345678.00000', **named}, content


KEPT = {
    'AUTH_test': ({'content-type': JSON, 'x-account-meta-temp-url-key': 'akey', 'x-account-meta-temp-url-key-2': 'é key'}, '[]'),
    'AUTH_test/c': container([], acl='', temp_url_key='ckey'),
    'AUTH_test/c/o': thing('data', x_object_meta_a='1', x_object_meta_public_b='2'),
    'AUTH_test/c/dir/o 1': thing('more', content_disposition='inline; filename="x"'),
    'AUTH_test/list': container(LISTING, acl='', temp_url_key='lkey', web_listings='yes', web_listings_css='s.css'),
    'AUTH_test/list/dir': thing('', 'application/directory'),
    'AUTH_test/site': container(LISTING, web_index='i.html', web_error='error', web_listings='on', web_listings_label='<é>'),
    'AUTH_test/site/i.html': thing('home'),
    'AUTH_test/site/sub/i.html': thing('sub'),
    'AUTH_test/site/404error': thing('none here'),
    'AUTH_test/index': container([], web_index='i i', web_listings_css='/x y.css'),
    'AUTH_test/index/marker': thing('', 'application/directory'),
    'AUTH_test/off': container(LISTING, acl='.r:*', web_error='e', web_listings='x', web_directory_type='a/dir'),
    'AUTH_test/off/401e': thing('keep out'),
    'AUTH_test/off/folder': thing('', 'a/dir'),
    'AUTH_test/plain': container(LISTING),
}
STORED = {}


def storage(env, start):
    request = Request(env)
    version, *names = wsgi_to_str(env['PATH_INFO']).split('/', 4)[1:]
    if version not in ('v1', 'v1.0'):
        # As Swift's proxy itself does, before it asks who it is.
        return HTTPBadRequest(request=request)(env, start)
    name = '/'.join(part for part in names if part)
    is_object = len(names) > 2 and names[2]
    if 'swift.authorize' in env:
        held = KEPT.get('/'.join(names[:2]), ({},))[0] if len(names) > 1 else {}
        request.acl = held.get('x-container-read') if request.method in ('GET', 'HEAD') else None
        refusal = env['swift.authorize'](request)
        if refusal:
            return refusal(env, start)
    if request.method == 'PUT' and is_object and '/'.join(names[:2]) in KEPT:
        try:
            content = b''.join(iter(lambda: env['wsgi.input'].read(4096), b''))
        except EOFError:
            return Response(status=499)(env, start)
        kept = {key: str(request.headers[key]) for key in ('content-type', 'content-encoding', 'x-delete-at') if key in request.headers}
        STORED[name] = (content.decode('latin1'), kept)
        return Response(status=201)(env, start)
    if name not in KEPT or request.method not in ('GET', 'HEAD'):
        return HTTPNotFound(request=request)(env, start)
    headers, content = KEPT[name]
    response = Response(body=content.encode(), request=request)
    response.headers.update({key: value.encode().decode('latin1') for key, value in headers.items()})
    return response(env, start)


APP = storage
for module, conf in ((staticweb, {}), (tempauth, {'user_test_admin': 'secret .admin'}), (formpost, {}), (tempurl, {}),
                     (listing_formats, {}), (domain_remap, {'storage_domain': 'example.com'})):
    APP = module.filter_factory({}, **conf)(APP)


def sign(key, message, digest, spelling):
    mac = hmac.new(key.encode(), message.encode(), digest)
    encode = {'hex': lambda: mac.hexdigest(), 'upper': lambda: mac.hexdigest().upper(), 'cut': lambda: mac.hexdigest()[:-2],
              'base64': lambda: digest + ':' + base64.b64encode(mac.digest()).decode(),
              'bare': lambda: digest + ':' + base64.b64encode(mac.digest()).decode().rstrip('='),
              'url': lambda: digest + ':' + base64.urlsafe_b64encode(mac.digest()).decode()}
    return encode[spelling]()


def quote(text):
    return ''.join(chr(b) if chr(b).isalnum() and b < 128 else '%%%02X' % b for b in text.encode())


def seldom(usual, *others):
    return RNG.choice(others) if RNG.random() < 0.08 else usual


def path():
    place = RNG.choice(('c/o', 'c/dir/o 1', 'list/dir/', 'list/dir', 'list/', 'list', 'c', 'c/', 'list/none/', 'c/none', 'c//', 'x/o'))
    return '/%s/AUTH_%s/%s' % (seldom('v1', 'v1.0', 'v2'), seldom('test', 'none'), place)


def signed_url():
    method, at = RNG.choice(('GET', 'GET', 'GET', 'HEAD', 'PUT')), path()
    parts = at.split('/', 4)
    prefix = RNG.choice((None, None, '', 'dir/', 'd', 'o'))
    signed = at if prefix is None else 'prefix:' + '/'.join(parts[:4]) + '/' + prefix
    ip_range = seldom(None, '', '10.0.0.9', '10.0.0.0/8', '10.0.0.0/255.0.0.0', '10.0.0.1/8', '10.0.1.0/24', '::/0', 'x')
    # Swift forgets the range in the links of a page, so that none of them works.
    ip_range = None if parts[3] == 'list' else ip_range
    expires = seldom('4000000000', '1000', '2096-10-02T07:06:40Z', '2096-10-2T7:6:40Z', ' +4000000000 ', '', '-4', '99999999999', 'x')
    numeric = '4000000000' if expires.strip().startswith(('2096', '+')) else expires
    message = '%s\n%s\n%s' % (seldom(method, 'GET', 'PUT', 'DELETE'), numeric, signed)
    if ip_range:
        message = 'ip=%s\n%s' % (ip_range, message)
    key = seldom({'c': 'ckey', 'list': 'lkey'}.get(parts[3], 'akey'), 'akey', 'é key', 'other', 'lkey')
    spelling = seldom('hex', 'upper', 'cut', 'base64', 'bare', 'url')
    query = [('temp_url_sig', sign(key, message, RNG.choice(('sha1', 'sha256', 'sha512')), spelling)), ('temp_url_expires', expires)]
    query += [] if prefix is None else [('temp_url_prefix', prefix)]
    query += [] if ip_range is None else [('temp_url_ip_range', ip_range)]
    query += RNG.choice(([], [], [('inline', '')], [('filename', 'a é"\n/b')], [('filename', '')], [('inline', '1'), ('filename', 'n')]))
    query = [pair for pair in query if RNG.random() > 0.03]
    headers = seldom({}, {'X-Copy-From': 'c/o'}, {'X-Symlink-Target': 'c/o'}, {'X-Object-Manifest': 'c/o'})
    return method, quote_path(at) + '?' + '&'.join('%s=%s' % (name, quote(value)) for name, value in query), headers, b''


def quote_path(text):
    return '/'.join(quote(part) for part in text.split('/'))


def visit():
    place = RNG.choice(('site', 'index', 'off', 'plain', 'list', 'none'))
    at = RNG.choice(('', '/', '/i.html', '/sub', '/sub/', '/dir', '/dir/', '/marker', '/folder', '/none', '/none/', '/404error'))
    host = RNG.choice(('h:80', 'h:80', 'AUTH-test.example.com', 'auth_test.example.com:8080', place + '.auth-test.example.com',
                       'other-test.example.com', 'a.b.c.example.com', 'example.com', '.example.com'))
    named = host.startswith(place + '.')
    base = '' if named else '/' + place if host.lower().startswith('auth') else '/v1/AUTH_test/' + place
    headers = {'Host': host, **seldom({}, {'X-Web-Mode': 'true'})}
    return RNG.choice(('GET', 'GET', 'HEAD')), quote_path(base + at) or '/', headers, b''


def form(number):
    to = '/v1/AUTH_test/%s%s' % (seldom('c', 'list'), RNG.choice(('/f%d/' % number, '/f%d' % number)))
    fields = {'redirect': seldom('', 'http://x', 'http://x/-?a=1', 'http://x/--'), 'max_file_size': seldom('10', '0', '', 'x', '3'),
              'max_file_count': seldom('2', '1', '0', '', 'x'), 'expires': seldom('4000000000', '1000', '', 'x', ' 4000000000')}
    message = '\n'.join([to, fields['redirect'].rstrip('-'), *(fields[name] or '0' for name in ('max_file_size', 'max_file_count', 'expires'))])
    fields['signature'] = sign(seldom('akey', 'ckey', 'other'), message, RNG.choice(('sha1', 'sha256', 'sha512')),
                               seldom('hex', 'upper', 'cut', 'base64', 'bare', 'url'))
    fields.update(seldom({}, {'content-type': 'a/b'}, {'Content-Type': ''}, {'content-encoding': 'gzip'}, {'x_delete_at': '4000000000'},
                         {'x_delete_at': 'x'}, {'x_delete_after': ''}, {'other': 'x' * 9000}, {'expires': '4000000000'}))
    parts = ['Content-Disposition: form-data; name="%s"\r\n\r\n%s' % field for field in fields.items()]
    for at in range(RNG.choice((0, 1, 1, 2, 2, 3))):
        more = RNG.choice(('', '\r\nContent-Type: text/html', '\r\nContent-Type: text/x\r\nContent-Encoding: br'))
        content = RNG.choice(('', '0123456789', '\r\n--', '--C', '\r\n\r\n', 'é', '0123456789' * seldom(1, 2)))
        parts.append('Content-Disposition: form-data; name="f"; filename="%s"%s\r\n\r\n%s' %
                     (seldom('n%d' % at, '', 'a/é b%d' % at), more, content))
    body = ''.join('--B\r\n%s\r\n' % part for part in parts) + '--B--\r\n'
    body = seldom(body, '', 'no form', '\r\n' + body)
    return 'POST', quote_path(to), {'Content-Type': seldom('multipart/form-data; boundary=B', 'multipart/form-data; boundary="B"')}, body.encode()


def answer(method, target, headers, body):
    STORED.clear()
    env = {'REMOTE_ADDR': '10.0.0.9', 'wsgi.input': io.BytesIO(body), 'CONTENT_LENGTH': str(len(body))}
    request = Request.blank(target, environ={'REQUEST_METHOD': method, **env}, headers={'Host': 'h:80', **headers})
    response = request.get_response(APP)
    shown = {name: response.headers[name] for name in ('Location', 'Content-Disposition', 'Expires', 'Www-Authenticate', 'X-Object-Meta-A',
                                                       'X-Object-Meta-Public-B') if name in response.headers}
    content = b'' if method == 'HEAD' else response.body
    return {'status': response.status_int, 'headers': shown, 'body': content.decode(), 'stored': dict(STORED)}


print(json.dumps(KEPT))
for number in range(int(sys.argv[2])):
    method, target, headers, body = RNG.choice((signed_url, visit, lambda: form(number)))()
    asked = {'method': method, 'target': target, 'headers': {'Host': 'h:80', **headers}, 'body': body.decode()}
    print(json.dumps({'asked': asked, 'answer': answer(method, target, headers, body)}))
