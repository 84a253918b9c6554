"""Where a verb's scenes come from: photographs, mosaics of them, synthetic scenes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ofa_pose.errors import UsageError

if TYPE_CHECKING:
    from ofa_pose.data import SceneSource
    from ofa_pose.skeleton import Skeleton

CANVAS = 256
ANY_DATA = ("--data", "FOLDER")
"""What a command line names photographs by where it is not known which."""
OF_MOSAIC = "it composes photographs: give --data FOLDER"
OF_CANVAS = "it is the side of mosaics (--mosaic) and of painted scenes"


class Use(IntEnum):
    """What scenes are for; scenes composed or painted for one use never serve another."""

    TRAIN = 0
    VALIDATE = 1
    CALIBRATE = 2
    SEARCH = 3
    REPORT = 4


@dataclass(frozen=True)
class Pictures:
    """Where photographs lie, as the options say; all paths may be absent.

    Attributes:
        data: folder of the data set, or its annotation file.
        annotations: annotation file that does not lie in the folder.
        images: folder of the pictures that is not the data set's own.
        skeleton: name or file of what the annotations are made with; None: what is asked for.
    """

    data: Path | None = None
    annotations: Path | None = None
    images: Path | None = None
    skeleton: str | None = None

    def __post_init__(self) -> None:
        if self.given:
            return
        if self.images is not None:
            raise UsageError(
                f"the images in {self.images} need annotations: give their data set as well"
            )
        if self.skeleton is not None:
            raise UsageError(f"--data-skeleton {self.skeleton} needs photographs: give --data")

    @property
    def given(self) -> bool:
        """Whether there are any photographs."""
        return self.data is not None or self.annotations is not None

    @property
    def words(self) -> tuple[str, ...]:
        """The options of a command line that name them."""
        options = {
            "--data": self.data,
            "--annotations": self.annotations,
            "--images": self.images,
            "--data-skeleton": self.skeleton,
        }
        given = ((option, str(value)) for option, value in options.items() if value is not None)
        return tuple(itertools.chain.from_iterable(given))

    def has_split(self, split: str) -> bool:
        """Whether the data set's folder holds a split of this name."""
        from ofa_pose.data import has_split

        if self.data is None or self.annotations is not None:
            return False
        return has_split(self.data, split)

    @property
    def missing(self) -> bool:
        """Whether a data set is named that is not there."""
        return self.data is not None and not self.data.exists()

    def depends_on(self, split: str) -> bool:
        """Whether `split` has a part in which photographs are opened."""
        from ofa_pose.data.layouts import depends_on_split

        return depends_on_split(
            self.data, split=split, annotations=self.annotations, images=self.images
        )

    def paths(self, split: str) -> tuple[Path, ...]:
        """Return the annotation file and the folder of pictures of a split; none if not given."""
        from ofa_pose.data.layouts import find_set

        if not self.given:
            return ()
        return find_set(self.data, split=split, annotations=self.annotations, images=self.images)

    def open(
        self,
        split: str,
        skeleton: Skeleton,
        *,
        only_people: bool = False,
        unlabelled: bool = False,
    ) -> SceneSource:
        """Open a split of the data set; its people have the joints of `skeleton`.

        Args:
            split: as in `open_scenes`.
            skeleton: whose joints are wanted.
            only_people: leave out pictures that show nobody; see `CocoScenes`.
            unlabelled: as in `open_scenes`.

        Raises:
            DataError: it is not there, or damaged.
            SkeletonError: it is annotated with a skeleton that shares no joint with that one.
        """
        from ofa_pose.data import map_scenes, open_scenes

        source = open_scenes(
            self.data,
            split=split,
            annotations=self.annotations,
            images=self.images,
            skeleton=self.skeleton or skeleton,
            only_people=only_people,
            unlabelled=unlabelled,
        )
        return map_scenes(source, skeleton)


@dataclass(frozen=True)
class Making:
    """How scenes are made of pictures.

    Attributes:
        skeleton: whose joints they carry.
        seed: of mosaics and synthetic scenes.
        mosaic: most pictures a canvas; None leaves pictures as they are.
        canvas: side of mosaics and synthetic scenes, pixels.
        paste: share of the training's photographs, or mosaics of them, with painted people in
            front; None paints nobody.
    """

    skeleton: Skeleton
    seed: int
    mosaic: int | None = None
    canvas: int = CANVAS
    paste: float | None = None

    def of(self, pictures: SceneSource, use: Use) -> SceneSource:
        """Return pictures as they are, or the mosaics composed of them: each about once."""
        if self.mosaic is None:
            return pictures
        from ofa_pose.data import MosaicScenes

        return MosaicScenes(
            pictures,
            seed=self._seed(use),
            count=max(1, round(2 * len(pictures) / (1 + self.mosaic))),
            size=self.canvas,
            people=(1, self.mosaic),
        )

    def synthetic(self, count: int, use: Use) -> SceneSource:
        """Return painted scenes; no scene is shared with another use."""
        from ofa_pose.data import SyntheticScenes

        return SyntheticScenes(self._seed(use), count, size=self.canvas, skeleton=self.skeleton)

    def pasted(self, scenes: SceneSource, use: Use) -> SceneSource:
        """Return scenes with people painted into their share, or as they are."""
        if self.paste is None:
            return scenes
        from ofa_pose.data import PastedScenes

        return PastedScenes(scenes, seed=self._seed(use), share=self.paste)

    def _seed(self, use: Use) -> int:
        return self.seed + 1_000_000_007 * use


def training_scenes(
    pictures: Pictures, making: Making, *, synthetic: int | None, share: float, batch_size: int
) -> SceneSource:
    """Return photographs of people (or their mosaics), synthetic scenes, or both in one.

    Args:
        pictures: of split `train`.
        making: how scenes are made of them.
        synthetic: number of synthetic scenes, or None.
        share: of the synthetic scenes in a mix, between 0 and 1.
        batch_size: a mix keeps so many scenes of one kind together.

    Raises:
        UsageError: neither was given, or the share is impossible.
        DataError: the photographs cannot be used.
    """
    from ofa_pose.data import MixedScenes

    if not 0 < share < 1:
        raise UsageError(f"--synthetic-share lies between 0 and 1, got {share:g}")
    if making.paste is not None and not 0 < making.paste <= 1:
        raise UsageError(f"--paste lies above 0 and is at most 1, got {making.paste:g}")
    if making.paste is not None and not pictures.given:
        raise UsageError("--paste paints people into photographs: give --data FOLDER")
    sources = []
    if pictures.given:
        shown = pictures.open("train", making.skeleton, only_people=True)
        sources.append(making.pasted(making.of(shown, Use.TRAIN), Use.TRAIN))
    if synthetic:
        sources.append(making.synthetic(synthetic, Use.TRAIN))
    if not sources:
        raise UsageError("nothing to learn from: give --data FOLDER, or --synthetic N, or both")
    if len(sources) == 1:
        return sources[0]
    return MixedScenes(sources, [1 - share, share], seed=making.seed, together=batch_size)


def validation_scenes(
    pictures: Pictures, val: Pictures, making: Making, *, synthetic: bool, most: int
) -> SceneSource | None:
    """Return what a training is validated on: `--val`, else `--data`'s, else synthetic scenes.

    Args:
        pictures: the training photographs, whose data set may hold a split `val`.
        val: the photographs given for validation.
        making: how scenes are made of them.
        synthetic: whether synthetic scenes are trained on.
        most: scenes to validate on.
    """
    if val.given:
        return limited(making.of(val.open("val", making.skeleton), Use.VALIDATE), most)
    if pictures.has_split("val"):
        return limited(making.of(pictures.open("val", making.skeleton), Use.VALIDATE), most)
    if synthetic and not pictures.given:
        return making.synthetic(most, Use.VALIDATE)
    return None


def scored_scenes(
    pictures: Pictures,
    making: Making,
    *,
    split: str,
    synthetic: int | None,
    most: int | None,
    unlabelled: bool = False,
) -> SceneSource:
    """Return what a network is scored on: one split of a data set, or synthetic scenes.

    Mosaics and synthetic scenes are none that a training or a search chose anything by.

    Args:
        pictures: the data set.
        making: how scenes are made of it, or synthetic ones.
        split: of the data set.
        synthetic: number of synthetic scenes, or None.
        most: at most so many scenes, or None.
        unlabelled: whether the pictures may be without labels.

    Raises:
        UsageError: both or neither was given.
    """
    if pictures.given == (synthetic is not None):
        raise UsageError("give what to score on: either --data FOLDER, or --synthetic N")
    if synthetic is not None:
        scenes = making.synthetic(synthetic, Use.REPORT)
    else:
        opened = pictures.open(split, making.skeleton, unlabelled=unlabelled)
        scenes = making.of(opened, Use.REPORT)
    return scenes if most is None else limited(scenes, most)


def limited(source: SceneSource, most: int) -> SceneSource:
    """Return at most so many scenes of a source, spread evenly over it."""
    if len(source) <= most:
        return source
    from ofa_pose.evaluate import SubsetScenes

    return SubsetScenes(source, [i * len(source) // most for i in range(most)])


def use_of_split(pictures: Pictures, split: str) -> tuple[bool, str]:
    """Return whether `--split` is used, and what it is for; see `refuse_idle`."""
    purpose = "it chooses among the annotation files of a data set's folder"
    return pictures.given and pictures.depends_on(split), purpose


def uses_of_pictures(
    pictures: Pictures, *, split: str, mosaic: int | None
) -> dict[str, tuple[bool, str]]:
    """Return whether options of the scenes are used, and what they are for; see `refuse_idle`.

    Args:
        pictures: photographs; where there are none, scenes are painted.
        split: as given.
        mosaic: as given.
    """
    return {
        "split": use_of_split(pictures, split),
        "mosaic": (pictures.given, OF_MOSAIC),
        "canvas": (mosaic is not None or not pictures.given, OF_CANVAS),
    }


def described(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for a run's config: paths made absolute, what was not given left out."""
    return {
        key: str(value.resolve()) if isinstance(value, Path) else value
        for key, value in options.items()
        if value is not None
    }
