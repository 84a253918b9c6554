"""A results file that cannot be trusted is refused in one line; a good one is summed up."""

import dataclasses
import json

import pytest

from ofa_pose.errors import LatencyError
from ofa_pose.latency.measuring.journal import COLUMNS
from ofa_pose.latency.measuring.machine import Machine
from ofa_pose.latency.results import read_results
from ofa_pose.latency.tables import fit_noise

HERE = Machine("board", "0a1b2c3d", "chip", "ncnn", "1", 1)
HEAD = {"format": 1, "kit": "k", "spaces": [], "runs": 2, "steps": 7, "date": "2026-01-02"}
STEM = "stem:3x64x64:16:k3:s2:h16"
WHOLE = "fit-0000,0,*,s/2,4,20.0,19.0,0.1,2.0"


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
                f"cover-0000,0,stem,{STEM},4,1.0,0.9,0.1,2.0",
                f"cover-0001,0,stem,{STEM},4,3.0,0.7,0.3,2.0",
                f"cover-0000,1,stem,{STEM},4,1.5,1.4,0.2,2.0",
                "fit-0000,0,*,s/2,4,20.0,19.0,0.1,2.0",
                "fit-0000,1,*,s/2,4,30.0,19.0,0.1,2.0",
                f"alone-0000,0,*,{STEM},4,7.0,6.0,0.1,2.0",
            ),
        )
    )
    (unit,) = results.units()
    assert (unit.median_ms, unit.min_ms, unit.iqr_ms, unit.runs) == (3.0, 1.4, 0.4, 12)
    assert results.networks("fit") == {"s/2": 50.0}
    assert results.networks("fit", rounds=[1]) == {"s/2": 60.0}
    assert results.alone()[0].median_ms == 14.0
    assert results.rounds == 2


def test_odd_rounds_are_held_against_even_ones(tmp_path):
    rows = [f"fit-0000,{turn},*,s/2,4,{ms},19.0,0.1,2.0" for turn, ms in enumerate((20.0, 33.0))]
    rows += [
        f"fit-0001,{turn},*,s/1,4,{ms},9.0,0.1,2.0" for turn, ms in enumerate((10.0, 9.0, 10.0))
    ]
    noise = fit_noise(read_results(write(tmp_path, text(*rows))))
    assert noise is not None
    assert noise.mape == pytest.approx((0.65 + 0.1) / 2)  # 33 beside 20, 9 beside 10
    assert fit_noise(read_results(write(tmp_path, text(WHOLE)))) is None


def test_the_reference_is_taken_at_the_machines_best(tmp_path):
    rows = [f"fit-0000,{turn},*,s/1,4,3.0,3.0,0.1,{turn + 1}" for turn in range(11)]
    results = read_results(write(tmp_path, text(*rows)))
    assert results.reference_ms == 2.0  # the lowest tenth of 1 … 11
    assert results.networks("fit") == {"s/1": 6.0}


def test_a_device_that_grew_slow_is_noticed(tmp_path):
    times = [50.0] * 3 + [90.0] * 17  # cold, then 1.8 times as slow
    rows = [f"fit-0000,{turn},*,s/1,4,3.0,3.0,0.1,{ms}" for turn, ms in enumerate(times)]
    results = read_results(write(tmp_path, text(*rows)))
    assert results.reference_ms == 50.0
    assert results.slowdown == pytest.approx(1.8)
    assert read_results(write(tmp_path, text(rows[0]))).slowdown == 1.0


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


def test_a_file_that_was_cut_off_says_how_to_mend_it(tmp_path):
    with pytest.raises(LatencyError, match=r"line 3: 8 cells, .* and then copy it here again"):
        read_results(write(tmp_path, text(WHOLE.rpartition(",0.1,")[0])))


def test_a_stopped_measurement_is_not_finished(tmp_path):
    rows = [f"fit-{number:04},0,*,s/{number},4,3.0,3.0,0.1,1.0" for number in range(7)]
    stopped = read_results(write(tmp_path, text(*rows[:6])))
    with pytest.raises(
        LatencyError,
        match=r"6 of 7 steps are done; .* goes on, and then copy results.csv here again",
    ):
        stopped.check_finished()
    read_results(write(tmp_path, text(*rows))).check_finished()
    more = read_results(write(tmp_path, text(*rows, "check-0000,0,*,s/9,4,3.0,3.0,0.1,1.0")))
    with pytest.raises(LatencyError, match="8 of 7 steps"):
        more.check_finished()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["cover-0000,0,stem,rubbish,4,1.0,0.9,0.1,2.0"], "line 3: 'rubbish' is no unit's key"),
        (["alone-0000,0,*,rubbish,4,1.0,0.9,0.1,2.0"], "line 3: 'rubbish' is no unit's key"),
        (["fit-0000,0,*,s/2,-2,1.0,0.9,0.1,2.0"], "line 3: runs is 1 or more, not -2"),
        (["fit-0000,-1,*,s/2,4,1.0,0.9,0.1,2.0"], "line 3: round is 0 or more, not -1"),
        ([WHOLE, WHOLE], r"line 4: \* of fit-0000 stands twice in one round"),
        (
            [f"fit-{number:04},{turn},*,s/2,4,1.0,0.9,0.1,2.0"
             for number, turn in enumerate((0, 0, 0, 0, 99, 0, 0))],
            "line 7: round 99 of fit-0004, which has 1 rounds",
        ),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_are_refused(tmp_path, rows, message):
    with pytest.raises(LatencyError, match=message):
        read_results(write(tmp_path, text(*rows)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"spaces": "toy"}, "spaces is a list of mappings"),
        ({"spaces": 3}, "spaces is a list of mappings"),
        ({"spaces": [{"name": "toy", "skeleton": "coco"}]}, "spaces is a list of mappings"),
        ({"spaces": [{"name": "toy", "hash": "x", "skeleton": "coco"}]}, "spaces is a list"),
        ({"runs": "many"}, "runs cannot be used"),
        ({"steps": 7.5}, "steps cannot be used"),
        ({"machine": {**vars(HERE), "processor": ""}}, "processor cannot be used"),
        ({"machine": {**vars(HERE), "threads": "1"}}, "threads cannot be used"),
    ],
)
def test_a_damaged_first_line_is_refused(tmp_path, changes, message):
    whole = text(WHOLE)
    head = json.loads(whole.splitlines()[0].removeprefix("# "))
    changed = "\n".join([f"# {json.dumps({**head, **changes})}", *whole.splitlines()[1:], ""])
    with pytest.raises(LatencyError, match=f"results.csv, line 1: damaged: .*{message}"):
        read_results(write(tmp_path, changed))


def test_a_byte_order_mark_is_no_damage(tmp_path):
    assert len(read_results(write(tmp_path, "\ufeff" + text(WHOLE))).rows) == 1


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(LatencyError, match="cannot read"):
        read_results(tmp_path / "none.csv")
