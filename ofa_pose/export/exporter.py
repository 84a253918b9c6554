"""How a tier becomes the files of a runtime: converted, run and compared, then written."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ofa_pose.converters.packages import require_packages
from ofa_pose.errors import ConversionError, RunFolderError, UsageError, WeightsError
from ofa_pose.export.onnx_tier import OnnxTier
from ofa_pose.export.raw import RawNetwork, Run, difference_to
from ofa_pose.export.tier import Tier
from ofa_pose.files import atomic_path
from ofa_pose.outputs import output_file

SIDE_STEP = 64
"""Pixels by which a picture is wider than high where sides are free."""


@dataclass(frozen=True, kw_only=True)
class Converted:
    """What a converter made, before it is compared and written.

    Attributes:
        contents: of the files.
        run: runs them.
        sizes: pictures, height and width that they are compared at.
        input: name of the input.
        shape: of the input; a letter stands for what is free.
        outputs: names of the outputs, in the order of the plan's.
        as_planned: makes the network's own layout of an output `y`, in numpy's words.
    """

    contents: tuple[bytes, ...]
    run: Run
    sizes: tuple[tuple[int, int, int], ...]
    input: str
    shape: tuple[int | str, ...]
    outputs: tuple[str, ...]
    as_planned: str = "y"


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Files that were written for a runtime, and compared.

    Attributes:
        runtime: its name.
        files: what it loads; the first is the one that was named.
        input: name of the input, which is float32, RGB of 0 to 255.
        shape: of the input; a letter stands for what is free.
        outputs: names of the outputs, in the order of the plan's.
        as_planned: makes the network's own layout of an output `y`, in numpy's words.
        difference: largest difference to PyTorch's outputs under the runtime, as a fraction of
            the largest output (of 1 if that is smaller).
    """

    runtime: str
    files: tuple[Path, ...]
    input: str
    shape: tuple[int | str, ...]
    outputs: tuple[str, ...]
    as_planned: str
    difference: float

    @property
    def path(self) -> Path:
        """The file that was named."""
        return self.files[0]


@dataclass(frozen=True)
class Exporter:
    """One runtime that a tier can be exported for.

    Attributes:
        runtime: its name.
        suffix: of the file that is named.
        convert: makes the contents of the files, the named one first.
        beside: suffixes that take the place of the named file's last one, for the others.
    """

    runtime: str
    suffix: str
    convert: Callable[[Tier, RawNetwork], Converted]
    beside: tuple[str, ...] = ()

    def write(self, tier: Tier, path: str | Path, *, force: bool = False) -> Exported:
        """Write a tier's network, after the runtime gave what PyTorch gives.

        Args:
            tier: saved, with its weights.
            path: of the file that is named; others go beside it.
            force: overwrite files that exist.

        Raises:
            UsageError: the path has another suffix than the runtime's files, or the tier is none
                or that of an ONNX file.
            RunFolderError: a file exists and `force` is not set, or it may not be replaced at
                all; see `output_file`. Or one of several files is a link and another is none.
            MissingExtraError: a package is not installed that the runtime needs.
            ConversionError: the converter or the runtime cannot have the network.
            WeightsError: the weights cannot be used, or the runtime gives something else.
        """
        if isinstance(tier, OnnxTier) or not isinstance(tier, Tier):
            given = "that of an ONNX file" if isinstance(tier, OnnxTier) else f"{tier!r:.60}"
            raise UsageError(f"a tier is exported as load_tier reads it from its YAML, not {given}")
        path = Path(path)
        files = path, *(path.with_suffix(suffix) for suffix in self.beside)
        read = tier.path, tier.weights
        targets = [output_file(file, force=force, reads=read) for file in files]
        own = self.suffix[self.suffix.rindex(".") :]
        if path.suffix.lower() != own:
            folder = "" if path.suffix else f"; write {path}/ for a folder that is to be made"
            raise UsageError(
                f"{path}: what {self.runtime} loads ends in {own}, such as pose{self.suffix}"
                f"{folder}"
            )
        _refuse_parted(files)
        require_packages(self.runtime, running=True)
        network = RawNetwork(tier)
        try:
            made = self.convert(tier, network)
            trained = RawNetwork(tier, fold=False)
            difference = difference_to(trained, made.run, runtime=self.runtime, sizes=made.sizes)
        except (ConversionError, WeightsError) as error:
            error.args = (f"{error}; nothing written",)
            raise
        _write(targets, made.contents)
        return Exported(
            runtime=self.runtime,
            files=files,
            input=made.input,
            shape=made.shape,
            outputs=made.outputs,
            as_planned=made.as_planned,
            difference=difference,
        )


def _refuse_parted(files: Sequence[Path]) -> None:
    """Refuse a link beside a plain file: where it leads, one of what belongs together would change.

    Raises:
        RunFolderError: the message names both, and the file that the link leads to.
    """
    links = [file for file in files if file.is_symlink()]
    others = [file for file in files if file not in links]
    if links and others:
        raise RunFolderError(
            f"{links[0]} is a link and {others[0]} is none, but they belong together; give "
            f"the file itself, beside {links[0].resolve()}, or remove the link"
        )


def _write(paths: list[Path], contents: tuple[bytes, ...]) -> None:
    """Write files that belong together: all are whole before the first takes its name."""
    with contextlib.ExitStack() as stack:
        for path, content in zip(paths, contents, strict=True):
            stack.enter_context(atomic_path(path)).write_bytes(content)
