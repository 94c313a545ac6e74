"""Databases of the real Swift as years and accidents leave them, for tests/import.rs: swift_databases.py DEVICE SUFFIX PART_POWER

Each container is called after what is odd about it.
"""
import os
import shutil
import sqlite3
import struct
import sys
import tempfile

from swift.account.backend import AccountBroker
from swift.common import utils
from swift.common.utils import Timestamp, hash_path, storage_directory
from swift.common.utils import ShardRange
from swift.container.backend import ContainerBroker

DEVICE, SUFFIX, PART_POWER = sys.argv[1], sys.argv[2], int(sys.argv[3])
utils.HASH_PATH_SUFFIX = SUFFIX.encode()
ACCOUNT = "AUTH_test"
clock = iter(range(1712345678, 1812345678))


def now():
    return Timestamp(next(clock)).internal


def path(folder, *names):
    hashed = hash_path(*names)
    partition = struct.unpack_from(">I", bytes.fromhex(hashed))[0] >> (32 - PART_POWER)
    return os.path.join(DEVICE, storage_directory(folder, partition, hashed), hashed + ".db")


def container(name, objects=3):
    """A container with rows that are in its database, and not in its .pending file."""
    broker = ContainerBroker(path("containers", ACCOUNT, name), account=ACCOUNT, container=name)
    broker.initialize(now(), 0)
    for i in range(objects):
        broker.put_object(f"{i:04}", now(), 10, "text/plain", "0" * 32)
    broker.get_info()
    return broker


def change(broker, *statements):
    connection = sqlite3.connect(broker.db_file)
    connection.create_function("chexor", 3, lambda old, *_: old)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def before_policies(name):
    """As of 2013: no policies, no metadata, no sync points."""
    file = path("containers", ACCOUNT, name)
    os.makedirs(os.path.dirname(file))
    connection = sqlite3.connect(file)
    connection.executescript(f"""
        CREATE TABLE object (ROWID INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created_at TEXT, size INTEGER,
            content_type TEXT, etag TEXT, deleted INTEGER DEFAULT 0);
        CREATE TABLE container_stat (account TEXT, container TEXT, created_at TEXT, put_timestamp TEXT DEFAULT '0',
            delete_timestamp TEXT DEFAULT '0', object_count INTEGER, bytes_used INTEGER,
            reported_put_timestamp TEXT DEFAULT '0', reported_delete_timestamp TEXT DEFAULT '0',
            reported_object_count INTEGER DEFAULT 0, reported_bytes_used INTEGER DEFAULT 0,
            hash TEXT default '00000000000000000000000000000000', id TEXT, status TEXT DEFAULT '',
            status_changed_at TEXT DEFAULT '0');
        INSERT INTO object (name, created_at, size, content_type, etag) VALUES ('old', '{now()}', 7, 'a/b', 'e');
        INSERT INTO container_stat (account, container, created_at, put_timestamp, object_count, bytes_used)
            VALUES ('{ACCOUNT}', '{name}', '{now()}', '{now()}', 1, 7);
    """)
    connection.close()


def half_written(name):
    """Swift was killed in the middle of a large merge: some pages are new, and a journal has the old ones."""
    broker = container(name)
    connection = sqlite3.connect(broker.db_file, isolation_level=None)
    connection.create_function("chexor", 3, lambda old, *_: old)
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("BEGIN IMMEDIATE")
    for i in range(2000):
        connection.execute("INSERT INTO object (name, created_at, size, content_type, etag) VALUES (?, ?, 1, '', '')",
                           (f"half {i}", now()))
    with tempfile.TemporaryDirectory() as folder:
        for end in ("", "-journal"):
            shutil.copy(broker.db_file + end, os.path.join(folder, "copy" + end))
        connection.execute("ROLLBACK")
        connection.close()
        for end in ("", "-journal"):
            shutil.copy(os.path.join(folder, "copy" + end), broker.db_file + end)


def damaged(name):
    broker = container(name, 500)
    with open(broker.db_file, "r+b") as file:
        for page in range(3, os.path.getsize(broker.db_file) // 4096):
            file.seek(page * 4096)
            file.write(b"\xa5" * 4096)


def divided(name):
    broker = container(name)
    broker.enable_sharding(Timestamp(now()))
    shards = [ShardRange(f".shards_{ACCOUNT}/{name}-{i}", Timestamp(now()), lower, upper, object_count=3,
                         state=ShardRange.ACTIVE) for i, (lower, upper) in enumerate([("", "m"), ("m", "")])]
    broker.merge_shard_ranges(shards)
    assert broker.set_sharding_state()
    assert broker.set_sharded_state()


def misplaced(name):
    broker = container(name)
    other = path("containers", ACCOUNT, "somewhere else")
    os.makedirs(os.path.dirname(other))
    os.rename(broker.db_file, other)


account = AccountBroker(path("accounts", ACCOUNT), account=ACCOUNT)
account.initialize(now())
for name in ("good", "drifted", "bad-row", "synced"):
    account.put_container(name, now(), "0", 3, 30, 0)
account.get_info()
container("good", 2500)
change(container("drifted"), "UPDATE policy_stat SET object_count = 5")
change(container("bad-row"), "INSERT INTO object (name, created_at, size) VALUES ('nonsense', 'yesterday', 1)")
change(container("synced"), "UPDATE container_info SET x_container_sync_point1 = 3")
before_policies("before-policies")
half_written("half-written")
damaged("damaged")
divided("divided")
misplaced("misplaced")
