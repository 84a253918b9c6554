"""`ofa-pose latency`: measure latency tables, list them, predict with them, adapt them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ofa_pose.catalog import OWN_TABLES, load_space
from ofa_pose.cli._archs import HELP
from ofa_pose.cli._commands import refuse_idle
from ofa_pose.cli._options import (
    InterpolateOption,
    JsonOption,
    SeedOption,
    SkeletonOption,
    joints,
)
from ofa_pose.cli._verbs import Verbs
from ofa_pose.errors import UsageError
from ofa_pose.outputs import output_file

app = typer.Typer(
    cls=Verbs,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Measure latency tables, predict with them, adapt them to another device.",
)

TableFolderOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="FOLDER",
        help="Folder of the table's two files; tables in the default folder are found by name.",
    ),
]
DescribeOption = Annotated[
    str | None, typer.Option("--describe", metavar="TEXT", help="The device in words, for people.")
]


@app.command("ls", epilog="Example: ofa-pose latency ls")
def list_tables(as_json: JsonOption = False) -> None:
    """List the tables that can be given by name; OFA_POSE_PATH adds folders."""
    from ofa_pose.cli._latency_tables import show_tables

    show_tables(as_json=as_json)


@app.command(
    "predict",
    epilog="Example: ofa-pose latency predict --table x86-onnxruntime --space litepose-xs "
    "--arch XS\n\n"
    "Example: ofa-pose latency predict runs/search-litepose-lite0/S.yaml "
    "--table x86-onnxruntime --json"
    "\n\n"
    "Example: ofa-pose latency predict --table x86-onnxruntime --space litepose-xs "
    "--out costs.csv",
)
def predict(
    table: Annotated[
        list[str],
        typer.Option(
            "--table", metavar="NAME|FILE", help="A table that `ls` lists; may be repeated."
        ),
    ],
    tier: Annotated[
        Path | None, typer.Argument(metavar="[TIER.yaml]", help="A network that a search found.")
    ] = None,
    space: Annotated[
        str | None,
        typer.Option("--space", metavar="NAME|FILE", help="The space, whole or --arch of it."),
    ] = None,
    arch: Annotated[str | None, typer.Option("--arch", metavar="ARCH", help=HELP)] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE.csv", help="Write every cost of every arch of the space."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file of --out.")] = False,
    skeleton: SkeletonOption = None,
    interpolate: InterpolateOption = False,
    seed: SeedOption = 0,
    as_json: JsonOption = False,
) -> None:
    """Predict what a tier, an arch or every arch of a space takes, and say how sure that is."""
    from ofa_pose.cli._archs import options_of, parse_arch
    from ofa_pose.cli._latency_predictions import Wanted, predict_network, predict_space
    from ofa_pose.cost import LatencyTable
    from ofa_pose.cost.latency_files import find_table
    from ofa_pose.export import load_tier

    wanted = Wanted([LatencyTable.load(name) for name in table], interpolate, as_json=as_json)
    if tier is not None:
        if any((space, arch, out, skeleton)):
            raise UsageError("a tier is given: it has its own space, arch and skeleton")
        found = load_tier(tier, check_weights=False)
        predict_network(wanted, found.space, found.arch, found.family_options)
        return
    if space is None:
        raise UsageError("give a TIER.yaml, or --space NAME with or without --arch")
    if out is not None:
        tables = [find_table(name) for name in table]
        reads = [*tables, *(path.with_suffix(".csv") for path in tables), space, skeleton]
        out = output_file(out, force=force, reads=reads)
    declared = load_space(space)
    if arch is None:
        predict_space(wanted, declared, joints(skeleton), out=out)
        return
    if out is not None:
        raise UsageError("--out is for a whole space; leave --arch out")
    chosen = parse_arch(declared, arch, seed=seed)
    predict_network(wanted, declared, chosen, options_of(arch, skeleton))


@app.command(
    "adapt",
    epilog="Example: ofa-pose latency adapt --from x86-onnxruntime --points points.csv "
    "--name rpi4\n\n"
    "points.csv: a line space,arch,latency_ms, then a line a network, such as "
    "litepose-xs,XS,109",
)
def adapt(
    base: Annotated[
        str, typer.Option("--from", metavar="NAME|FILE", help="A full table of another device.")
    ],
    points: Annotated[
        Path,
        typer.Option(
            "--points", metavar="FILE.csv", help="Times of 5 to 20 whole networks on the device."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Name of the new table.")],
    space: Annotated[
        str | None,
        typer.Option("--space", metavar="NAME|FILE", help="Space of points that name none."),
    ] = None,
    device: DescribeOption = None,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", metavar="TEXT", help="What ran the networks there, in words."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Threads that the runtime used there.")
    ] = None,
    skeleton: SkeletonOption = None,
    interpolate: InterpolateOption = False,
    out: TableFolderOption = OWN_TABLES,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an adapted table of the same name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a table for a device from another's and the times of a few whole networks on it.

    The new table is marked as adapted and carries its leave-one-out error.
    """
    from ofa_pose.cli._latency_adapting import refuse_measured_name, tell_adaptation
    from ofa_pose.cost import LatencyTable
    from ofa_pose.cost.latency_adapt import adapt as adapt_table
    from ofa_pose.cost.latency_points import read_points

    refuse_measured_name(name, out, force=force)
    for suffix in (".yaml", ".csv"):
        output_file(out / f"{name}{suffix}", force=True, reads=[points])
    adaptation = adapt_table(
        LatencyTable.load(base),
        read_points(points, space=space),
        name=name,
        device=device,
        runtime=runtime,
        threads=threads,
        interpolate=interpolate,
        **joints(skeleton),
    )
    path = adaptation.table.save(out)
    tell_adaptation(adaptation, path, as_json=as_json)


SpacesOption = Annotated[
    list[str],
    typer.Option(
        "--space",
        metavar="NAME|FILE",
        help="The space whose units are measured; may be repeated for one table of several.",
    ),
]
RuntimeOption = Annotated[
    str,
    typer.Option("--runtime", metavar="NAME", help="onnxruntime, ncnn, openvino, litert or torch."),
]
BundleRuntimeOption = Annotated[
    str, typer.Option("--runtime", metavar="NAME", help="onnxruntime, ncnn or litert.")
]
WorkOption = Annotated[
    Path | None,
    typer.Option(
        "--work",
        metavar="FOLDER",
        help="Where measurements are kept to go on from; default: runs/latency-<table>.",
    ),
]
NetworksOption = Annotated[
    int, typer.Option("--networks", min=3, help="Held-out networks of each space to validate on.")
]
HeldOutSeedOption = Annotated[
    int, typer.Option("--seed", min=0, help="Which networks it is validated on.")
]
RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Passes over all networks.")]
_HELD_OUT = ("networks", "seed")
"""The options that choose the networks of a validation."""
ForceTableOption = Annotated[
    bool, typer.Option("--force", help="Start anew, and replace a table of the same name.")
]


@app.command(
    "build",
    epilog="Example: ofa-pose latency build --space litepose-lite0 --runtime onnxruntime "
    "--name mylaptop\n\nThe table is then known as mylaptop-onnxruntime: "
    "ofa-pose search --budget 30ms@mylaptop-onnxruntime",
)
def build(
    context: typer.Context,
    space: SpacesOption,
    runtime: RuntimeOption,
    name: Annotated[
        str, typer.Option("--name", help="Name of this device; the table is NAME-RUNTIME.")
    ],
    threads: Annotated[int, typer.Option("--threads", min=1, help="Threads of the runtime.")] = 1,
    device: DescribeOption = None,
    skeleton: SkeletonOption = None,
    networks: NetworksOption = 50,
    rounds: RoundsOption = 3,
    validate_it: Annotated[
        bool, typer.Option("--validate/--no-validate", help="End by validating the table.")
    ] = True,
    out: TableFolderOption = OWN_TABLES,
    work: WorkOption = None,
    force: ForceTableOption = False,
    seed: HeldOutSeedOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Measure every unit of a space on this machine and make a table of it.

    What is measured is kept: started again with the same options after a kill, it goes on. Let the
    machine be idle.
    """
    from ofa_pose.cli._latency_measuring import make_table

    refuse_idle(context, dict.fromkeys(_HELD_OUT, (validate_it, "it is for the validation")))
    make_table(
        [load_space(one) for one in space],
        runtime,
        name,
        threads=threads,
        skeleton=skeleton,
        out=out,
        work=work,
        device=device,
        rounds=rounds,
        networks=networks if validate_it else 0,
        seed=seed,
        force=force,
        as_json=as_json,
    )


@app.command(
    "validate",
    epilog="Example: ofa-pose latency validate --table mylaptop-onnxruntime\n\n"
    "Example: ofa-pose latency validate --table mylaptop-onnxruntime "
    "--tier runs/search-litepose-lite0/XS.yaml --tier runs/search-litepose-lite0/S.yaml",
)
def validate(
    context: typer.Context,
    table: Annotated[
        str, typer.Option("--table", metavar="NAME|FILE", help="A table of this machine.")
    ],
    tier: Annotated[
        list[Path] | None,
        typer.Option(
            "--tier",
            metavar="TIER.yaml",
            help="Measure this network of a search instead of random ones; may be repeated.",
        ),
    ] = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME|FILE",
            help="Space whose networks are measured; may be repeated; default: those that the "
            "table covers.",
        ),
    ] = None,
    skeleton: SkeletonOption = None,
    networks: NetworksOption = 50,
    work: Annotated[
        Path | None,
        typer.Option(
            "--work",
            metavar="FOLDER",
            help="Keep the measurement there, and go on with what it holds of it.",
        ),
    ] = None,
    seed: HeldOutSeedOption = 2,
    as_json: JsonOption = False,
) -> None:
    """Measure random networks that the table was not made from, and compare.

    Beside it stand the plain sum of units measured alone, and the same networks measured twice,
    which tells how steady the machine is. With --tier the networks are those that a search found,
    and beside what they take stands the budget that they were found under.
    """
    from ofa_pose.cli._latency_measuring import validate_table
    from ofa_pose.cli._latency_tiers import validate_tiers

    if tier:
        if space or skeleton:
            raise UsageError("--tier is given: a tier has its own space and skeleton")
        refuse_idle(context, dict.fromkeys(_HELD_OUT, (False, "it is for random networks")))
        validate_tiers(table, tier, work=work, as_json=as_json)
        return
    validate_table(
        table,
        [load_space(one) for one in space or ()],
        skeleton=skeleton,
        networks=networks,
        work=work,
        seed=seed,
        as_json=as_json,
    )


@app.command(
    "bundle",
    epilog="Example: ofa-pose latency bundle --space litepose-xs --runtime ncnn --out bundle",
)
def bundle(
    space: SpacesOption,
    runtime: BundleRuntimeOption,
    out: Annotated[
        Path, typer.Option("--out", metavar="FOLDER", help="Folder that is written; new, or empty.")
    ],
    skeleton: SkeletonOption = None,
    rounds: RoundsOption = 3,
    as_json: JsonOption = False,
) -> None:
    """Write a folder that measures another device with Python, numpy and the runtime alone."""
    from ofa_pose.cli._latency_measuring import make_bundle

    make_bundle(
        [load_space(one) for one in space],
        runtime,
        out,
        skeleton=skeleton,
        rounds=rounds,
        as_json=as_json,
    )


@app.command("import", epilog="Example: ofa-pose latency import bundle/results.csv --name rpi4")
def import_(
    results: Annotated[
        Path, typer.Argument(metavar="RESULTS.csv", help="What a bundle's measure.py wrote.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="Name of the device; the table is NAME-RUNTIME.")
    ],
    device: DescribeOption = None,
    space: Annotated[
        list[str] | None,
        typer.Option(
            "--space",
            metavar="NAME|FILE",
            help="A measured space that is not known here by its name; may be repeated.",
        ),
    ] = None,
    skeleton: SkeletonOption = None,
    out: TableFolderOption = OWN_TABLES,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a table of the same name.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a table of what a bundle has measured."""
    from ofa_pose.cli._latency_measuring import import_table

    import_table(
        results,
        name=name,
        device=device,
        spaces=[load_space(one) for one in space or ()],
        skeleton=skeleton,
        out=out,
        force=force,
        as_json=as_json,
    )
