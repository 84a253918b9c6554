"""What the whole recipe of the paper costs in GPU hours: by arithmetic, not measured.

    python examples/cost_at_full_scale.py --tera-macs 1

A step of training costs about three passes forward (one forward, two backward), so a stage takes

    epochs x pictures x 3 x exact MACs of the network / (MACs a second that a GPU sustains)

Epochs are those of crowdpose_on_eight_gpus.sh and coco_on_eight_gpus.sh, which are the paper's;
pictures are the training sets'; a supernet's MACs are the mean over its space, as every arch is
drawn equally often. The speed is an assumption: 1 TMAC/s is an eighth of what a V100 could do in
float32 (15.7 TFLOP/s), as depthwise convolutions wait for memory. Yours is 3 x MACs x pictures a
second; a run's log tells how many those are. Validation, reading and decoding pictures, and what
eight GPUs lose by waiting for one another are not in it.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import ofa_pose as op

PASSES = 3
CROWDPOSE, CROWDPOSE_VAL = 10_000, 2_000  # of 20,000, cut 5:1:4 (Li et al., 2019)
COCO = 64_115  # pictures of train2017 that show people; the other 54,172 are left out
EVALUATIONS = 400


@dataclass(frozen=True)
class Stage:
    """One stage: what it is, pictures it passes (in all), MACs and passes of a picture."""

    name: str
    pictures: float
    macs: float
    passes: int = PASSES

    def gpu_hours(self, tera_macs: float) -> float:
        """Return the hours that one GPU takes."""
        return self.pictures * self.passes * self.macs / (tera_macs * 1e12) / 3600


def stages(script: str, name: str) -> Iterator[Stage]:
    """Yield the stages of a script for a space."""
    space = op.load_space(name)
    if script == "crowdpose":
        mean = float(op.CostTable(space)["macs_exact"].mean())
        largest = op.count(space, space.largest, skeleton="crowdpose").macs["exact"]
        epochs = {"litepose": 800, "litepose-xs": 2400}[name]
        yield Stage("pre-training, COCO, 100 epochs", 100 * COCO, largest)
        yield Stage(f"supernet, {epochs:,} epochs", epochs * CROWDPOSE, mean)
        yield Stage(f"search, {EVALUATIONS} archs", EVALUATIONS * CROWDPOSE_VAL, mean, passes=1)
    for tier in space.tiers:
        skeleton = "crowdpose" if script == "crowdpose" else "coco"
        macs = op.count(space, space.archs[tier], skeleton=skeleton).macs["exact"]
        epochs, pictures = {"crowdpose": (200, CROWDPOSE), "coco": (500, COCO)}[script]
        yield Stage(f"fine-tuning {tier}, {epochs} epochs", epochs * pictures, macs)


def main() -> None:
    """Print every stage's hours, and their sums."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--tera-macs", type=float, default=1.0, help="a second, of one GPU")
    given = parser.parse_args()
    print(f"assumed: {given.tera_macs:g} TMAC/s a GPU in training")
    for script in ("crowdpose", "coco"):
        for name in ("litepose-xs", "litepose"):
            print(f"{script}_on_eight_gpus.sh {name}")
            total = 0.0
            for stage in stages(script, name):
                hours = stage.gpu_hours(given.tera_macs)
                total += hours
                print(f"  {hours:6.1f} GPU hours  {stage.name} ({stage.macs / 1e9:.2f} GMACs)")
            print(f"  {total:6.0f} GPU hours in all, {total / 8:.0f} hours on eight")


if __name__ == "__main__":
    main()
