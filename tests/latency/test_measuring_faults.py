"""What goes wrong on a device: damaged files, two processes at once, packages that are missing."""

import json
import os
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from pathlib import Path

import pytest

from ofa_pose.errors import MeasuringStoppedError
from ofa_pose.latency import measuring
from ofa_pose.latency.build import run_kit
from ofa_pose.latency.measuring.command import main
from ofa_pose.latency.measuring.errors import MeasureError, StoppedError
from ofa_pose.latency.measuring.journal import locked
from ofa_pose.latency.measuring.kit import Kit
from ofa_pose.latency.measuring.lines import give_up_untold
from ofa_pose.latency.measuring.protocol import measure
from ofa_pose.latency.results import read_results
from ofa_pose.latency.runtimes import Runtime


@pytest.fixture
def measured(kit, pretended) -> Path:
    """The results.csv of a whole measurement."""
    path = kit.folder / "results.csv"
    measure(kit, path, prepare=pretended)
    pretended.prepared.clear()
    return path


def _steps_of(lines, numbers) -> set[str]:
    """The steps that the lines of these numbers are of."""
    return {",".join(lines[number].split(",")[1:3]) for number in numbers}


def _middle(kit, lines) -> int:
    """Some line in the first half that is of a unit inside of a network."""
    return next(
        number
        for number in range(len(lines) // 3, len(lines))
        if lines[number].split(",")[3] not in ("*",) and lines[number].split(",")[1][0] == "c"
    )


@pytest.mark.parametrize(
    "damage",
    [
        lambda line: "\0" * (len(line) - 1) + "\n",
        lambda line: line[: len(line) // 2] + "\n",
        lambda line: "",
        lambda line: line[: line.rindex(",")] + ",0.9x3\n",
        lambda line: "zz" + line,
        lambda line: '"' + "x" * 200_000 + "\n",
        lambda line: line.rstrip("\n"),
    ],
    ids=["zeros", "cut", "gone", "figure", "machine", "long", "joined"],
)
def test_a_damaged_line_costs_its_step_only(kit, measured, pretended, capsys, damage):
    lines = measured.read_text().splitlines(keepends=True)
    number = _middle(kit, lines)
    damaged = [*lines[:number], damage(lines[number]), *lines[number + 1 :]]
    measured.write_text("".join(damaged))
    measure(kit, measured, prepare=pretended)
    (lost,) = _steps_of(lines, [number])
    assert pretended.prepared[1:] == [lost.split(",")[0]]
    assert capsys.readouterr().err == f"{measured}: 1 step was unreadable and is measured again\n"
    now = measured.read_text().splitlines(keepends=True)
    kept = [line for line in lines[2:] if not _steps_of([line], [0]) <= {lost}]
    assert now[: 2 + len(kept)] == [*lines[:2], *kept]
    assert sorted(",".join(line.split(",")[:5]) for line in now) == sorted(
        ",".join(line.split(",")[:5]) for line in lines
    )
    assert read_results(measured).steps_done == kit.steps
    measure(kit, measured, prepare=pretended)
    assert capsys.readouterr().err == ""


def test_several_damaged_steps_are_counted(kit, measured, pretended, capsys):
    lines = measured.read_text().splitlines(keepends=True)
    numbers = [3, len(lines) // 2, len(lines) // 2 + 1, len(lines) - 9, len(lines) - 1]
    lost = _steps_of(lines, numbers)
    for number in numbers:
        lines[number] = "?\n"
    measured.write_text("".join(lines))
    measure(kit, measured, prepare=pretended)
    assert f"{len(lost)} steps were unreadable and are measured again" in capsys.readouterr().err
    assert len(pretended.prepared) == 1 + len(lost)
    assert read_results(measured).steps_done == kit.steps


def test_a_half_step_at_the_end_is_measured_again_without_a_word(kit, measured, pretended, capsys):
    lines = measured.read_text().splitlines(keepends=True)
    start = max(number for number, line in enumerate(lines) if ",cover-" in line and ",*," in line)
    for text in ("".join(lines[: start + 3]), "".join(lines[: start + 3])[:-9]):
        measured.write_text(text)
        measure(kit, measured, prepare=pretended)
        assert capsys.readouterr().err == ""
        assert read_results(measured).steps_done == kit.steps


def test_a_step_that_stands_twice_is_kept_once(kit, measured, pretended):
    lines = measured.read_text().splitlines(keepends=True)
    measured.write_text("".join([*lines, *lines[2:]]))
    measure(kit, measured, prepare=pretended)
    assert len(pretended.prepared) == 1
    assert measured.read_text() == "".join(lines)


def test_another_machine_after_a_damaged_line_is_refused(kit, measured, pretended):
    lines = measured.read_text().splitlines(keepends=True)
    text = "".join([*lines[:5], "?\n", *lines[6:], "deadbeef" + lines[-1][8:]])
    measured.write_text(text)
    with pytest.raises(MeasureError, match="another machine"):
        measure(kit, measured, prepare=pretended)
    assert measured.read_text() == text


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_a_second_process_is_refused_until_the_first_is_dead(kit, pretended):
    program = f"""
        import time
        from pathlib import Path
        from ofa_pose.latency.measuring.journal import locked
        with locked(Path({str(kit.folder)!r})):
            print("locked", flush=True)
            time.sleep(60)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "locked\n"
        with pytest.raises(MeasureError, match="another process is measuring into"):
            measure(kit, kit.folder / "results.csv", prepare=pretended)
        assert not pretended.prepared
        first.kill()
    measure(kit, kit.folder / "results.csv", prepare=pretended)
    assert read_results(kit.folder / "results.csv").steps_done == kit.steps


def test_without_locks_in_the_file_system_it_measures(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "new"):
        assert (tmp_path / "new").is_dir()


def _changed(kit, **changes) -> str:
    document = json.loads((kit.folder / "kit.json").read_text())
    return json.dumps({**document, **changes})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "it is not a kit"),
        ("null", "it is not a kit"),
        ('{"format": 1', "it is not JSON"),
        ('{"format": 1}', "'networks' is missing"),
        ('{"format": 1, "networks": 3}', "it is not a kit"),
        ('{"format": 1, "networks": [3]}', "it is not a kit"),
        ('{"format": 1, "networks": [{"name": "a"}]}', "'role' is missing"),
        ('{"format": 1, "networks": [], "runtime": "torch"}', "'spaces' is missing"),
    ],
)
def test_a_damaged_kit_is_told_in_one_line(tmp_path, capsys, content, message):
    (tmp_path / "kit.json").write_text(content)
    assert main(tmp_path, []) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"measure.py: error: {tmp_path / 'kit.json'} is damaged: ")
    assert error.endswith(f"{message}\n")
    assert error.count("\n") == 1


def test_a_kit_without_a_reference_or_steps_is_refused(kit):
    networks = json.loads((kit.folder / "kit.json").read_text())["networks"]
    others = [entry for entry in networks if entry["role"] != "reference"]
    for changed, message in [
        (others, "it has 0 reference networks, not 1"),
        ([*networks, networks[0]], "two networks have one name"),
        ([{**entry, "rounds": 0} for entry in networks], "nothing to measure"),
    ]:
        content = _changed(kit, networks=changed)
        (kit.folder / "broken").mkdir(exist_ok=True)
        (kit.folder / "broken" / "kit.json").write_text(content)
        with pytest.raises(MeasureError, match=message):
            Kit.load(kit.folder / "broken")


def test_damaged_models_are_told_before_anything_is_measured(kit, pretended):
    path, results = kit.folder / "models.zip", kit.folder / "results.csv"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(MeasureError, match="models.zip is damaged or cut short; copy it"):
        measure(kit, results, prepare=pretended)
    with zipfile.ZipFile(path, "w") as models:
        for task in kit.tasks[1:]:
            models.writestr(task.name, b"")
    with pytest.raises(MeasureError, match=f"are missing, such as {kit.tasks[0].name};"):
        measure(kit, results, prepare=pretended)
    path.unlink()
    with pytest.raises(MeasureError, match="cannot read .*models.zip: No such file"):
        measure(kit, results, prepare=pretended)
    assert not results.exists()


def test_a_damaged_network_is_told(kit, pretended):
    path = kit.folder / "models.zip"
    with zipfile.ZipFile(path) as models:
        info = models.getinfo(kit.reference.name)
        start = info.header_offset + 30 + len(info.filename)
    content = bytearray(path.read_bytes())
    content[start : start + info.compress_size] = bytes(info.compress_size)
    path.write_bytes(content)
    with pytest.raises(MeasureError, match=f"damaged at the network {kit.reference.name};"):
        measure(kit, kit.folder / "results.csv", prepare=pretended)


def test_a_runtime_that_is_not_of_this_folder_is_told(kit):
    with pytest.raises(MeasureError, match="a kit for torch cannot be measured here"):
        measure(kit, kit.folder / "results.csv")


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        (
            "raise ModuleNotFoundError(\"No module named 'numpy'\", name='numpy')",
            "numpy is not installed; install it: pip install numpy",
        ),
        (
            "raise ImportError('IMPORTANT\\n\\nread this') from OSError('no libopenblas.so.0')",
            "cannot import a package: no libopenblas.so.0",
        ),
    ],
)
def test_a_numpy_that_cannot_be_used_is_told_in_one_line(tmp_path, failure, message):
    (tmp_path / "measuring").symlink_to(Path(measuring.__file__).parent)
    (tmp_path / "numpy.py").write_text(f"{failure}\n")
    (tmp_path / "measure.py").write_text(
        "import sys\nfrom pathlib import Path\nfrom measuring.command import main\n"
        "sys.exit(main(Path(__file__).parent))\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", str(tmp_path / "measure.py")], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (1, f"measure.py: error: {message}\n")


def test_what_a_runtime_raises_is_told_in_one_line(kit, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("Load model failed:\n  no space left")

    monkeypatch.setattr("ofa_pose.latency.measuring.protocol.measure", fail)
    assert main(kit.folder, []) == 1
    error = capsys.readouterr().err
    assert error.startswith(
        "measure.py: error: RuntimeError: Load model failed: no space left (is "
    )
    assert error.count("\n") == 1


@pytest.fixture
def failing(pretended):
    """A runtime that fails at the fifth network until `failure` is None."""

    class Failing(pretended):
        failure: Exception | None = RuntimeError("Conv failed:\n  no memory")

        def run(self):
            if len(self.prepared) == 6 and self.failure is not None:  # the reference is the first
                raise self.failure
            super().run()

    return Failing


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        (RuntimeError("Conv failed:\n  no memory"), "RuntimeError: Conv failed: no memory (is "),
        (MemoryError(), "MemoryError (is the memory full, or "),
        (OSError(28, "No space left"), "OSError: [Errno 28] No space left (is the memory "),
        (MeasureError("an operation of no unit"), "an operation of no unit"),
    ],
)
def test_the_network_at_which_a_runtime_fails_is_named(kit, failing, failure, told):
    results = kit.folder / "results.csv"
    failing.failure = failure
    with pytest.raises(StoppedError) as caught:
        measure(kit, results, prepare=failing)
    _, at = kit.turns[4]
    assert str(caught.value).startswith(f"torch failed at the network {at.name} ({at.key}): {told}")
    assert "\n" not in str(caught.value)
    assert read_results(results).steps_done == 4
    failing.failure = None
    failing.prepared.clear()
    measure(kit, results, prepare=failing)
    assert failing.prepared[1] == at.name
    assert read_results(results).steps_done == kit.steps


def test_a_failing_reference_is_named(kit):
    def fail(*_):
        raise ValueError("no such kernel")

    name = kit.reference.name
    with pytest.raises(StoppedError, match=f"failed at the network {name} .*: no such kernel"):
        measure(kit, kit.folder / "results.csv", prepare=fail)


def test_a_device_says_how_to_go_on_from_the_network_that_failed(kit, failing, monkeypatch, capsys):
    monkeypatch.setattr("ofa_pose.latency.measuring.protocol.RUNNERS", {"torch": failing})
    assert main(kit.folder, []) == 1
    error = capsys.readouterr().err
    name = kit.turns[4][1].name
    assert error.startswith(f"measure.py: error: torch failed at the network {name} (")
    assert error.endswith("?); what was measured is kept: start again to go on\n")
    assert error.count("\n") == 1


def test_a_program_is_told_of_a_measurement_that_stopped(kit, failing):
    runtime = Runtime("torch", "NHWC", lambda: lambda plan: b"", prepare=lambda: failing)
    with pytest.raises(MeasuringStoppedError, match=kit.turns[4][1].name):
        run_kit(kit.folder, runtime, threads=1)


def test_no_folder_for_temporary_files_is_told_in_one_line(kit, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("no space left")

    def find_none():
        raise FileNotFoundError(2, "No usable temporary directory found in ['/tmp']")

    monkeypatch.setattr("ofa_pose.latency.measuring.protocol.measure", fail)
    monkeypatch.setattr(tempfile, "gettempdir", find_none)
    assert main(kit.folder, []) == 1
    assert capsys.readouterr().err == (
        "measure.py: error: RuntimeError: no space left (is the memory full, or every disk?); "
        "what was measured is kept: start again to go on\n"
    )


def test_rows_that_cannot_be_written_leave_those_before_them(kit, pretended, monkeypatch):
    results, sync, room = kit.folder / "results.csv", os.fsync, 4  # the head and three steps

    def synced(handle):
        nonlocal room
        room -= 1
        if room < 0:
            raise OSError(28, "No space left on device")
        sync(handle)

    monkeypatch.setattr(os, "fsync", synced)
    with pytest.raises(StoppedError, match=f"cannot write {results}: No space left on device"):
        measure(kit, results, prepare=pretended)
    assert read_results(results).steps_done >= 3
    monkeypatch.undo()
    measure(kit, results, prepare=pretended)
    assert read_results(results).steps_done == kit.steps


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device there")
def test_a_line_that_cannot_be_told_ends_no_measurement(kit, measured, pretended, monkeypatch):
    lines = measured.read_text().splitlines(keepends=True)
    measured.write_text("".join([*lines[:3], "?\n", *lines[4:]]))
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        measure(kit, measured, prepare=pretended)
        give_up_untold()
    assert read_results(measured).steps_done == kit.steps
