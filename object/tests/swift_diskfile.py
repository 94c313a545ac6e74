"""The real Swift's diskfile, for the tests that compare it with our store. Arguments: the devices' folder and a verb.

read NAME...   prints what Swift finds under /a/c/NAME
write NAME     has Swift PUT and POST /a/c/NAME
choose COUNT   invents folders, and prints which files count: names | data meta content-type tombstone | obsolete
"""
import hashlib
import random
import sys

from swift.common import utils
from swift.common.storage_policy import POLICIES
from swift.common.utils import Timestamp

utils.HASH_PATH_PREFIX, utils.HASH_PATH_SUFFIX = b'', b'end'

from swift.obj.diskfile import DiskFileRouter  # noqa: E402  (after the salt is set)

ROOT, VERB, REST = sys.argv[1], sys.argv[2], sys.argv[3:]
MANAGER = DiskFileRouter({'devices': ROOT, 'mount_check': 'false'}, utils.get_logger({}))[POLICIES[0]]


def diskfile(name):
    return MANAGER.get_diskfile('d1', '7', 'a', 'c', name, POLICIES[0])


def read(name):
    found = diskfile(name)
    try:
        with found.open():
            for item in found.get_metadata().items():
                print('%s: %s' % item)
            print('data timestamp: %s' % found.data_timestamp.internal)
            print('body: %s' % b''.join(found.reader()).decode())
    except Exception as error:
        print(type(error).__name__, error.timestamp.internal)


def write(name):
    with diskfile(name).create(size=5) as writer:
        writer.write(b'swift')
        writer.put({'X-Timestamp': Timestamp(100).internal, 'Content-Type': 'text/plain', 'Content-Length': '5',
                    'ETag': hashlib.md5(b'swift').hexdigest(), 'X-Object-Meta-U': '\u00c3\u00a9',
                    'X-Object-Sysmeta-S': 's'})
    diskfile(name).write_metadata({'X-Timestamp': Timestamp(103).internal, 'X-Object-Meta-V': '\u00c3\u00a9',
                                   'Content-Type': 'a/b', 'Content-Type-Timestamp': Timestamp(102).internal})


def choose(rng):
    names = set()
    for _ in range(rng.randint(0, 6)):
        at, ext = Timestamp(rng.randint(1, 9)), rng.choice(['.data', '.meta', '.meta', '.ts'])
        content_type = Timestamp(rng.randint(1, at.raw // 100000)) if ext == '.meta' and rng.random() < .7 else None
        names.add(MANAGER.make_on_disk_filename(at, ext, ctype_timestamp=content_type))
    found = MANAGER.get_ondisk_files(sorted(names), '', verify=False)
    kinds = ('data', 'meta', 'ctype', 'ts')
    chosen = [found['%s_info' % kind]['filename'] if found.get('%s_info' % kind) else '-' for kind in kinds]
    obsolete = [info['filename'] for info in found.get('obsolete', [])]
    print(' '.join(sorted(names)), '|', ' '.join(chosen), '|', ' '.join(obsolete))


if VERB == 'read':
    for wanted in REST:
        read(wanted)
elif VERB == 'write':
    write(REST[0])
else:
    source = random.Random(1)
    for _ in range(int(REST[0])):
        choose(source)
