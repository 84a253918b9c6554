"""The LitePose family's unit modules: plain PyTorch, each written once."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ofa_pose.models.fold import absorb
from ofa_pose.models.relu6 import ReLU6
from ofa_pose.models.unit import UnitSpec, register_unit


def conv_bn(
    in_channels: int,
    out_channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    activation: type[nn.Module] | None = ReLU6,
) -> nn.Sequential:
    """Convolution without bias, batch norm and (unless None) an in-place activation."""
    layers: list[nn.Module] = [
        nn.Conv2d(
            in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False
        ),
        nn.BatchNorm2d(out_channels),
    ]
    if activation is not None:
        layers.append(activation(inplace=True))
    return nn.Sequential(*layers)


@register_unit("stem")
class Stem(nn.Module):
    """3×3 stride-2 convolution to `hidden` channels, 3×3 depthwise, 1×1 linear (paper, Fig. 4)."""

    runs_sequences_whole = True  # so `fold_batch_norms` need not try

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        (in_channels,) = spec.in_channels
        self.conv = conv_bn(in_channels, spec.hidden, spec.kernel, stride=spec.stride)
        self.depthwise = conv_bn(spec.hidden, spec.hidden, 3, groups=spec.hidden)
        self.project = conv_bn(spec.hidden, spec.out_channels, 1, activation=None)

    def forward(self, image: Tensor) -> Tensor:
        """Map `(N, 3, H, W)` to `(N, out_channels, H/2, W/2)`."""
        return self.project(self.depthwise(self.conv(image)))


@register_unit("inverted_residual")
class InvertedResidual(nn.Module):
    """MobileNetV2's block: 1×1 expand, k×k depthwise, 1×1 linear (Sandler et al. 2018, Fig. 4)."""

    runs_sequences_whole = True  # so `fold_batch_norms` need not try

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        (in_channels,) = spec.in_channels
        self.expand = conv_bn(in_channels, spec.hidden, 1)
        self.depthwise = conv_bn(
            spec.hidden, spec.hidden, spec.kernel, stride=spec.stride, groups=spec.hidden
        )
        self.project = conv_bn(spec.hidden, spec.out_channels, 1, activation=None)
        self.residual = spec.residual

    def forward(self, x: Tensor) -> Tensor:
        """Map `(N, C, H, W)` to `(N, out_channels, H/stride, W/stride)`."""
        out = self.project(self.depthwise(self.expand(x)))
        return x + out if self.residual else out


@register_unit("fusion_deconv")
class FusionDeconv(nn.Module):
    """`ReLU(BN(deconv(refined) + deconv(raw)))`, doubling the map (paper, section 3.3).

    The sum of two transposed convolutions equals one of the concatenated inputs; written as a
    sum, either input may be narrowed by itself.
    """

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        refined, raw = spec.in_channels
        self.refined = self._deconv(refined, spec)
        self.raw = self._deconv(raw, spec)
        self.bn = nn.BatchNorm2d(spec.out_channels)
        self.activation = nn.ReLU(inplace=True)

    @staticmethod
    def _deconv(in_channels: int, spec: UnitSpec) -> nn.ConvTranspose2d:
        padding, output_padding = {2: (0, 0), 3: (1, 1), 4: (1, 0)}[spec.kernel]
        return nn.ConvTranspose2d(
            in_channels,
            spec.out_channels,
            spec.kernel,
            spec.stride,
            padding,
            output_padding,
            bias=False,
        )

    def forward(self, refined: Tensor, raw: Tensor) -> Tensor:
        """Map two `(N, ·, H, W)` inputs to `(N, out_channels, 2H, 2W)`."""
        return self.activation(self.bn(self.refined(refined) + self.raw(raw)))

    def fold_batch_norm(self) -> int:
        """Fold the batch norm into both transposed convolutions; see `fold_batch_norms`."""
        if not isinstance(self.bn, nn.BatchNorm2d):
            return 0
        absorb(self.bn, self.refined, self.raw)
        self.bn = nn.Identity()
        return 1


class SeparableHead(nn.Sequential):
    """k×k depthwise, batch norm, ReLU, 1×1 without bias: features to maps."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__(
            *conv_bn(in_channels, in_channels, kernel, groups=in_channels, activation=nn.ReLU),
            nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )


@register_unit("fusion_head")
class FusionHead(nn.Module):
    """The sum of two separable heads, on the refined and on the raw features."""

    runs_sequences_whole = True  # so `fold_batch_norms` need not try

    def __init__(self, spec: UnitSpec) -> None:
        super().__init__()
        refined, raw = spec.in_channels
        self.refined = SeparableHead(refined, spec.out_channels, spec.kernel)
        self.raw = SeparableHead(raw, spec.out_channels, spec.kernel)

    def initialize(self, generator: torch.Generator) -> None:
        """Start the maps near zero: nothing normalises them, unlike every other output."""
        for head in (self.refined, self.raw):
            last = head[-1]
            if isinstance(last, nn.Conv2d):
                nn.init.normal_(last.weight, std=1e-3, generator=generator)

    def forward(self, refined: Tensor, raw: Tensor) -> Tensor:
        """Map two `(N, ·, H, W)` inputs to `(N, out_channels, H, W)`."""
        return self.refined(refined) + self.raw(raw)
