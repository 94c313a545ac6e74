"""Puts rows into every replica of a container of the real Swift through Swift's own broker, as its container server does:

    rows.py DEVICES CONTAINER FOLDERS IN_EACH

Rows are named f0/00000000 and so on. Prints how many databases it filled.
"""
import pathlib
import sys

from swift.common.utils import Timestamp
from swift.container.backend import ContainerBroker

EMPTY = "d41d8cd98f00b204e9800998ecf8427e"
BATCH = 1000


def rows(folders, in_each):
    created = Timestamp(1_700_000_000).internal
    for folder in range(folders):
        for number in range(in_each):
            yield {
                "name": f"f{folder}/{number:08}", "created_at": created, "size": 0,
                "content_type": "application/octet-stream", "etag": EMPTY, "deleted": 0,
                "storage_policy_index": 0, "ctype_timestamp": None, "meta_timestamp": None,
            }


def main():
    devices, container, folders, in_each = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    filled = 0
    for path in pathlib.Path(devices).glob("*/containers/*/*/*/*.db"):
        broker = ContainerBroker(str(path))
        if broker.get_info()["container"] != container:
            continue
        batch = []
        for row in rows(folders, in_each):
            batch.append(row)
            if len(batch) == BATCH:
                broker.merge_items(batch)
                batch = []
        broker.merge_items(batch)
        filled += 1
    print(filled)


main()
