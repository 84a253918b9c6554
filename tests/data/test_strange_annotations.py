"""Some 230 damaged or strange annotation files: each is read right, or refused in one line."""

from __future__ import annotations

import copy
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from ofa_pose.cli.main import run
from ofa_pose.data import open_scenes
from ofa_pose.data.check import SetCheck
from ofa_pose.errors import DataError, OfaPoseError
from ofa_pose.pose import evaluate_predictions
from ofa_pose.skeleton import load_skeleton

SEED = 9
NAN, INFINITE, HUGE = math.nan, math.inf, 10**400
CROWDPOSE = load_skeleton("crowdpose")


@dataclass(frozen=True)
class Strange:
    """The text of an annotation file, and whether it must be read, refused, or either."""

    what: str
    text: str
    read: bool | None = None


def document() -> dict[str, Any]:
    """Return three pictures, four people and a crowd."""
    rng = np.random.default_rng(1)
    people = [
        {
            "id": number + 1,
            "image_id": number % 3,
            "category_id": 1,
            "iscrowd": 0,
            "keypoints": [v for _ in range(14) for v in (*rng.uniform(5, 35, 2).round(1), 2)],
            "num_keypoints": 14,
            "bbox": [5, 5, 30, 30],
            "area": 900.0,
            "segmentation": [[5, 5, 35, 5, 35, 35]],
        }
        for number in range(4)
    ]
    crowd = {
        **{"id": 9, "image_id": 1, "category_id": 1, "iscrowd": 1, "bbox": [1, 1, 5, 5]},
        **{"area": 25, "keypoints": [0] * 42, "num_keypoints": 0},
        "segmentation": {"size": [40, 60], "counts": [100, 50, 2250]},
    }
    images = [
        {"id": n, "file_name": f"{n}.png", "width": 60, "height": 40, "crowdIndex": 0.5}
        for n in range(3)
    ]
    categories = [{"id": 1, "name": "person"}]
    return {"images": images, "annotations": [*people, crowd], "categories": categories}


JOINTS = document()["annotations"][0]["keypoints"]

# Key of an entry -> values that must be refused, values with which the file is read.
IMAGES = {
    "id": (
        [None, True, "0", "", 1.5, NAN, HUGE, 2**63, [0], {}, 1],
        [-7, 0, 2**62],
    ),
    "file_name": (
        [None, 0, "", "\0", "a\0b", "\ud800", ["0.png"], "nowhere.png", "../0.png"],
        ["./0.png", "../images/0.png"],
    ),
    "width": ([True, -1, 0, 1.5, NAN, HUGE, "60", "", [60], {}, 2**31], [60, None]),
    "height": ([False, -40, 0, INFINITE, HUGE, "x"], [40, None]),
    "crowdIndex": ([NAN, INFINITE, HUGE, "high", None, [], True, 1e7], [0, 1, 0.25, -1]),
}
PEOPLE = {
    "id": ([], [None, 1, 2, -1, HUGE, "a", NAN, []]),
    "image_id": ([], [None, "0", 1.5, NAN, HUGE, 99, [0], {}]),
    "category_id": ([], [None, 2, "person", NAN, HUGE, [], {}]),
    "iscrowd": (["0", "x", 2, -1, 0.5, NAN, HUGE, [1], {"a": 1}], [True, False, None, 1]),
    "keypoints": (
        [
            *("x", 1, [1], [1, 2], JOINTS[:-1], JOINTS[:-3], [*JOINTS, 1, 1, 2]),
            *([NAN, *JOINTS[1:]], [INFINITE, *JOINTS[1:]], [HUGE, *JOINTS[1:]]),
            *([1e300, *JOINTS[1:]], [None, *JOINTS[1:]], ["x", *JOINTS[1:]], {"a": 1}),
            *([[1, 2, 2]] * 14, [*JOINTS[:2], NAN, *JOINTS[3:]], [*map(str, JOINTS)]),
            *([3e6, 0, 0, *JOINTS[3:]], [True, *JOINTS[1:]]),
        ],
        [None, [], [0] * 42, [-5, *JOINTS[1:]], [999, *JOINTS[1:]], [*JOINTS[:2], 1, *JOINTS[3:]]],
    ),
    "num_keypoints": ([], [None, -1, 0, 99, NAN, HUGE, "14"]),
    "bbox": (
        [
            *([5, 5, -30, 30], [5, 5, 30, -0.1], [1, 2, 3], [1, 2, 3, 4, 5], [], 7, "wide"),
            *([NAN] * 4, [0, 0, INFINITE, 1], [0, 0, 1e300, 1], [HUGE] * 4, {"x": 1}),
            *([None] * 4, [0, 0, 2e6, 1], ["1", "2", "3", "4"]),
        ],
        [None, [0, 0, 0, 0], [-5, -5, 90, 90]],
    ),
    "area": ([-1, NAN, -INFINITE, HUGE, "large", [900], {}, "9", True, 1e13], [0, 1, 2400.5, None]),
}
# Of the crowd: a region that cannot be made out gives way to the box.
SEGMENTATIONS = [
    *(None, [], [[]], [[1, 2]], [[NAN] * 8], [[1e300] * 8], [["a"] * 8], [[1, 2, 3, 4, 5, None]]),
    *("x", 7, {}, {"size": [40, 60]}, {"counts": [2400]}, {"size": "x", "counts": [1]}),
    *({"size": [40, 60], "counts": counts} for counts in ([1], [-1, 2401], [2**70], ["a"], "zz")),
    *({"size": size, "counts": [2400]} for size in ([60, 40], [2**40, 1], [NAN, 60], None)),
]
WHOLE = [
    *("", " ", "null", "7", '"people"', "[]", "{}", "NaN", "1e999", "{'images': []}", "images: []"),
    *('{"images": [], "annotations": []}', "[" * 100_000, '{"a":' * 100_000, "9" * 5000, "\0" * 99),
    *('{"images": 1, "annotations": 2}', '{"images": [1], "annotations": [1]}'),
]


def changed(where: str, key: str, value: Any, *, entry: int = 0) -> str:
    content = document()
    content[where][entry][key] = value
    return json.dumps(content)


def strange() -> Iterator[Strange]:
    for where, table in (("images", IMAGES), ("annotations", PEOPLE)):
        for key, (refused, read) in table.items():
            for values, is_read in ((refused, False), (read, True)):
                for value in values:
                    text = changed(where, key, value)
                    yield Strange(f"{where} {key} {value!r:.40}", text, is_read)
            content = document()
            del content[where][0][key]
            needed = where == "images" and key in ("id", "file_name")
            yield Strange(f"{where} without {key}", json.dumps(content), not needed)
    for value in SEGMENTATIONS:
        yield Strange(
            f"crowd {value!r:.40}", changed("annotations", "segmentation", value, entry=4), True
        )
    for text in WHOLE:
        yield Strange(f"text {text[:20]!r}", text, False)
    plain = json.dumps(document())
    yield Strange("a byte-order mark", "\ufeff" + plain, True)
    yield Strange("more behind it", plain + "}", False)
    yield Strange("a long number", plain.replace("900.0", "9" * 5000), False)
    twice = document()
    twice["annotations"] += copy.deepcopy(twice["annotations"])
    yield Strange("everybody twice", json.dumps(twice), True)
    rng = np.random.default_rng(SEED)
    for end in rng.integers(0, len(plain) - 1, 20):
        yield Strange(f"cut at {end}", plain[:end], False)
    for number in range(40):
        content = bytearray(plain.encode())
        for place in rng.integers(0, len(content), 1 + number % 5):
            content[place] = rng.choice(list(b'0189-.eE"{}[],: '))
        yield Strange(f"characters changed {number}", content.decode())


@pytest.fixture(scope="module")
def corpus() -> list[Strange]:
    return list(strange())


@pytest.fixture
def photos(tmp_path) -> Path:
    (tmp_path / "annotations").mkdir()
    (tmp_path / "images").mkdir()
    for number in range(3):
        picture = np.full((40, 60, 3), 50 * number, np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{number}.png"), picture)
    return tmp_path


def write(photos: Path, text: str) -> Path:
    path = photos / "annotations" / "val.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    return path


def refusal(photos: Path) -> str | None:
    """Read all there is and score nobody against it; return why it is refused, or None."""
    try:
        scenes = open_scenes(photos, split="val", skeleton=CROWDPOSE)
        for index in range(len(scenes)):
            scene = scenes[index]
            assert np.isfinite(scene.keypoints).all()
            assert (scene.areas >= 0).all()
        scenes.fingerprint()
        evaluate_predictions(scenes.ground_truth(), [], CROWDPOSE)
    except OfaPoseError as error:
        return str(error)
    return None


def test_there_are_enough(corpus):
    assert len(corpus) >= 220


def test_the_plain_one_is_read(photos):
    write(photos, json.dumps(document()))
    assert refusal(photos) is None


def test_each_is_read_or_refused_in_one_line(photos, corpus):
    for case in corpus:
        path = write(photos, case.text)
        why = refusal(photos)
        if case.read is not None:
            assert (why is None) == case.read, f"{case.what}: {why}"
        if why is not None:
            assert str(path) in why or str(photos) in why, case.what
            assert "\n" not in why, case.what
            assert len(why) < 400 + len(str(photos)), case.what


def test_whatever_is_refused_is_a_fault(photos, corpus):
    for case in corpus:
        path = write(photos, case.text)
        if refusal(photos) is None:
            continue
        try:
            report = SetCheck(path, photos / "images", skeleton=CROWDPOSE).run()
        except DataError:
            continue
        assert report.num_faults, case.what


def test_eval_tells_it_in_one_line(photos, tmp_path, capfd):
    from ofa_pose.catalog import load_space
    from ofa_pose.export import make_tier, save_tier
    from ofa_pose.models import build

    space = load_space("toy")
    tier = make_tier("tiny", space, space.smallest)
    network = build(space, space.smallest, skeleton=tier.skeleton, seed=0)
    path = str(save_tier(tmp_path / "tier", tier, network).path)
    texts = {
        json.dumps(document()): 0,
        changed("annotations", "keypoints", [NAN, *JOINTS[1:]]): 1,
        changed("annotations", "bbox", [5, 5, -30, 30]): 1,
        "9" * 5000: 1,
    }
    for text, code in texts.items():
        write(photos, text)
        assert run(["eval", path, "--data", str(photos)]) == code, text[:200]
        lines = [line for line in capfd.readouterr().err.splitlines() if ": eval " not in line]
        assert len(lines) == code
        assert all(line.startswith("ofa-pose: error: ") for line in lines)
