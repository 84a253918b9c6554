"""`ofa-pose macs`: the published networks' costs, every way of naming an arch."""

import json

import pytest

XS = {
    "resolution": 256, "stem": 16, "stage1": 16, "stage2": 32, "stage3": 48, "stage4": 80,
    "deconv1": 16, "deconv2": 24, "deconv3": 24,
}  # fmt: skip


def costs(command, *arguments):
    outcome = command("macs", *arguments, "--json")
    assert outcome.code == 0, outcome.err
    return json.loads(outcome.out)


# LitePose's networks: GMACs as measured on the published code, and published parameters (M).
@pytest.mark.parametrize(
    ("space", "arch", "skeleton", "exact", "paper", "thop", "params"),
    [
        ("litepose-xs", "XS", "crowdpose", 0.8829, 1.2023, 1.2202, 1.6756),
        ("litepose", "L", "crowdpose", 9.9620, 13.7130, 13.8341, 5.7381),
        ("litepose-xs", "XS", "coco", 0.8858, 1.205, 1.2232, None),
    ],
)
def test_published(command, space, arch, skeleton, exact, paper, thop, params):
    document = costs(command, "--space", space, "--arch", arch, "--skeleton", skeleton)
    macs = {name: round(value / 1e9, 4) for name, value in document["macs"].items()}
    assert macs["exact"] == exact
    assert macs["paper"] == pytest.approx(paper, abs=6e-4)
    assert macs["thop"] == thop
    assert params is None or round(document["params"] / 1e6, 4) == params
    for name, total in document["macs"].items():
        assert sum(unit["macs"][name] for unit in document["units"]) == total


def test_table_ends_with_all_totals(command):
    outcome = command("macs", "--space", "litepose-xs", "--arch", "XS")
    assert outcome.code == 0
    for expected in ("(exact): 882,892,800 = 0.8829 G", "(paper)", "(thop)", "1.6756 M", "peak"):
        assert expected in outcome.out
    assert "stage4.9" in outcome.out


def test_every_way_to_name_an_arch(command, tmp_path):
    pairs = ",".join(f"{name}={value}" for name, value in XS.items())
    plain, published = tmp_path / "plain.json", tmp_path / "published.json"
    plain.write_text(json.dumps(XS), encoding="utf-8")
    stages = [(6, 2, 16), (8, 2, 32), (10, 2, 48), (10, 1, 80)]
    published.write_text(
        json.dumps(
            {
                "img_size": 256,
                "input_channel": 16,
                "deconv_setting": [16, 24, 24],
                "backbone_setting": [
                    {
                        "num_blocks": blocks,
                        "stride": stride,
                        "channel": channel,
                        "block_setting": [[6, 7]] * blocks,
                    }
                    for blocks, stride, channel in stages
                ],
            }
        ),
        encoding="utf-8",
    )
    key = "-".join(str(value) for value in XS.values())
    for text in ("XS", key, pairs, plain, published):
        document = costs(command, "--space", "litepose-xs", "--arch", text)
        assert document["arch"] == XS, text


def test_an_arch_is_printed_in_the_published_form_and_read_back(command, tmp_path):
    path = tmp_path / "published.json"
    printed = command("macs", "--space", "litepose-xs", "--arch", "XS", "--published").out
    assert json.loads(printed)["deconv_setting"] == [16, 24, 24]
    path.write_text(printed, encoding="utf-8")
    assert costs(command, "--space", "litepose-xs", "--arch", path)["arch"] == XS
    # The toy's stem is 4 wide inside; the form knows only the published 32.
    refused = command("macs", "--space", "toy", "--published")
    assert (refused.code, refused.out) == (2, "")
    assert "cannot describe" in refused.err


def test_random_is_a_function_of_the_seed(command):
    def arch(seed):
        arguments = ("--space", "litepose-xs", "--arch", "random", "--seed", seed)
        return costs(command, *arguments)["arch"]

    assert arch(3) == arch(3)
    assert len({tuple(arch(seed).items()) for seed in range(5)}) > 1


def test_damaged_json(command, tmp_path):
    path = tmp_path / "arch.json"
    for text, expected in (("{", "not JSON"), ("[1]", "holds no arch"), ("{}", "no value for")):
        path.write_text(text, encoding="utf-8")
        outcome = command("macs", "--space", "toy", "--arch", path)
        assert outcome.code == 2
        assert expected in outcome.err
