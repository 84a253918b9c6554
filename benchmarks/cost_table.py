"""What the costs of a whole space take: one call, one query, and that both agree.

    python benchmarks/cost_table.py --space litepose-xs --latency x86-onnxruntime

In one call, from nothing: MACs in three conventions, parameters, peak memory and the latency of
every arch. CPU time is printed beside the time of the clock, which other processes lengthen.
Without --latency the table is made by a formula: the figures do not depend on its numbers.
"""

from __future__ import annotations

import argparse
import datetime
import resource
import sys
import time
from collections.abc import Callable

import numpy as np

import ofa_pose as op
from ofa_pose.cost import TableInfo, UnitLatency
from ofa_pose.models import UnitSpec, family

MB = 1e6
MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    """Measure, compare and print."""
    options = parse()
    space = op.load_space(options.space)
    table = op.LatencyTable.load(options.latency) if options.latency else by_formula(space)
    toy = op.load_space("toy")
    op.count(toy, toy.largest)  # torch's own start, which every program pays once
    before = peak_bytes()
    clock, processor = time.perf_counter(), time.process_time()
    costs = op.CostTable(space)
    arrays = costs.arrays(latencies=[table])
    clock, processor = time.perf_counter() - clock, time.process_time() - processor
    print(
        f"{space.name}: {', '.join(arrays)} of {len(space):,} archs in one call: {clock:.2f} s, "
        f"CPU {processor:.2f} s; process at most {peak_bytes() / MB:.0f} MB, "
        f"{(peak_bytes() - before) / MB:.0f} MB of them for this"
    )
    rng = np.random.default_rng(options.seed)
    archs = [space.sample(rng) for _ in range(options.archs)]
    clock = time.perf_counter()
    single = [one_by_one(space, arch, table) for arch in archs]
    each = (time.perf_counter() - clock) / len(archs)
    whole = [[values[space.index(arch)] for values in arrays.values()] for arch in archs]
    differ = sum(one != other for one, other in zip(single, whole, strict=True))
    print(f"{len(archs):,} random archs one by one, {each * 1e3:.2f} ms each: {differ} differ")
    macs = costs["macs_exact"]
    queries = {
        "of any arch, from the table": [timed(lambda a=a: macs[space.index(a)]) for a in archs],
        "of an arch counted before": [timed(lambda a=a: op.count(space, a).macs) for a in archs],
    }
    for name, seconds in queries.items():
        print(f"one MACs query {name}: median {np.median(seconds) * 1e6:.1f} us")


def by_formula(space: op.SearchSpace) -> op.LatencyTable:
    """A table whose times grow with pixels and channels; in a process that has counted nothing."""
    info = TableInfo.model_validate(
        {
            "name": "formula",
            "device": "none",
            "processor": "none",
            "runtime": {"name": "none", "version": "0"},
            "threads": 1,
            "date": datetime.date(2026, 1, 1),
            "method": "a formula, for this benchmark",
        }
    )
    specs = op.CostTable(space).specs_of_all
    rows = [UnitLatency(spec.key, ms, ms, 0.0, 0) for spec in specs for ms in [milliseconds(spec)]]
    clear_caches()
    return op.LatencyTable.of(info, rows)


def milliseconds(spec: UnitSpec) -> float:
    channels, height, width = spec.in_shapes[0]
    return 0.01 + height * width * (channels + spec.hidden + spec.out_channels) / 3e6


def clear_caches() -> None:
    """Forget the plans that listing the units made, so that the call starts from nothing."""
    family._plan.cache_clear()


def one_by_one(space: op.SearchSpace, arch: op.Arch, table: op.LatencyTable) -> list[float]:
    cost = op.count(space, arch)
    return [*cost.macs.values(), cost.params, cost.peak_memory, table.predict(space, arch)]


def timed(query: Callable[[], object]) -> float:
    start = time.perf_counter()
    query()
    return time.perf_counter() - start


def peak_bytes() -> int:
    """The most memory this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_BYTES


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time the costs of a whole space.")
    parser.add_argument("--space", default="litepose-xs")
    parser.add_argument("--latency", metavar="NAME|FILE", help="a latency table of the space")
    parser.add_argument("--archs", type=int, default=1000, help="archs that are compared")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
