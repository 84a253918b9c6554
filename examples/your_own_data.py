r"""Your own pictures and your own joints: from a table of annotations to a network that predicts.

    python examples/your_own_data.py photos joints.csv five.yaml --space litepose-lite0 \
        --init imagenet --budget 300M --minutes 60

`joints.csv` has a line for each joint that somebody marked: picture, person, joint, x, y, seen (0
where the joint is hidden, else 1). Only `coco_document` is specific to that form; after it all is
commands, which are printed as they are run. Without arguments it takes some minutes and shows the
way, no more: painted people are annotated with the joints of five_joints.yaml, and networks too
small to be right learn from them.
"""

import argparse
import csv
import json
import shlex
from pathlib import Path
from typing import Any

import ofa_pose as op
from ofa_pose.cli.main import run
from ofa_pose.data import SyntheticScenes

FIVE = Path(__file__).with_name("five_joints.yaml")


def paint(folder: Path, count: int) -> tuple[Path, Path]:
    """Write painted people and the table that an annotator would have made of them."""
    scenes = SyntheticScenes(seed=0, count=count, skeleton=op.load_skeleton(FIVE), people=(1, 2))
    rows = []
    for number in range(count):
        scene = scenes[number]
        name = f"{number:04d}.png"
        op.write_picture(folder / "pictures" / name, scene.image)
        for person, joints in enumerate(scene.keypoints):
            for joint, (x, y, v) in zip(scenes.skeleton.joints, joints.tolist(), strict=True):
                if v > 0:
                    rows.append((name, person, joint, round(x, 1), round(y, 1), int(v == 2)))
    table = folder / "joints.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("picture", "person", "joint", "x", "y", "seen"))
        writer.writerows(rows)
    return folder / "pictures", table


def coco_document(pictures: Path, table: Path, skeleton: op.Skeleton) -> dict[str, Any]:
    """Return the table as COCO-keypoint annotations.

    A joint is x, y and v: 2 seen, 1 hidden, 0 not marked. Boxes and areas may be left out; they are
    then taken from the joints. Pixels count from the middle of the upper left one.
    """
    names = sorted(path.name for path in pictures.iterdir())
    people: dict[tuple[str, str], list[list[float]]] = {}
    with table.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            who = (row["picture"], row["person"])
            joints = people.setdefault(who, [[0, 0, 0] for _ in skeleton.joints])
            place = skeleton.joints.index(row["joint"])
            joints[place] = [float(row["x"]), float(row["y"]), 1 + int(row["seen"])]
    ids = {name: number for number, name in enumerate(names, start=1)}
    return {
        "images": [{"id": ids[name], "file_name": name} for name in names],
        "annotations": [
            {
                "id": number,
                "image_id": ids[name],
                "category_id": 1,
                "keypoints": [value for joint in joints for value in joint],
            }
            for number, ((name, _), joints) in enumerate(people.items(), start=1)
        ],
        "categories": [{"id": 1, "name": "person", "keypoints": list(skeleton.joints)}],
    }


def command(*words: str | Path | float) -> None:
    """Print a command line and run it; a failed one ends the script."""
    line = [str(word) for word in words]
    print(f"$ ofa-pose {shlex.join(line)}", flush=True)
    code = run(line)
    if code:
        raise SystemExit(code)


def main() -> None:
    """Convert, look over, cut into parts; train, search, fine-tune, predict."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("pictures", type=Path, nargs="?", help="folder")
    parser.add_argument("table", type=Path, nargs="?", help="CSV")
    parser.add_argument("skeleton", type=Path, nargs="?", default=FIVE, help="YAML")
    parser.add_argument("--painted", type=int, default=60, help="people's pictures, if none given")
    parser.add_argument("--space", default="toy", help="litepose-lite0 for networks of use")
    parser.add_argument("--init", default=None, help="imagenet goes with litepose-lite0")
    parser.add_argument("--budget", default="0.4M")
    parser.add_argument("--minutes", type=float, default=1, help="of training, and of fine-tuning")
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--out", type=Path, default=Path("runs/own"))
    given = parser.parse_args()

    out = given.out
    if given.table is None:
        given.pictures, given.table = paint(out, given.painted)
    skeleton = op.load_skeleton(given.skeleton)
    whole, parts = out / "all.json", out / "set"
    out.mkdir(parents=True, exist_ok=True)
    whole.write_text(json.dumps(coco_document(given.pictures, given.table, skeleton)))
    joints = ("--skeleton", given.skeleton)
    photos = ("--images", given.pictures)
    command("data", "check", whole, *photos, *joints, "--sheet", out / "look.png", "--force")
    shares = ("--part", "train=0.8", "--part", "val=0.2")
    command("data", "split", whole, *photos, *shares, "--out", parts)

    train, found, tuned = (out / name for name in ("train", "search", "tuned"))
    learn = ("--data", parts, "--minutes", given.minutes, "--workers", 0)
    start = ("--init", given.init) if given.init else ()
    command("train", "--space", given.space, *joints, *start, *learn, "--out", train)
    budget = ("--budget", given.budget, "--evaluations", given.evaluations)
    command("search", "--supernet", train, "--data", parts, *budget, "--out", found)
    (tier,) = (path for path in found.glob("*.yaml") if path.name != "config.yaml")
    command("finetune", tier, *learn, "--out", tuned)
    command("predict", tuned / tier.name, given.pictures, "--out", out / "people")


if __name__ == "__main__":
    main()
