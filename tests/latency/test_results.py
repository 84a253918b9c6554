"""A results file that cannot be trusted is refused in one line; a good one is summed up."""

import dataclasses
import json

import pytest

from ofa_pose.errors import LatencyError
from ofa_pose.latency.measuring.journal import COLUMNS
from ofa_pose.latency.measuring.machine import Machine
from ofa_pose.latency.results import read_results

HERE = Machine("board", "0a1b2c3d", "chip", "ncnn", "1", 1)
HEAD = {"format": 1, "kit": "k", "spaces": [], "runs": 2, "steps": 7, "date": "2026-01-02"}


def text(*rows: str, machine: Machine = HERE) -> str:
    head = json.dumps({**HEAD, "machine": vars(machine)})
    return "\n".join([f"# {head}", ",".join(COLUMNS), *(f"{machine.id},{row}" for row in rows), ""])


def write(tmp_path, content: str):
    path = tmp_path / "results.csv"
    path.write_text(content)
    return path


def test_a_unit_is_the_median_of_its_rounds(tmp_path):
    # The reference takes 2 ms throughout, so that times are twice what the rows say.
    results = read_results(
        write(
            tmp_path,
            text(
                "cover-0000,0,*,s/1,4,9.0,8.0,0.1,2.0",
                "cover-0000,0,stem,stem:a,4,1.0,0.9,0.1,2.0",
                "cover-0001,0,stem,stem:a,4,3.0,0.7,0.3,2.0",
                "cover-0000,1,stem,stem:a,4,1.5,1.4,0.2,2.0",
                "fit-0000,0,*,s/2,4,20.0,19.0,0.1,2.0",
                "fit-0000,1,*,s/2,4,30.0,19.0,0.1,2.0",
                "alone-0000,0,*,stem:a,4,7.0,6.0,0.1,2.0",
            ),
        )
    )
    (unit,) = results.units()
    assert (unit.median_ms, unit.min_ms, unit.iqr_ms, unit.runs) == (3.0, 1.4, 0.4, 12)
    assert results.networks("fit") == {"s/2": 50.0}
    assert results.networks("fit", rounds=[1]) == {"s/2": 60.0}
    assert results.alone()[0].median_ms == 14.0
    assert results.rounds == 2


def test_the_reference_is_taken_at_the_machines_best(tmp_path):
    rows = [f"fit-0000,{turn},*,s/1,4,3.0,3.0,0.1,{turn}" for turn in range(1, 12)]
    results = read_results(write(tmp_path, text(*rows)))
    assert results.reference_ms == 2.0  # the lowest tenth of 1 … 11
    assert results.networks("fit") == {"s/1": 6.0}


def test_an_earlier_measurement_of_the_reference_is_kept(tmp_path):
    row = "fit-0000,0,*,s/1,4,3.0,3.0,0.1,2.2"
    results = read_results(write(tmp_path, text(row)))
    assert results.networks("fit") == {"s/1": pytest.approx(6.6)}
    known = dataclasses.replace(results, known_reference_ms=2.0)
    assert known.networks("fit") == {"s/1": 6.0}
    assert known.own_reference_ms == 2.2


def test_two_machines_in_one_file_are_refused(tmp_path):
    other = dataclasses.replace(HERE, device="another board")
    row = "fit-0000,0,*,s/2,4,20.0,19.0,0.1,2.0"
    whole = text(row) + text(row, machine=other)
    with pytest.raises(LatencyError, match="line 4: .*another machine"):
        read_results(write(tmp_path, whole))
    only_rows = text(row) + text(row, machine=other).splitlines()[-1] + "\n"
    with pytest.raises(LatencyError, match="line 4: .*another machine"):
        read_results(write(tmp_path, only_rows))


@pytest.mark.parametrize("value", ["0", "-1", "nan", "inf", "x"])
def test_times_that_cannot_be_are_refused(tmp_path, value):
    path = write(tmp_path, text(f"fit-0000,0,*,s/2,4,{value},19.0,0.1,2.0"))
    with pytest.raises(LatencyError, match="line 3"):
        read_results(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("nonsense", "not a results file"),
        ("# {}\n", "not a results file"),
        (text("fit-0000,0,*,s/2,4,1.0"), "cut off"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    with pytest.raises(LatencyError, match=message):
        read_results(write(tmp_path, content))


def test_a_stopped_measurement_is_not_finished(tmp_path):
    rows = [f"fit-{number:04},0,*,s/{number},4,3.0,3.0,0.1,1.0" for number in range(7)]
    stopped = read_results(write(tmp_path, text(*rows[:6], rows[0])))  # one step stands twice
    with pytest.raises(LatencyError, match="6 of 7 steps are done"):
        stopped.check_finished()
    read_results(write(tmp_path, text(*rows))).check_finished()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(LatencyError, match="cannot read"):
        read_results(tmp_path / "none.csv")
