"""What `latency predict` prints: one network unit by unit, or a whole space in summary."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.cli import _console
from ofa_pose.cli._latency_tables import trust
from ofa_pose.files import atomic_path

if TYPE_CHECKING:
    import numpy as np

    from ofa_pose.cost import CostTable, LatencyTable
    from ofa_pose.space import Arch, SearchSpace

_QUANTILES = {"fastest": 0.0, "quartile": 0.25, "median": 0.5, "slowest": 1.0}


@dataclass(frozen=True)
class Wanted:
    """How predictions are made and shown.

    Attributes:
        tables: one prediction is made with each.
        interpolate: whether missing units are estimated.
        as_json: for machines.
    """

    tables: Sequence[LatencyTable]
    interpolate: bool
    as_json: bool = False


def predict_network(
    wanted: Wanted, space: SearchSpace, arch: Arch, options: Mapping[str, Any]
) -> None:
    """Print what one network takes under every table, and its units' parts of that.

    Raises:
        LatencyError: a table misses units.
    """
    from ofa_pose.models import plan

    units = plan(space, arch, **options).units
    specs = [unit.spec for unit in units]
    tables = [table.covering(specs) if wanted.interpolate else table for table in wanted.tables]
    totals = [table.predict(space, arch, **options) for table in tables]
    parts = [[table.contribution(spec) for spec in specs] for table in tables]
    if wanted.as_json:
        _console.emit_json(
            {
                "space": space.name,
                "arch": arch.to_dict(),
                "tables": [
                    {
                        "name": table.name,
                        "latency_ms": total,
                        "interpolated_units": len(given.missing(specs)),
                        "trust": trust(given),
                        "units": [
                            {"name": unit.name, "key": unit.spec.key, "latency_ms": part}
                            for unit, part in zip(units, own, strict=True)
                        ],
                    }
                    for given, table, total, own in zip(
                        wanted.tables, tables, totals, parts, strict=True
                    )
                ],
            }
        )
        return
    values = ", ".join(f"{name} {value}" for name, value in arch.items())
    _console.line(f"{space.name}: {values}")
    rows = [
        (unit.name, unit.spec.key, *own)
        for unit, own in zip(units, zip(*parts, strict=True), strict=True)
    ]
    _console.table(("unit", "what", *(f"ms {table.name}" for table in tables)), rows)
    _console.line()
    for table, total in zip(tables, totals, strict=True):
        _console.line(f"{table.name}: {total:.3f} ms for one picture; {trust(table)}")


def predict_space(
    wanted: Wanted, space: SearchSpace, options: Mapping[str, Any], *, out: Path | None
) -> None:
    """Print the spread of the latencies of a space's archs; write all costs to `out`.

    Raises:
        LatencyError: a table misses units.
        OfaPoseError: the file cannot be written.
    """
    from ofa_pose.cost import CostTable

    costs = CostTable(space, **options)
    for table in wanted.tables:
        costs.use(table.covering(costs.specs_of_all) if wanted.interpolate else table)
    found = {table.name: costs[f"latency:{table.name}"] for table in wanted.tables}
    if out is not None:
        _write(out, costs, list(found))
    missing = {table.name: len(table.missing(costs.specs_of_all)) for table in wanted.tables}
    spread = {name: _spread(latencies) for name, latencies in found.items()}
    if wanted.as_json:
        tables = [
            {
                "name": table.name,
                "latency_ms": spread[table.name],
                "fastest_arch": space[int(found[table.name].argmin())].to_dict(),
                "slowest_arch": space[int(found[table.name].argmax())].to_dict(),
                "interpolated_units": missing[table.name],
                "trust": trust(table),
            }
            for table in wanted.tables
        ]
        document = {"space": space.name, "archs": len(space), "tables": tables}
        _console.emit_json({**document, "file": out} if out else document)
        return
    _console.line(f"{space.name}: {len(space):,} archs, {len(costs.specs_of_all):,} units")
    headers = ("ms for one picture", *_QUANTILES)
    _console.table(headers, [(name, *spread[name].values()) for name in found])
    for table in wanted.tables:
        _console.line(trust(table))
    if out is not None:
        _console.line(f"wrote every arch's costs to {out}")


def _spread(latencies: np.ndarray) -> dict[str, float]:
    import numpy as np

    values = np.quantile(latencies, list(_QUANTILES.values()))
    return dict(zip(_QUANTILES, values.tolist(), strict=True))


def _write(path: Path, costs: CostTable, tables: Sequence[str]) -> None:
    import numpy as np

    frame = costs.frame(latencies=tables)
    genes = costs.space.genes_of(np.arange(len(costs.space)))
    for position, choice in enumerate(costs.space.choices):
        frame.insert(position, choice.name, np.array(choice.values)[genes[:, position]])
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index_label="index")
