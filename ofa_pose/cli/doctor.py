"""`ofa-pose doctor`: what this machine and installation offer."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import ofa_pose
from ofa_pose.catalog import device_requirements
from ofa_pose.cli import _console
from ofa_pose.cli._options import JsonOption
from ofa_pose.cli._searching import processors
from ofa_pose.errors import OfaPoseError

EPILOG = "Example: ofa-pose doctor --json"

DISTRIBUTION = "ofa-pose"


def command(as_json: JsonOption = False) -> None:
    """Show versions, threads, memory, disk, devices and which extras are installed."""
    needed, extras = _requirements()
    device = _on_a_device()
    missing = [name for name, version in needed.items() if version is None]
    enough = "torch" in missing and None not in device.values()
    report = {
        "ofa_pose": ofa_pose.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "dependencies": needed,
        "extras": extras,
        "device": device,
        **_machine(),
        **_torch(),
    }
    if as_json:
        _console.emit_json(report)
    else:
        _show(report, absent="not installed" if enough else "MISSING")
    if missing and not enough:
        raise OfaPoseError(f"not installed: {', '.join(missing)}; reinstall {DISTRIBUTION}")
    if missing and not as_json:
        _console.line(
            "installed to run ONNX files (device.txt); training and search need "
            + ", ".join(missing)
        )


def _requirements() -> tuple[dict[str, str | None], dict[str, dict[str, str | None]]]:
    """Return installed versions of what the package needs, and of each extra's packages."""
    needed: dict[str, str | None] = {}
    extras: dict[str, dict[str, str | None]] = {}
    for requirement in importlib.metadata.requires(DISTRIBUTION) or []:
        match = re.match(r"[A-Za-z0-9._-]+", requirement)
        extra = re.search(r"extra\s*==\s*['\"]([^'\"]+)['\"]", requirement)
        if match is None:
            continue
        group = extras.setdefault(extra.group(1), {}) if extra else needed
        group[match.group()] = _version(match.group())
    return needed, extras


def _on_a_device() -> dict[str, str | None]:
    """Return installed versions of what running ONNX files needs."""
    lines = device_requirements().read_text(encoding="utf-8").splitlines()
    matches = [re.match(r"[A-Za-z0-9][A-Za-z0-9._-]*", line) for line in lines]
    return {match.group(): _version(match.group()) for match in matches if match is not None}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, Any]:
    page = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    names = os.sysconf_names if page else {}
    total = page * os.sysconf("SC_PHYS_PAGES") if "SC_PHYS_PAGES" in names else None
    free = page * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in names else None
    return {
        "cpus": _cpus(),
        "memory_bytes": total,
        "free_memory_bytes": free,
        "free_disk_bytes": shutil.disk_usage(Path.cwd()).free,
        "can_write_here": os.access(Path.cwd(), os.W_OK),
    }


def _cpus() -> int | None:
    """Return how many processors there are, also where joblib is missing."""
    try:
        return processors()
    except ModuleNotFoundError:
        return os.cpu_count()


def _torch() -> dict[str, Any]:
    if importlib.util.find_spec("torch") is None:
        return {"torch_threads": None, "devices": []}
    import torch

    cuda = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"torch_threads": torch.get_num_threads(), "devices": ["cpu", *cuda]}


def _show(report: dict[str, Any], *, absent: str) -> None:
    def gib(size: int | None) -> str:
        return "unknown" if size is None else f"{size / 2**30:.1f} GiB"

    torch_threads = report["torch_threads"]
    torch_uses = "" if torch_threads is None else f", torch uses {torch_threads} threads"
    writable = "" if report["can_write_here"] else ", which cannot be written"
    rows = [
        ("ofa_pose", report["ofa_pose"]),
        ("python", f"{report['python']} ({sys.executable})"),
        ("platform", report["platform"]),
        ("cpus", f"{report['cpus']}{torch_uses}"),
        ("memory", f"{gib(report['memory_bytes'])}, {gib(report['free_memory_bytes'])} free"),
        ("disk", f"{gib(report['free_disk_bytes'])} free here{writable}"),
        ("devices", ", ".join(report["devices"]) or "none: torch is not installed"),
    ]
    rows += [(name, version or absent) for name, version in report["dependencies"].items()]
    for extra, packages in report["extras"].items():
        lacking = [name for name, version in packages.items() if version is None]
        there = [name for name in packages if name not in lacking]
        found = "installed" if not lacking else f"not installed: {', '.join(lacking)}"
        if lacking and there:
            found += f"; installed: {', '.join(there)}"
        rows.append((f"extra [{extra}]", found))
    _console.table(("what", "found"), rows)
