"""Runs command lines with the packages that a device has; others are absent, if installed."""

import json
import sys
from collections.abc import Sequence

ABSENT = {
    *("torch", "pandas", "sklearn", "deap", "joblib", "pycocotools", "thop", "safetensors"),
    *("matplotlib", "jinja2", "numba", "llvmlite", "hotcoco", "onnx", "onnxscript"),
}


class Absent:
    """Finds no package of `ABSENT`."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: object = None):
        if name.partition(".")[0] in ABSENT:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":
    sys.meta_path.insert(0, Absent())  # pyright: ignore[reportArgumentType]
    from ofa_pose.cli.main import run

    codes = [run(line) for line in json.loads(sys.argv[1])]
    sys.stdout.write(json.dumps({"codes": codes, "loaded": sorted(ABSENT & set(sys.modules))}))
