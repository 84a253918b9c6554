"""The network of an ONNX file as a PyTorch module, for what works with modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from ofa_pose.export.onnx_tier import OnnxTier


class OnnxNetwork(nn.Module):
    """The network of an ONNX file, behind the normalisation that the file undoes itself."""

    def __init__(self, tier: OnnxTier) -> None:
        super().__init__()
        self._tier = tier
        self._mean, self._std = (
            torch.tensor(values).view(1, 3, 1, 1)
            for values in (tier.space.pixel_mean, tier.space.pixel_std)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of normalised images, (N, 3, H, W), as float32 without gradients."""
        images = images.detach().float()
        pixels = torch.addcmul(self._mean, images, self._std).contiguous()
        return [torch.from_numpy(map_) for map_ in self._tier.run(pixels.numpy())]
