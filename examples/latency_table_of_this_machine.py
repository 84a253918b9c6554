r"""A latency table of this machine: measured, validated, searched under, and its winner timed.

    python examples/latency_table_of_this_machine.py --space litepose-lite0 --runtime onnxruntime

With the default space, `toy`, it takes a minute and needs no runtime but torch. Networks are not
scored here: the one with the most MACs within the budget wins. A `SubnetEvaluator` in place of
`most_macs` searches for AP (search_with_the_starter.py). The same at the command line:

    ofa-pose latency build --space litepose-lite0 --runtime onnxruntime --name mine
    ofa-pose search --budget 20ms@mine-onnxruntime
    ofa-pose latency validate --table mine-onnxruntime \
        --tier runs/search-litepose-lite0/20ms-mine-onnxruntime.yaml
"""

import argparse
from pathlib import Path

import numpy as np

import ofa_pose as op
from ofa_pose.latency import Effort, build_table, time_networks, validate


def main() -> None:
    """Measure, validate, search, measure the winner."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--space", default="toy")
    parser.add_argument("--runtime", default="torch", help="onnxruntime, ncnn, openvino, torch")
    parser.add_argument("--rounds", type=int, default=3, help="of measuring; more are steadier")
    parser.add_argument("--networks", type=int, default=12, help="to validate on")
    parser.add_argument("--budget", type=float, help="ms; default: the space's median")
    parser.add_argument("--out", type=Path, default=Path("runs/latency-example"))
    given = parser.parse_args()

    space = op.load_space(given.space)
    costs = op.CostTable(space)
    table = build_table(
        [costs],
        runtime=given.runtime,
        name="mine",
        work=given.out / "build",  # started again, it goes on where it was killed
        effort=Effort(rounds=given.rounds),
    )
    file = table.save(given.out)  # in predictors/latency it would be found by its name
    print(f"{file}: {len(table.rows)} units, {table.info.processor}, {table.info.threads} thread")

    checked = validate(table, [costs], work=given.out / "checked", networks=given.networks)
    found = checked.section()
    print(
        f"{found.networks} networks that it was not made from: off by {found.mape:.1%} on average"
    )
    if found.plain_sum and found.noise_floor:
        print(f"units measured alone and added up: {found.plain_sum.mape:.1%}", end="; ")
        print(f"the same networks measured twice: {found.noise_floor.mape:.1%}")

    costs.use(table)
    times, macs = costs[f"latency:{table.name}"], costs["macs_exact"]
    print(f"{len(space):,} networks: {times.min():.2f} to {times.max():.2f} ms predicted")
    budget = given.budget or float(np.median(times))

    def most_macs(arch: op.Arch) -> dict[str, float]:
        return {"MACs": float(macs[space.index(arch)])}

    result = op.search(
        space, most_macs, budgets=[f"{budget:.3g}ms@{file}"], objective="MACs", evaluations=40
    )
    (winner,) = result.tiers.values()
    (timed,) = time_networks(table, [(costs, winner.arch)], work=given.out / "winner")
    print(f"within {budget:.3g} ms: {winner.arch.key}, {winner.scores['MACs'] / 1e6:.2f} M MACs,")
    print(f"{timed.predicted_ms:.2f} ms predicted, {timed.measured_ms:.2f} ms measured")


if __name__ == "__main__":
    main()
