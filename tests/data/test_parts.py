"""Parts of an annotation file share no picture, whatever the names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.data.parts import same_content, split_document
from ofa_pose.errors import DataError, UsageError


def document(images: int, files: int | None = None) -> dict[str, Any]:
    """Images 0, 1, …, the n-th of file n modulo `files`, with n % 3 people each."""
    names = [f"{n % (files or images)}.jpg" for n in range(images)]
    return {
        "info": {"year": 2024},
        "images": [{"id": n, "file_name": name} for n, name in enumerate(names)],
        "annotations": [
            {"id": 9 * n + p, "image_id": n} for n in range(images) for p in range(n % 3)
        ],
    }


@given(files=st.integers(4, 60), copies=st.integers(1, 3), seed=st.integers(0, 99))
def test_parts_share_nothing_and_lose_nothing(files: int, copies: int, seed: int) -> None:
    whole = document(files * copies, files)
    parts = split_document(whole, {"a": 0.5, "b": 0.25, "c": 0.25}, seed=seed)
    names = [{image["file_name"] for image in part["images"]} for part in parts.values()]
    assert not names[0] & names[1]
    assert not names[0] & names[2]
    assert not names[1] & names[2]
    for key in ("images", "annotations"):
        kept = [entry["id"] for part in parts.values() for entry in part[key]]
        assert sorted(kept) == [entry["id"] for entry in whole[key]]
    for part in parts.values():
        ids = {image["id"] for image in part["images"]}
        assert {entry["image_id"] for entry in part["annotations"]} <= ids
        assert part["info"] == {"year": 2024}
    assert abs(len(names[0]) - files / 2) <= 1


def test_a_seed_is_a_split() -> None:
    splits = [split_document(document(30), {"a": 0.5}, seed=seed) for seed in (1, 1, 2)]
    assert splits[0] == splits[1]
    assert splits[0] != splits[2]


def test_copies_of_a_picture_stay_together(tmp_path: Path) -> None:
    for name, content in {"0.jpg": b"one", "1.jpg": b"two", "2.jpg": b"one"}.items():
        (tmp_path / name).write_bytes(content)
    texts = same_content(document(4), tmp_path)
    assert texts["0.jpg"] == texts["2.jpg"] != texts["1.jpg"]
    assert texts["3.jpg"] == "3.jpg"  # it is not there
    parts = split_document(document(4), {"a": 0.34, "b": 0.66}, seed=0, folder=tmp_path)
    together = [{image["id"] for image in part["images"]} & {0, 2} for part in parts.values()]
    assert {0, 2} in together
    assert same_content(document(2), None) == {"0.jpg": "0.jpg", "1.jpg": "1.jpg"}


@pytest.mark.parametrize("shares", [{}, {"a": 0.0}, {"a": 0.7, "b": 0.4}, {"a": float("nan")}])
def test_impossible_shares(shares: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="shares must"):
        split_document(document(9), shares, seed=0)


def test_too_few_pictures() -> None:
    with pytest.raises(DataError, match="2 pictures are too few: part 'b' would be empty"):
        split_document(document(2), {"a": 0.9, "b": 0.1}, seed=0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": [{"id": 1, "file_name": "a"}] * 2}, "1 image ids are used twice"),
        ({"images": [{"id": 1}]}, "images without a file name"),
        ({"images": [7]}, "no objects"),
        ({"annotations": [{"image_id": [1]}, 3]}, "2 annotations are of no image"),
    ],
)
def test_what_is_doubtful_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        split_document({**document(9), **change}, {"a": 0.5}, seed=0)


def test_no_two_uses_of_a_seed_share_their_numbers():
    from ofa_pose.data import mixed, parts, pasted
    from ofa_pose.data.synth import scenes

    words = [module._SEED for module in (mixed, parts, pasted, scenes)]
    assert len(set(words)) == len(words)
