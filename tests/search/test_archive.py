"""The archive on disk is the archive in memory, and refuses what does not belong to it."""

import io
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ofa_pose.catalog import load_space
from ofa_pose.errors import OfaPoseError, RunFolderError, UnknownNameError, UsageError
from ofa_pose.search import Archive, Evaluation, Limit, journal, search, to_csv
from ofa_pose.search.archive import journal_path
from ofa_pose.search.proposal import Proposal
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
        st.tuples(st.integers(0, 10**15), st.floats(allow_nan=False), st.floats()), min_size=1,
        max_size=5,
    )
)  # fmt: skip
def test_pandas_reads_every_number_back(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation], rows: list[tuple]
) -> None:
    written = [
        make_evaluation(space, i, costs={"macs": macs, "ms": ms}, scores={"AP": ap})
        for i, (macs, ms, ap) in enumerate(rows)
    ]
    text = to_csv(written, space)
    frame = pd.read_csv(io.StringIO(text))
    assert frame["index"].tolist() == list(range(len(rows)))
    cells = pd.read_csv(io.StringIO(text), dtype=str)  # older pandas rounds the last bit
    columns = zip(*rows, strict=True)
    for name, column in zip(("cost.macs", "cost.ms", "score.AP"), columns, strict=True):
        assert frame[name].dtype.kind in "if"
        found = list(map(float, cells[name]))
        assert found == pytest.approx(list(column), rel=0, abs=0, nan_ok=True)
    assert frame["error"].isna().all()


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
    assert sorted(item.name for item in path.parent.iterdir()) == ["archive.csv", "archive.jsonl"]
    header = json.loads(journal_path(path).read_text().splitlines()[0])
    assert (header["space"], header["space_hash"]) == ("made-up", space.hash)
    assert header["phase"]["settings"] == SETTINGS
    assert len(path.read_text().splitlines()) == 1
    archive.save()
    assert path.read_text() == to_csv(archive, space)


@given(
    rows=st.lists(
        st.tuples(
            NAMES,
            st.dictionaries(NAMES, NUMBERS, max_size=3),
            st.dictionaries(NAMES, st.floats(), max_size=3),
            NAMES,
        ),
        max_size=4,
    )
)
def test_the_journal_reads_back_exactly(
    space: SearchSpace,
    make_evaluation: Callable[..., Evaluation],
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple],
) -> None:
    path = tmp_path_factory.mktemp("journal") / "archive.csv"
    archive = Archive.create(path, space, settings=SETTINGS)
    for i, (tier, costs, scores, error) in enumerate(rows):
        archive.add(make_evaluation(space, i, tier=tier, costs=costs, scores=scores, error=error))
    assert list(map(exact, Archive.load(path, space))) == list(map(exact, archive))


def test_a_line_that_a_kill_left_unfinished_is_passed_over_and_cut_off(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    path = tmp_path / "archive.csv"
    archive = Archive.create(path, space, settings=SETTINGS)
    archive.propose(0, [Proposal(0, 0, "S", 5), Proposal(1, 0, "S", 3)])
    archive.add(make_evaluation(space, 5, order=0))
    before = journal_path(path).read_bytes()
    archive.add(make_evaluation(space, 3, order=1))
    whole = journal_path(path).read_bytes()
    for end in range(len(before), len(whole)):
        journal_path(path).write_bytes(whole[:end])
        assert len(Archive.load(path, space)) == 1
        assert journal_path(path).read_bytes() == whole[:end]
        again = Archive.resume(path, space, settings=SETTINGS)
        assert again.proposals(0) == (Proposal(0, 0, "S", 5), Proposal(1, 0, "S", 3))
        again.add(make_evaluation(space, 3, order=1))
        assert journal_path(path).read_bytes() == whole


def test_lines_are_appended_as_the_bytes_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, where a file is text unless it is opened as binary."""
    path, windows = tmp_path / "archive.jsonl", 0x8000
    opened: list[int] = []
    journal.create(path, {"format": 1})
    monkeypatch.setattr(journal, "_BINARY", windows)
    opening = os.open

    def watched(name: Path, flags: int) -> int:
        opened.append(flags)
        return opening(name, flags)

    monkeypatch.setattr(os, "open", watched)
    journal.append(path, {"a": 1})
    assert opened[0] & windows
    assert path.read_bytes() == b'{"format":1}\n{"a":1}\n'


def test_a_full_disk_leaves_the_journal_as_it_was(
    space: SearchSpace,
    make_evaluation: Callable[..., Evaluation],
    tmp_path: Path,
    full_disk: Callable[[], AbstractContextManager[None]],
) -> None:
    path = tmp_path / "archive.csv"
    archive = Archive.create(path, space, settings=SETTINGS)
    archive.add(make_evaluation(space, 0, tier="x" * 7000))
    before = journal_path(path).read_bytes()
    with full_disk(), pytest.raises(OfaPoseError, match="cannot write"):
        archive.add(make_evaluation(space, 1, tier="x" * 7000))
    assert journal_path(path).read_bytes() == before
    assert not archive.has(1)
    archive.add(make_evaluation(space, 1, tier="x" * 7000))  # once there is room
    assert Archive.load(path, space).has(1)


def test_other_budgets_begin_a_phase_in_which_new_tiers_have_a_share(
    space: SearchSpace, make_evaluation: Callable[..., Evaluation], tmp_path: Path
) -> None:
    path = tmp_path / "archive.csv"
    archive = Archive.create(path, space, settings=SETTINGS)
    archive.propose(0, [Proposal(0, 0, "S", 5), Proposal(1, 0, "S", 3), Proposal(2, 0, "S", 4)])
    for order, index in enumerate((5, 3)):
        archive.add(make_evaluation(space, index, order=order))
    both = {**SETTINGS, "budgets": [["mine", ["macs", 1.5]], ["L", ["macs", 9]]]}
    phase = Archive.resume(path, space, settings=both, evaluations=9).phase
    # `mine` is S by another name; L gets half of nine, rounded up.
    assert (phase.added, phase.extra) == (("L",), 5)
    assert (phase.generation, phase.order, phase.done) == (1, 2, 2)
    assert len(Archive.resume(path, space, settings=both, evaluations=9).phases) == 2


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


@pytest.mark.parametrize("name", ["archive.jsonl", "w-0.1", "archive", "archive.CSV", "", ".csv"])
def test_an_archive_is_a_csv_file(
    space: SearchSpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """`w-0.1` and `w-0.2` would share `w-0.jsonl`."""
    monkeypatch.chdir(tmp_path)
    costs = {"c": np.ones(len(space))}
    message = f"an archive is a CSV file, so '{name}' cannot be one; use .csv"
    for opening in (
        lambda: Archive.create(name, space, settings={}),
        lambda: Archive.load(name, space),
        lambda: Archive.resume(name, space, settings={}),
        lambda: search(space, dict, budgets={"S": Limit("c", 1)}, costs=costs, archive_path=name),
    ):
        with pytest.raises(UsageError) as caught:
            opening()
        assert str(caught.value) == message
    assert list(tmp_path.iterdir()) == []


def test_two_processes_do_not_search_with_one_archive(space: SearchSpace, tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    path = tmp_path / "new" / "archive.csv"
    program = (
        "import sys\nfrom ofa_pose.search.archive import locked\n"
        "with locked(sys.argv[1]):\n    print(flush=True)\n    sys.stdin.read()"
    )
    costs = {"c": np.ones(len(space))}

    def searched(evaluations: int, check: Callable[[Any], None] | None = None) -> int:
        result = search(
            space,
            lambda _arch: {"AP": 0.5},
            budgets={"S": Limit("c", 1)},
            costs=costs,
            evaluations=evaluations,
            archive_path=path,
            resume=True,
            progress=check,
        )
        return len(result.archive)

    def other() -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        arguments = [sys.executable, "-c", program, str(path)]
        return subprocess.Popen(arguments, stdin=pipe, stdout=pipe, stderr=pipe)

    with other() as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"\n"
        with pytest.raises(
            RunFolderError, match=r"another process is searching with .*\.csv; wait"
        ):
            searched(1)
        assert not path.exists()
        process.kill()
    assert searched(1) == 1  # a lock ends with its process

    def refused(_state: Any) -> None:
        Archive.load(path, space)  # whoever reads the journal closes it again
        _, said = other().communicate()
        assert b"another process is searching with" in said

    assert searched(2, refused) == 2


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
        (lambda text: text.replace('n":{"order"', 'n":{"place"'), "line 3, .*KeyError: 'order'"),
        (lambda text: text.replace('n":{"order":0', 'n":{"order":"x"'), "line 3, .*ValueError"),
        (lambda text: text.replace('"24-32"', '"16-32"'), "line 3.*16-32 is not arch 0, 24-32"),
        (lambda text: text.replace('"index":0', '"index":99'), "line 3.*no arch 99 in 'made-up'"),
        (lambda text: text.replace('"macs":1', '"macs":"1"'), "line 3.*'1' is no number"),
        (
            lambda text: text + text.splitlines(keepends=True)[-1],
            "line 5.*in the archive already, as where two",
        ),
        (lambda text: text.replace("}\n", "\n", 3), "line 1, is damaged: it is no JSON record"),
        (lambda text: text.replace("[[0", "[[", 1), "line 2, is damaged: it is no JSON record"),
        (lambda text: text.replace('"format":2', '"format":9'), "format 9; this version reads 2"),
        (lambda text: text[text.index("\n") + 1 :], "is no archive's journal"),
        (lambda text: "", "is empty"),
    ],
)
def test_a_damaged_journal_is_refused_with_its_line(
    space: SearchSpace,
    make_evaluation: Callable[..., Evaluation],
    tmp_path: Path,
    damage: Callable[[str], str],
    message: str,
) -> None:
    path = tmp_path / "archive.csv"
    archive = Archive.create(path, space, settings={})
    archive.propose(0, [Proposal(0, 0, "S", 0), Proposal(5, 0, "S", 5)])
    archive.add(make_evaluation(space, 0))
    archive.add(make_evaluation(space, 5))
    source = journal_path(path)
    text = source.read_text()
    source.write_text(damage(text))
    assert source.read_text() != text
    with pytest.raises(RunFolderError, match=message):
        Archive.load(path, space)


def test_a_missing_journal_is_said(space: SearchSpace, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot read .*archive\.jsonl: No such file"):
        Archive.load(tmp_path / "archive.csv", space)


def test_a_front_over_what_nobody_was_measured_by() -> None:
    space = load_space("toy")
    costs = {"macs": np.arange(len(space))}
    found = search(
        space, lambda arch: {"AP": arch["stem"]}, budgets={"S": Limit("macs", 40)}, costs=costs,
        evaluations=4, predictor=False,
    ).archive  # fmt: skip
    assert found.front(objective="AP", costs=["macs"])
    with pytest.raises(UnknownNameError, match="unknown score 'ap'"):
        found.front(objective="ap", costs=["macs"])
    with pytest.raises(UnknownNameError, match="unknown cost 'flops'; known: macs"):
        found.front(objective="AP", costs=["flops"])
    assert Archive(space, settings=SETTINGS).front(objective="AP", costs=["macs"]) == ()
