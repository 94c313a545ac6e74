"""A node of the real Swift for tests/import.rs: its servers on the devices and addresses of one of ours, and what clients see.

    swift_node.py write NODE.toml PROXY.toml FOLDER    serves, lets clients write, and stops; configuration goes to FOLDER
    swift_node.py look PROXY.toml                      only looks

Both write what clients see as JSON on standard output: of `write`, before the last changes, which are left half done.
"""
import hashlib
import http.client
import json
import os
import sys
import time
import tomllib
import urllib.parse

ACCOUNTS = [("test:tester", "testing"), ("test2:tester2", "testing2")]
# What answers hold of the moment, or of the server.
VOLATILE = {"x-trans-id", "x-openstack-request-id", "x-auth-token", "x-storage-token"}
SEEN = ("etag", "content-type", "content-length", "last-modified", "content-encoding", "content-location")


def address(config, role):
    host, port = config["listen"][role].rsplit(":", 1)
    return host, int(port)


class Client:
    def __init__(self, server, user, key):
        self.server = server
        answer = self.call("GET", "/auth/v1.0", {"X-Auth-User": user, "X-Auth-Key": key})
        self.token = answer[1]["x-auth-token"]
        self.account = urllib.parse.urlsplit(answer[1]["x-storage-url"]).path

    def call(self, method, path, headers=None, body=None):
        connection = http.client.HTTPConnection(*self.server, timeout=30)
        connection.request(method, path, body=body, headers=headers or {})
        answer = connection.getresponse()
        found = answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def ask(self, method, path="", query="", headers=None, body=None, expect=None):
        path = self.account + urllib.parse.quote(path) + query
        answer = self.call(method, path, {"X-Auth-Token": self.token, **(headers or {})}, body)
        if expect and answer[0] not in expect:
            raise AssertionError(f"{method} {path}: {answer}")
        return answer

    def put(self, path, body=b"", headers=None, query=""):
        return self.ask("PUT", path, query, headers, body, (201, 202))


def headers_of(headers):
    keep = {k: v for k, v in headers.items() if (k.startswith("x-") and k not in VOLATILE) or k in SEEN}
    return keep


def listing(client, path, query=""):
    status, _, body = client.ask("GET", path, "?format=json" + query)
    return json.loads(body) if status == 200 else status


def look_at_object(client, path, query=""):
    status, headers, body = client.ask("GET", path, query)
    return [status, headers_of(headers), hashlib.md5(body).hexdigest()]


def look_at_container(client, name):
    path = "/" + name
    status, headers, _ = client.ask("HEAD", path)
    rows = listing(client, path)
    seen = {"head": [status, headers_of(headers)], "listing": rows, "objects": {}}
    for row in rows:
        seen["objects"][row["name"]] = look_at_object(client, path + "/" + row["name"])
        if row.get("content_type") == "application/symlink" or "symlink_path" in row:
            seen["objects"][row["name"] + " itself"] = look_at_object(client, path + "/" + row["name"], "?symlink=get")
    if headers.get("x-versions-enabled") == "True":
        versions = seen["versions"] = listing(client, path, "&versions")
        for row in versions:
            query = "?version-id=" + row["version_id"]
            seen["objects"][row["name"] + query] = look_at_object(client, path + "/" + row["name"], query)
    return seen


def look(server):
    seen = {}
    for user, key in ACCOUNTS:
        client = Client(server, user, key)
        status, headers, _ = client.ask("HEAD")
        containers = listing(client, "")
        account = seen[user] = {"head": [status, headers_of(headers)], "listing": containers, "containers": {}}
        for container in containers if isinstance(containers, list) else []:
            account["containers"][container["name"]] = look_at_container(client, container["name"])
    seen["gone"] = [Client(server, *ACCOUNTS[0]).ask("HEAD", path)[0] for path in GONE]
    return seen


GONE = ["/deleted", "/c/gone", "/nothing", "/c/nothing"]


def write(client, other, admin):
    client.ask("POST", headers={"X-Account-Meta-Farbe": "grün".encode().decode("latin1")}, expect=(204,))
    client.put("/c", headers={"X-Container-Meta-Farbe": "grün".encode().decode("latin1"), "X-Container-Meta-Old": "1",
                              "X-Container-Read": ".r:*,.rlistings"})
    client.ask("POST", "/c", headers={"X-Remove-Container-Meta-Old": "x"}, expect=(204,))
    client.put("/c/o", b"hello", {"X-Object-Meta-A": "1", "Content-Type": "text/plain; charset=utf-8"})
    client.put("/c/empty")
    client.put("/c/dir/ü ☃", b"snow", {"X-Object-Meta-Name": "é".encode().decode("latin1")})
    client.put("/c/posted", b"first", {"X-Object-Meta-A": "1", "Content-Type": "a/b"})
    client.ask("POST", "/c/posted", headers={"X-Object-Meta-B": "2"}, expect=(202,))
    client.ask("POST", "/c/posted", headers={"X-Object-Meta-C": "3", "Content-Type": "c/d"}, expect=(202,))
    client.put("/c/posted twice", b"first", {"Content-Type": "a/b"})
    client.ask("POST", "/c/posted twice", headers={"Content-Type": "c/d"}, expect=(202,))
    client.ask("POST", "/c/posted twice", headers={"X-Object-Meta-C": "3"}, expect=(202,))
    client.put("/c/twice", b"one")
    client.put("/c/twice", b"two")
    client.put("/c/long", b"x" * 300_000, {f"X-Object-Meta-{i}": "v" * 100 for i in range(10)})
    client.put("/c/gone", b"x")
    client.ask("DELETE", "/c/gone", expect=(204,))
    client.put("/c/expires", b"x", {"X-Delete-At": str(int(time.time()) + 86400)})
    for i in range(40):
        client.put(f"/c/many/{i:02}", b"%d" % i)
    client.put("/silver", headers={"X-Storage-Policy": "silver"})
    client.put("/silver/o", b"silver")
    client.put("/empty")
    client.put("/deleted")
    client.ask("DELETE", "/deleted", expect=(204,))
    client.put("/again")
    client.ask("DELETE", "/again", expect=(204,))
    client.put("/again", headers={"X-Storage-Policy": "silver"})
    large(client)
    client.put("/links")
    client.put("/links/link", headers={"X-Symlink-Target": "c/o", "Content-Type": "application/symlink"})
    client.put("/versions", headers={"X-Versions-Enabled": "true"})
    for body in (b"1", b"22", b"333"):
        client.put("/versions/o", body)
    client.put("/versions/p", b"p")
    client.ask("DELETE", "/versions/p", expect=(204,))
    client.put("/history")
    client.put("/stack", headers={"X-Versions-Location": "history"})
    for body in (b"1", b"22"):
        client.put("/stack/o", body)
    for name in ("waits", "late"):
        client.put(f"/{name}")
        client.put(f"/{name}/o", b"x")
    other.put("/c")
    other.put("/c/o", b"x")
    deleted = admin.call("DELETE", "/v1/AUTH_test2", {"X-Auth-Token": admin.token})
    assert deleted[0] == 204, deleted


def large(client):
    client.put("/segments")
    parts = []
    for i in range(3):
        body = bytes([97 + i]) * (1024 * 1024 if i < 2 else 10)
        client.put(f"/segments/{i}", body)
        parts.append({"path": f"/segments/{i}", "etag": hashlib.md5(body).hexdigest(), "size_bytes": len(body)})
    client.put("/large")
    client.put("/large/slo", json.dumps(parts).encode(), {"X-Object-Meta-A": "1"}, "?multipart-manifest=put")
    client.put("/large/dlo", headers={"X-Object-Manifest": "c/many/0"})


class Memcache:
    """What tempauth keeps its tokens in. Other things are only found when it is complete, for they would be outdated."""

    is_complete = False

    def __init__(self):
        self.values = {}

    def get(self, key, raise_on_error=False):
        return self.values.get(key) if self.is_complete or key.startswith("AUTH_") else None

    def set(self, key, value, *_, **__):
        self.values[key] = value

    def incr(self, *_, **__):
        return 0

    def delete(self, key, *_, **__):
        self.values.pop(key, None)


def configure(node, folder):
    """Writes what /etc/swift has."""
    rings = node["node"]["rings"]
    for name in os.listdir(rings):
        if name.endswith(".ring.gz"):
            os.symlink(os.path.join(rings, name), os.path.join(folder, name))
    policies = "".join(
        f"[storage-policy:{p['index']}]\nname = {p['name']}\ndefault = {'yes' if p.get('default') else 'no'}\n"
        for p in node["cluster"]["policies"])
    with open(os.path.join(folder, "swift.conf"), "w") as file:
        file.write(f"[swift-hash]\nswift_hash_path_suffix = {node['cluster']['hash_path_suffix']}\n{policies}")
    for role in ("account", "container", "object"):
        host, port = address(node, role)
        with open(os.path.join(folder, f"{role}-server.conf"), "w") as file:
            file.write(f"""[DEFAULT]
swift_dir = {folder}
devices = {node['node']['devices']}
bind_ip = {host}
bind_port = {port}
mount_check = false
fallocate_reserve = 0
log_address = /nonexistent
[pipeline:main]
pipeline = {role}-server
[app:{role}-server]
use = egg:swift#{role}
[{role}-updater]
recon_cache_path = {folder}
""")
    with open(os.path.join(folder, "proxy-server.conf"), "w") as file:
        middleware = "catch_errors gatekeeper listing_formats tempauth copy slo dlo versioned_writes symlink".split()
        file.write(f"""[DEFAULT]
swift_dir = {folder}
log_address = /nonexistent
[pipeline:main]
pipeline = {" ".join(middleware)} proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
node_timeout = 30
conn_timeout = 5
""")
        for name in middleware:
            file.write(f"[filter:{name}]\nuse = egg:swift#{name}\n")
            if name == "tempauth":
                file.write("user_test_tester = testing .admin\nuser_test2_tester2 = testing2 .admin\n"
                           "user_admin_admin = admin .admin .reseller_admin\n")
            if name == "versioned_writes":
                file.write("allow_versioned_writes = true\nallow_object_versioning = true\n")


def serve(node, proxy, folder):
    """Starts all servers in this process, and gives a function for each that stops it."""
    import eventlet
    import eventlet.wsgi
    from swift.common import utils
    from swift.common.http_protocol import SwiftHttpProtocol
    from swift.common.storage_policy import reload_storage_policies
    from swift.common.wsgi import loadapp
    from swift.common.utils.logs import NullLogger

    utils.set_swift_dir(folder)
    reload_storage_policies()
    cache = Memcache()
    stop = {"cache": cache}
    for role, config in [("account", node), ("container", node), ("object", node), ("proxy", proxy)]:
        app = loadapp(os.path.join(folder, f"{role}-server.conf"), global_conf={"log_level": "ERROR"})

        def with_cache(env, start, app=app):
            env["swift.cache"] = cache
            return app(env, start)

        socket = eventlet.listen(address(config, role))
        thread = eventlet.spawn(eventlet.wsgi.server, socket, with_cache, NullLogger(), protocol=SwiftHttpProtocol,
                                capitalize_response_headers=False, keepalive=False)

        def ended(thread=thread, socket=socket):
            thread.kill()
            socket.close()

        stop[role] = ended
    return stop


def main():
    if sys.argv[1] == "look":
        with open(sys.argv[2], "rb") as file:
            json.dump(look(address(tomllib.load(file), "proxy")), sys.stdout)
        return
    import warnings
    warnings.filterwarnings("ignore")
    import eventlet
    eventlet.monkey_patch()
    with open(sys.argv[2], "rb") as file:
        node = tomllib.load(file)
    with open(sys.argv[3], "rb") as file:
        proxy = tomllib.load(file)
    configure(node, sys.argv[4])
    stop = serve(node, proxy, sys.argv[4])
    server = address(proxy, "proxy")
    client, other = Client(server, *ACCOUNTS[0]), Client(server, *ACCOUNTS[1])
    admin = Client(server, "admin:admin", "admin")
    write(client, other, admin)
    # What daemons would do by now: accounts hear of their containers.
    report(sys.argv[4])
    seen = look(server)
    # What nobody reads again stays in the .pending files of the databases ...
    stop["cache"].is_complete = True
    client.ask("HEAD", "/late", expect=(204,))
    client.put("/last")
    client.put("/waits/p", b"y")
    client.ask("DELETE", "/waits/o", expect=(204,))
    # ... and what the container server does not hear, with the object server.
    stop["container"]()
    client.put("/late/p", b"y")
    client.ask("DELETE", "/late/o", expect=(204,))
    json.dump(seen, sys.stdout)
    # Without ado, as a machine that is switched off.
    sys.stdout.flush()
    os._exit(0)


def report(folder):
    from swift.common.utils import readconf
    from swift.container.updater import ContainerUpdater

    conf = readconf(os.path.join(folder, "container-server.conf"), "container-updater")
    ContainerUpdater(conf).run_once()


main()
