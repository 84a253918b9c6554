r"""Adapt latency tables to three devices of which only three networks' times are published.

    python examples/adapt_latency.py

The LitePose paper gives the times of its XS, S and M on a Jetson Nano, a Snapdragon 855 and a
Raspberry Pi 4B+ (examples/published_latencies). Each is predicted by the other two, from every
measured table at hand, and from a stand-in that takes MACs for time. Three networks are few: the
errors are those of three guesses, and other networks may be further off. Measure 5 to 20.
The same at the command line:

    ofa-pose latency adapt --from x86-onnxruntime --name pi4 \
        --points examples/published_latencies/raspberry-pi-4b.csv
"""

import datetime
from pathlib import Path

import ofa_pose as op
from ofa_pose.catalog import latency_table_names
from ofa_pose.cost import TableInfo, UnitLatency
from ofa_pose.cost.counting import unit_cost
from ofa_pose.cost.latency_adapt import FEW_POINTS, adapt
from ofa_pose.cost.latency_points import read_points

POINTS = Path(__file__).parent / "published_latencies"


def main() -> None:
    """Predict every network by the two others, device by device."""
    space = op.load_space("litepose-xs")  # S and M of space litepose consist of its units, too
    specs = op.CostTable(space).specs_of_all
    tables = [op.LatencyTable.load(path) for path in latency_table_names().values()]
    bases = [
        macs_as_time(space),
        *(t for t in tables if not t.info.adapted and not t.missing(specs)),
    ]
    for path in sorted(POINTS.glob("*.csv")):
        points = read_points(path)
        print(f"{path.stem}, ms: {', '.join(f'{point.latency_ms:g}' for point in points)}")
        for base in bases:
            found = adapt(base, points, name=path.stem)
            left_out = ", ".join(f"{ms:.0f}" for ms in found.predicted)
            print(
                f"  from {base.name}: {left_out} by the others; off by {found.error.mape:.0%} on "
                f"average, {found.error.largest:.0%} at most "
                f"(one factor for all: {found.one_factor.mape:.0%})"
            )
        if len(points) < FEW_POINTS:
            print(f"  {len(points)} networks are few: these errors are little more than anecdotes")


def macs_as_time(space: op.SearchSpace) -> op.LatencyTable:
    """A table that takes a million MACs for a millisecond, for comparison."""
    info = TableInfo.model_validate(
        {
            "name": "MACs",
            "device": "none",
            "processor": "none",
            "runtime": {"name": "none", "version": "none"},
            "threads": 1,
            "date": datetime.date.today(),
            "method": "counted, not measured",
        }
    )
    times = {spec: unit_cost(spec).macs["exact"] / 1e6 for spec in op.CostTable(space).specs_of_all}
    return op.LatencyTable.of(
        info, [UnitLatency(spec.key, ms, ms, 0.0, 0) for spec, ms in times.items()]
    )


if __name__ == "__main__":
    main()
