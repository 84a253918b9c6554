"""The archive on disk is the archive in memory, and refuses what does not belong to it."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.errors import OfaPoseError, RunFolderError
from ofa_pose.search import Archive, Evaluation, to_csv
from ofa_pose.search.table import from_csv
from ofa_pose.space import SearchSpace

NUMBERS = st.one_of(st.integers(0, 10**15), st.floats())
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.just("\n"), max_size=6)
SETTINGS = {"seed": 3, "budgets": [["S", ["macs", 1.5]]]}


@pytest.fixture(scope="module")
def space(make_space: Callable[..., SearchSpace]) -> SearchSpace:
    return make_space(3, 4)


def exact(row: Evaluation) -> str:
    """What a row holds, with NaN equal to NaN but 1 not to 1.0; the order of names is free."""
    changes = {"costs": sorted(row.costs.items()), "scores": sorted(row.scores.items())}
    return repr({**vars(row), **changes})


@given(
    rows=st.lists(
        st.tuples(
            NAMES,
            st.dictionaries(NAMES, NUMBERS, max_size=3),
            st.dictionaries(NAMES, st.floats(), max_size=3),
            NAMES,
        ),
        max_size=5,
    )
)
def test_csv_reads_back_exactly(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation], rows: list[tuple]
) -> None:
    written = [
        make_evaluation(space, i, tier=tier, costs=costs, scores=scores, error=error)
        for i, (tier, costs, scores, error) in enumerate(rows)
    ]
    read = from_csv(to_csv(written, space), space, source="memory")
    assert list(map(exact, read)) == list(map(exact, written))
    assert to_csv(read, space) == to_csv(written, space)


def test_the_csv_is_what_a_reader_expects(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    rows = [
        make_evaluation(space, 5, costs={"macs": 123, "ms": 0.1}, scores={"AP": 1 / 3}),
        make_evaluation(space, 2, costs={"macs": 9, "ms": math.nan}, scores={}, error='a "b", c'),
    ]
    # Genes of 5 are (1, 1), of 2 (0, 2); values are 24, 16, 8 and 32, 24, 16, 8.
    assert to_csv(rows, space) == (
        "order,generation,tier,index,resolution,width1,cost.macs,cost.ms,score.AP,error\n"
        "5,0,S,5,16,24,123,0.1,0.3333333333333333,\n"
        '2,0,S,2,24,16,9,nan,,"a ""b"", c"\n'
    )


def test_every_add_is_on_disk_in_the_order_of_proposals(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    path = tmp_path / "run" / "archive.csv"
    archive = Archive.create(path, space, settings=SETTINGS)
    assert len(Archive.load(path, space)) == 0
    for index in (4, 1, 7):
        archive.add(make_evaluation(space, index))
        assert list(Archive.load(path, space)) == list(archive)
    assert [row.order for row in archive] == [1, 4, 7]
    assert archive.has(4)
    assert not archive.has(5)
    assert sorted(item.name for item in path.parent.iterdir()) == ["archive.csv", "archive.json"]
    header = json.loads((path.parent / "archive.json").read_text())
    assert (header["space"], header["space_hash"]) == ("made-up", space.hash)
    assert header["settings"] == SETTINGS


def test_an_arch_is_in_the_archive_once(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation]
) -> None:
    archive = Archive(space, settings={})
    archive.add(make_evaluation(space, 1))
    with pytest.raises(ValueError, match="24-24 is in the archive already"):
        archive.add(make_evaluation(space, 1, order=2))


def test_an_archive_is_not_overwritten(space: SearchSpace, tmp_path: Path) -> None:
    Archive.create(tmp_path / "archive.csv", space, settings={})
    with pytest.raises(RunFolderError, match=r"archive\.csv exists; resume"):
        Archive.create(tmp_path / "archive.csv", space, settings={})
    with pytest.raises(RunFolderError, match=r"use \.csv"):
        Archive.create(tmp_path / "archive.json", space, settings={})


def test_a_folder_that_cannot_be_written_shows_at_once(space: SearchSpace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OfaPoseError, match="cannot write"):
        Archive.create(tmp_path / "file" / "archive.csv", space, settings={})


def test_another_space_and_other_settings_are_refused(
    space: SearchSpace, make_space: Callable[..., SearchSpace], tmp_path: Path
) -> None:
    path = tmp_path / "archive.csv"
    Archive.create(path, space, settings=SETTINGS)
    Archive.resume(path, space, settings=SETTINGS)
    with pytest.raises(RunFolderError, match="belongs to space 'made-up'.*not to 'other'"):
        Archive.resume(path, make_space(3, 3, name="other"), settings=SETTINGS)
    with pytest.raises(RunFolderError, match="seed was 3, is 4; extra was None, is 1"):
        Archive.resume(path, space, settings={**SETTINGS, "seed": 4, "extra": 1})


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.replace("width1", "width2"), "is not an archive of space 'made-up'"),
        (lambda text: text[:-6] + "\n", "line 3, is damaged: 7 cells, expected 9"),
        (lambda text: text[:-3], "is cut off"),
        (lambda text: text.replace("\n5,0", "\nfive,0"), "line 3, is damaged: .*'five'"),
        (lambda text: text.replace("S,5,16", "S,5,24"), "values are not those of arch 5, 16-24"),
        (lambda text: text.replace("S,5,16", "S,99,16"), "line 3, is damaged: .*99"),
        (lambda text: text + text.splitlines(keepends=True)[-1], "in the archive already"),
        (lambda text: "", "is not an archive"),
    ],
)
def test_a_damaged_archive_is_refused_with_its_line(
    space: SearchSpace,
    make_evaluation: Callable[..., Evaluation],
    tmp_path: Path,
    damage: Callable[[str], str],
    message: str,
) -> None:
    path = tmp_path / "archive.csv"
    archive = Archive.create(path, space, settings={})
    archive.add(make_evaluation(space, 0))
    archive.add(make_evaluation(space, 5))
    path.write_text(damage(path.read_text()))
    with pytest.raises(RunFolderError, match=message):
        Archive.load(path, space)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*No such file"),
        (b"{", "is not JSON"),
        (b"[]", "does not describe an archive"),
        (b"\xff", "not UTF-8"),
        (
            b'{"format": 9, "space": "a", "space_hash": "b", "settings": {}}',
            "format 9; this version reads 1",
        ),
    ],
)
def test_a_damaged_header_is_refused(
    space: SearchSpace, tmp_path: Path, content: bytes | None, message: str
) -> None:
    Archive.create(tmp_path / "archive.csv", space, settings={})
    header = tmp_path / "archive.json"
    header.unlink()
    if content is not None:
        header.write_bytes(content)
    with pytest.raises(RunFolderError, match=message):
        Archive.load(tmp_path / "archive.csv", space)
