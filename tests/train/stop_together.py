"""What two processes do when the first fails, or a Ctrl-C comes during a validation.

torchrun --nproc-per-node 2 stop_together.py FOLDER led|validation

Each process writes `FOLDER/<its rank>`: what ended it.
"""

import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from conftest import NoiseScenes

from ofa_pose import Supernet, load_space
from ofa_pose.errors import UnknownNameError
from ofa_pose.train import Cadence, Recipe, TrainBudget, World, joined, train_supernet

LONG_S = 300


def fail(kind: str) -> None:
    """Fail as nobody foresaw, or as an error that more than a message makes."""
    if kind == "bug":
        raise ZeroDivisionError("odd")
    raise UnknownNameError("space", "toi", ["toy"])


def led(folder: Path) -> list[str]:
    """Return what each failure of the first process is on this one."""
    told = []
    for kind in ("bug", "mistake"):
        try:
            World.current().led(lambda kind=kind: fail(kind))
        except Exception as error:
            told.append(f"{type(error).__name__}: {error}")
    return [*told, World.current().led(lambda: "still here")]


def validation(folder: Path) -> list[str]:
    """Train until a validation that takes long, and be interrupted there."""

    def validate(step: int) -> dict[str, float]:
        (folder / f"validating.{World.current().rank}").touch()
        time.sleep(LONG_S)
        return {"AP": 0.5}

    try:
        with World.current().open_run(folder / "run", config={"verb": "train"}) as run:
            train_supernet(
                Supernet(load_space("toy"), skeleton="crowdpose"),
                NoiseScenes(),
                run=run,
                recipe=Recipe(batch_size=4),
                budget=TrainBudget(steps=20),
                cadence=Cadence(validate_every=3),
                validate=validate,
                workers=1,
            )
    except KeyboardInterrupt:
        return ["interrupted"]
    return ["trained to the end"]


if __name__ == "__main__":
    place = Path(sys.argv[1])
    with joined("cpu"):
        lines = {"led": led, "validation": validation}[sys.argv[2]](place)
    (place / os.environ["RANK"]).write_text("\n".join(lines))
