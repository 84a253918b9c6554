"""`ofa-pose macs`: what one network costs, unit by unit and in total."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from ofa_pose.catalog import load_space
from ofa_pose.cli import _console
from ofa_pose.cli._archs import HELP, options_of, parse_arch
from ofa_pose.cli._options import JsonOption, SeedOption, SkeletonOption

if TYPE_CHECKING:
    from ofa_pose.cost import Cost
    from ofa_pose.space import Arch, SearchSpace

EPILOG = (
    "Example: ofa-pose macs --space litepose-xs --arch XS\n\n"
    "Example: ofa-pose macs --space litepose --arch L --skeleton coco --json\n\n"
    "Example: ofa-pose macs --space litepose-xs --arch XS --published"
)


def command(
    space: Annotated[
        str, typer.Option("--space", metavar="NAME|FILE", help="The space the arch belongs to.")
    ],
    arch: Annotated[str, typer.Option("--arch", metavar="ARCH", help=HELP)] = "largest",
    skeleton: SkeletonOption = None,
    seed: SeedOption = 0,
    published: Annotated[
        bool,
        typer.Option(
            "--published",
            help="Print the arch in the JSON form of LitePose's authors, and nothing else.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Count a network's MACs in every convention, its parameters and its peak memory.

    exact counts convolutions once, a transposed one at its input's size; paper counts as the
    LitePose paper does; thop is what thop.profile prints.
    """
    from ofa_pose.cost import count
    from ofa_pose.models.published import arch_to_published

    declared = load_space(space)
    chosen = parse_arch(declared, arch, seed=seed)
    if published:
        _console.emit_json(arch_to_published(declared, chosen))
        return
    cost = count(declared, chosen, **options_of(arch, skeleton))
    if as_json:
        _console.emit_json(_document(declared, chosen, cost))
    else:
        _show(declared, chosen, cost)


def _document(space: SearchSpace, arch: Arch, cost: Cost) -> dict[str, Any]:
    return {
        "space": space.name,
        "arch": arch.to_dict(),
        "macs": dict(cost.macs),
        "params": cost.params,
        "peak_memory_bytes": cost.peak_memory,
        "units": [
            {
                "name": unit.name,
                "key": unit.key,
                "macs": dict(unit.macs),
                "params": unit.params,
                "peak_memory_bytes": unit.peak_memory,
            }
            for unit in cost.units
        ],
    }


def _show(space: SearchSpace, arch: Arch, cost: Cost) -> None:
    values = ", ".join(f"{name} {value}" for name, value in arch.items())
    _console.line(f"{space.name}: {values}")
    conventions = list(cost.macs)
    rows = [
        (unit.name, unit.key, *(unit.macs[name] for name in conventions), unit.params,
         unit.peak_memory)
        for unit in cost.units
    ]  # fmt: skip
    headers = ("unit", "what", *(f"MACs {name}" for name in conventions), "params", "peak bytes")
    _console.table(headers, rows)
    _console.line()
    for name in conventions:
        _console.line(f"MACs ({name}): {cost.macs[name]:,} = {cost.macs[name] / 1e9:.4f} G")
    _console.line(f"parameters: {cost.params:,} = {cost.params / 1e6:.4f} M")
    _console.line(f"peak activation memory: {cost.peak_memory:,} bytes, one image, float32")
