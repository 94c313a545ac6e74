"""The real Swift's answers about rings, for tests/ring_oracle.rs.

Reads one job as JSON on standard input, {"do": NAME, ...}, and writes the answer as JSON on standard output.
"""
import copy
import json
import sys

from swift.common import utils
from swift.common.ring import Ring, RingBuilder, RingData


def new_builder(cluster):
    builder = RingBuilder(cluster["part_power"], cluster["replicas"], 1)
    builder.set_overload(cluster["overload"])
    for device in cluster["devices"]:
        builder.add_dev(dict(device))
    return builder


def apply(builder, change):
    for device in change.get("add", []):
        builder.add_dev(dict(device))
    for dev_id in change.get("remove", []):
        builder.remove_dev(dev_id)
    for dev_id, weight in change.get("weigh", []):
        builder.set_dev_weight(dev_id, weight)


def moved(before, after):
    count = 0
    for row, ids in enumerate(after._replica2part2dev):
        old = before._replica2part2dev[row]
        count += sum(old[part] != dev_id for part, dev_id in enumerate(ids))
    return count


def make(job):
    """A builder of this cluster, rebalanced, and its ring in both formats; one device removed so that ids have a hole."""
    builder = new_builder(job["cluster"])
    builder.rebalance(seed="oracle")
    builder.remove_dev(job["remove"])
    builder.rebalance(seed="oracle")
    builder.save(job["path"] + ".builder")
    builder.get_ring().save(job["path"] + ".v1.ring.gz", format_version=1)
    builder.get_ring().save(job["path"] + ".v2.ring.gz", format_version=2)
    return measure(builder)


def measure(builder):
    return {"balance": builder.get_balance(), "dispersion": builder.dispersion, "version": builder.version}


def load(job):
    """A builder file as RingBuilder.load sees it, validated, and whether ring files say the same as the builder."""
    builder = RingBuilder.load(job["builder"])
    builder.validate(stats=True)
    answer = measure(builder)
    ours = builder.get_ring().to_dict()
    answer["same"] = [RingData.load(ring).to_dict() == ours for ring in job["rings"]]
    builder._build_dispersion_graph()
    answer["dispersion_by_swift"] = builder.dispersion
    builder.pretend_min_part_hours_passed()
    builder.add_dev(dict(job["add"]))
    builder.rebalance(seed="oracle")
    builder.validate(stats=True)
    builder.save(job["builder"])
    return answer


def lookup(job):
    """Partition, primaries and all handoffs of each path, [account, container, object] with the last two optional."""
    utils.HASH_PATH_PREFIX = job["prefix"].encode()
    utils.HASH_PATH_SUFFIX = job["suffix"].encode()
    ring = Ring(job["ring"])

    def answer(path):
        part, nodes = ring.get_nodes(*path)
        return [part, [n["id"] for n in nodes], [n["id"] for n in ring.get_more_nodes(part)]]

    return [answer(path) for path in job["paths"]]


def placement(job):
    """Swift's builders of a cluster: first placed, then for each change after one rebalance and after the last needed."""
    first = new_builder(job["cluster"])
    first.rebalance(seed="1")
    first.save(job["path"] + ".first.builder")
    moves = []
    for number, change in enumerate(job["changes"]):
        builder = copy.deepcopy(first)
        builder._id = None
        apply(builder, change)
        by_run = []
        for run in range(job["runs"]):
            before = copy.deepcopy(builder)
            builder.pretend_min_part_hours_passed()
            builder.rebalance(seed=str(run + 1))
            by_run.append(moved(before, builder))
            if run == 0:
                builder.save("%s.%d.once.builder" % (job["path"], number))
            if by_run[-1] == 0:
                break
        builder.save("%s.%d.settled.builder" % (job["path"], number))
        moves.append(by_run)
    return moves


JOBS = {"make": make, "load": load, "lookup": lookup, "placement": placement}


def main():
    jobs = json.load(sys.stdin)
    json.dump([JOBS[job["do"]](job) for job in jobs], sys.stdout)


if __name__ == "__main__":
    main()
