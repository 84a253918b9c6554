"""A teacher: a trained network that is shown a student's pictures in the form it was trained on."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ofa_pose.skeleton import Skeleton
from ofa_pose.space import SearchSpace
from ofa_pose.supernet.metadata import check_options


class Teacher:
    """Called with a student's pictures, returns the teacher's outputs for `distillation_loss`.

    A teacher of a higher resolution is shown the student's pictures enlarged: its maps are finer,
    but it sees no more than the student does.

    Args:
        network: the trained one, which is taken over: it is moved to `device` and channels_last,
            put in eval mode and its parameters are frozen.
        resolution: pixels, the teacher's own.
        space: the teacher's; gives the pixel statistics it was trained with.
        skeleton: whose joints the teacher predicts.
        student_space: gives the pixel statistics the student's pictures come with.
        student_skeleton: whose joints the student learns.
        device: where the student's pictures lie.

    Raises:
        WeightsError: the teacher predicts another skeleton, whatever its name.
    """

    def __init__(
        self,
        network: nn.Module,
        *,
        resolution: int,
        space: SearchSpace,
        skeleton: Skeleton,
        student_space: SearchSpace,
        student_skeleton: Skeleton,
        device: str | torch.device = "cpu",
    ) -> None:
        check_options({"skeleton": skeleton}, {"skeleton": student_skeleton}, source="the teacher")
        self.network = network.eval().requires_grad_(False)
        self.network.to(device=device, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.resolution = resolution
        mean, std = _channels(space.pixel_mean), _channels(space.pixel_std)
        student_mean = _channels(student_space.pixel_mean)
        student_std = _channels(student_space.pixel_std)
        self._factor = (student_std / std).float().to(device)
        self._shift = ((student_mean - mean) / std).float().to(device)

    @torch.no_grad()
    def __call__(self, images: Tensor) -> list[Tensor]:
        """Return the outputs for `(N, 3, R, R)` pictures, normalised as the student's are.

        Pictures of another size are resized bilinearly, antialiased when they shrink; the outputs
        are of the teacher's size.
        """
        if images.shape[-1] != self.resolution:
            images = F.interpolate(
                images,
                size=(self.resolution, self.resolution),
                mode="bilinear",
                align_corners=False,
                antialias=images.shape[-1] > self.resolution,
            )
        images = images * self._factor + self._shift
        return list(self.network(images.contiguous(memory_format=torch.channels_last)))


def _channels(values: tuple[float, float, float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)
