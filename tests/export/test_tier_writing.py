"""What is written of a tier: nothing that is wrong, and never a mixture of two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from ofa_pose import load_space
from ofa_pose.errors import (
    ArchError,
    OfaPoseError,
    UsageError,
    WeightsError,
)
from ofa_pose.export import Tier, load_tier, make_tier, save_tier
from ofa_pose.export import tier_files as tier_module


def path_of(tier: Tier) -> Path:
    assert tier.path is not None
    return tier.path


def test_an_arch_of_another_space_is_refused(space):
    with pytest.raises(ArchError, match="'litepose'"):
        make_tier("S", space, load_space("litepose").largest)


def test_another_archs_network_is_not_written(space, supernet, arch, tmp_path):
    with pytest.raises(WeightsError, match="network given for tier 'S'"):
        save_tier(tmp_path, make_tier("S", space, arch), supernet.extract(space.largest))
    assert list(tmp_path.iterdir()) == []


def test_a_network_with_nan_is_not_written(space, supernet, arch, tmp_path):
    network = supernet.extract(arch)
    with torch.no_grad():
        next(network.parameters()).view(-1)[0] = torch.nan
    with pytest.raises(WeightsError, match="NaN"):
        save_tier(tmp_path, make_tier("S", space, arch), network)
    assert list(tmp_path.iterdir()) == []


def test_a_score_that_is_nan_is_not_written(space, supernet, arch, tmp_path):
    tier = make_tier("S", space, arch).with_scores("search", {"AP": float("nan")})
    with pytest.raises(UsageError, match=r"scores\.search\.AP"):
        save_tier(tmp_path, tier, supernet.extract(arch))
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_a_file_is_refused(space, supernet, arch, tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(OfaPoseError, match="cannot write"):
        save_tier(tmp_path / "run", make_tier("S", space, arch), supernet.extract(arch))


def test_no_yaml_without_its_weights(space, supernet, arch, tmp_path, monkeypatch):
    """Killed between the two writes, the weights are there and no YAML names them."""

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tier_module, "atomic_write", killed)
    with pytest.raises(KeyboardInterrupt):
        save_tier(tmp_path, make_tier("S", space, arch), supernet.extract(arch))
    assert [file.name for file in tmp_path.iterdir()] == ["S.safetensors"]


def test_an_overwritten_tier_is_never_a_mixture(saved, supernet, arch, monkeypatch):
    network = supernet.extract(arch)
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(tier_module, "atomic_write", lambda *_: None)
        save_tier(path_of(saved).parent, saved, network)
    with pytest.raises(WeightsError, match="not those the tier was written with"):
        load_tier(path_of(saved))
    assert load_tier(path_of(save_tier(path_of(saved).parent, saved, network))).build() is not None


def test_an_unsaved_tier_cannot_be_built(space, arch):
    with pytest.raises(UsageError, match="save it first"):
        make_tier("S", space, arch).build()


def test_latencies_are_costs_with_their_table_s_name(space, supernet, arch, tmp_path):
    tier = make_tier("S", space, arch, latency_ms={"x86-ncnn": 12.5})
    saved = save_tier(tmp_path, tier, supernet.extract(arch))
    assert yaml.safe_load((tmp_path / "S.yaml").read_text())["costs"]["latency_ms"] == {
        "x86-ncnn": 12.5
    }
    assert load_tier(tmp_path / "S.yaml").costs == saved.costs


def test_an_arch_by_its_name():
    space = load_space("toy")
    assert make_tier("m", space, "smallest") == make_tier("m", space, space.smallest)
