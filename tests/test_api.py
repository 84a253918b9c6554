"""The search as a program asks for it: texts for budgets, costs counted by itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import ofa_pose as op
from ofa_pose.api import check_tier_names, name_budgets
from ofa_pose.errors import (
    ArchError,
    BudgetError,
    InfeasibleBudgetError,
    SpaceError,
    UnknownNameError,
    UsageError,
)
from ofa_pose.search import Limit


@pytest.fixture(scope="module")
def toy():
    return op.load_space("toy")


def wide(arch):
    """Score an arch by its channels."""
    return {"AP": sum(arch.values()) - arch.resolution}


def test_budgets_are_texts_and_costs_are_counted(toy):
    result = op.search(toy, wide, budgets=["0.3M", "9k params"], seed=0)
    assert list(result.tiers) == ["0.3M", "9k-params"]
    for arch in (result.tiers["0.3M"].arch, result.tiers["9k-params"].arch):
        cost = op.count(toy, arch)
        assert cost.macs["exact"] <= 300_000 or cost.params <= 9_000
    within = [arch for arch in toy if op.count(toy, arch).macs["exact"] <= 300_000]
    best = max(wide(arch)["AP"] for arch in within)  # of 64 archs the search sees every one
    assert result.tiers["0.3M"].scores["AP"] == best


def test_without_budgets_the_tiers_are_searched(toy):
    result = op.search(toy, wide, evaluations=9)
    assert list(result.tiers) == ["S", "M", "L"]
    assert result.tiers["S"].limits == (Limit("macs_exact", 250_000),)


def test_one_tier_may_have_several_bounds_of_any_form(toy):
    bounds = ["0.3M", op.Budget.parse("9k params"), Limit("peak_memory", 1e9)]
    result = op.search(toy, wide, budgets={"phone": bounds}, evaluations=6)
    assert result.tiers["phone"].limits == (
        Limit("macs_exact", 300_000),
        Limit("params", 9_000),
        Limit("peak_memory", 1e9),
    )


def test_a_table_counts_for_another_skeleton(toy):
    table = op.CostTable(toy, skeleton="coco")
    result = op.search(toy, wide, budgets=["1M"], costs=table, evaluations=4)
    row = next(iter(result.archive))
    assert row.costs["params"] == op.count(toy, row.arch, skeleton="coco").params


def test_costs_are_those_of_the_supernet_that_is_evaluated(toy):
    class Evaluator:
        supernet = op.Supernet(toy, skeleton="coco")  # three joints more: costlier outputs

        def __call__(self, arch):
            return wide(arch)

    macs = {arch: op.count(toy, arch, skeleton="coco").macs["exact"] for arch in toy}
    for bound in sorted(macs.values())[10:50:10]:
        result = op.search(toy, Evaluator(), budgets={"S": f"{bound}"}, evaluations=64)
        winner = result.tiers["S"]
        assert winner.costs["macs_exact"] == macs[winner.arch] <= bound
        within = [wide(arch)["AP"] for arch, cost in macs.items() if cost <= bound]
        assert winner.scores["AP"] == max(within)
    table = op.CostTable(toy)  # whoever gives costs is believed
    given = op.search(toy, Evaluator(), budgets=["1M"], costs=table, evaluations=4)
    row = next(iter(given.archive))
    assert row.costs["params"] == op.count(toy, row.arch).params


def test_a_latency_is_a_bound_like_any_other(toy, latency_table, tmp_path):
    path = latency_table(toy, lambda spec: spec.in_shapes[0][1] / 100, name="phone").save(tmp_path)
    budgets = [f"3.5ms@{path},9k params"]
    result = op.search(toy, wide, budgets=budgets, evaluations=200)
    winner = result.tiers["3.5ms-phone-9k-params"]
    table = op.LatencyTable.load(path)
    within = [
        arch
        for arch in toy
        if table.predict(toy, arch) <= 3.5 and op.count(toy, arch).params <= 9_000
    ]
    assert 0 < len(within) < len(toy)
    assert winner.scores["AP"] == max(wide(arch)["AP"] for arch in within)
    assert winner.costs["latency:phone"] == table.predict(toy, winner.arch)
    assert all("latency:phone" in row.costs for row in result.archive)
    cheapest = min(table.predict(toy, arch) for arch in toy)
    with pytest.raises(
        InfeasibleBudgetError, match=rf"smallest possible is {cheapest:.4g}ms@phone"
    ):
        op.search(toy, wide, budgets=[f"0.1ms@{path}"])
    with pytest.raises(UnknownNameError, match="unknown latency table 'none'"):
        op.search(toy, wide, budgets=["3ms@none"])


def test_two_tables_of_one_name_are_refused(toy, latency_table, tmp_path):
    table = latency_table(toy, lambda _spec: 1.0, name="phone")
    one, other = table.save(tmp_path / "a"), table.save(tmp_path / "b")
    same = tmp_path / "b" / ".." / "a" / one.name
    op.search(toy, wide, budgets=[f"30ms@{one}", f"40ms@{same}"], evaluations=2)
    with pytest.raises(UsageError, match=r"two latency tables are called 'phone'.*rename one"):
        op.search(toy, wide, budgets=[f"30ms@{one}", f"30ms@{other}"], evaluations=2)


def test_a_latency_may_be_an_axis_without_a_bound(toy, latency_table):
    table = latency_table(toy, lambda spec: 1.0 + spec.out_channels, name="phone")
    costs = op.CostTable(toy, latencies=[table])
    options = {"budgets": ["1M"], "costs": costs, "evaluations": 64}
    plain = op.search(toy, wide, **options)
    both = op.search(toy, wide, front_costs=["latency:phone"], **options)
    assert all("latency:phone" in row.costs for row in plain.archive)
    assert {row.index for row in plain.front} < {row.index for row in both.front}
    with pytest.raises(UnknownNameError, match="unknown cost of the front 'latency:none'"):
        op.search(toy, wide, front_costs=["latency:none"], **options)


def test_what_is_refused(toy):
    with pytest.raises(InfeasibleBudgetError, match="smallest possible is .*k exact MACs"):
        op.search(toy, wide, budgets=["1k"])
    with pytest.raises(BudgetError, match="1 mile"):
        op.search(toy, wide, budgets=["1 mile"])
    with pytest.raises(BudgetError, match="a list of texts"):
        op.search(toy, wide, budgets="1.2G")
    with pytest.raises(BudgetError, match=r"a list of texts, such as \['1.2G'\], not 1.2"):
        op.search(toy, wide, budgets=1.2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(BudgetError, match="a budget in a list is a text.* not 300000"):
        op.search(toy, wide, budgets=[300_000])  # pyright: ignore[reportArgumentType]
    for bound in (300_000, ["0.3M", None]):
        with pytest.raises(BudgetError, match="budget of tier 'S' is a text.* not (300000|None)$"):
            op.search(toy, wide, budgets={"S": bound})  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    "bounds", [["0.3M", "0.4M"], ["0.3M,9k params", Limit("macs_exact", 1e6)], "0.3M,0.4M"]
)
def test_a_tier_bounds_a_cost_once(toy, bounds):
    with pytest.raises(BudgetError, match="bounds macs_exact twice"):
        op.search(toy, wide, budgets={"S": bounds})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"offspring": 1.5}, "offspring is a whole number, not 1.5"),
        ({"population": "8"}, "population is a whole number, not '8'"),
        ({"parents": 0}, "parents is at least 1, not 0"),
        ({"seed": True}, "seed is a whole number, not True"),
        ({"seed": -1}, "seed is at least 0, not -1"),
        ({"evaluations": 9.0}, "evaluations is a whole number, not 9.0"),
        ({"crossover": "half"}, "crossover is a number, not 'half'"),
        ({"mutation": 1.5}, "mutation lies in 0..1, not 1.5"),
        ({"worth": float("nan")}, "worth is 0 or more, not nan"),
        ({"objective": 3}, "objective is the name of a score, not 3"),
        ({"strategy": 3}, "strategy is a name, not 3; known: aging, elitist, "),
        (
            {"workers": 1.5},
            "workers is a number, a text such as '4' or 'ray', or open workers, not",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_settings_that_cannot_be(toy, options, message):
    with pytest.raises(UsageError) as caught:
        op.search(toy, wide, budgets=["1M"], **options)
    assert str(caught.value).startswith(message)


def test_a_tier_that_is_no_text_is_refused(toy):
    with pytest.raises(UsageError, match="^a tier's name is a text, not 5$"):
        op.search(toy, wide, budgets={5: "1M"})  # pyright: ignore[reportArgumentType]


def test_numbers_of_numpy_are_settings(toy, tmp_path):
    options = {"offspring": np.int64(4), "crossover": np.float32(0.5), "evaluations": np.int32(20)}
    found = op.search(toy, wide, budgets=["1M"], archive_path=tmp_path / "a.csv", **options)
    plain = op.search(toy, wide, budgets=["1M"], offspring=4, crossover=0.5, evaluations=20)
    assert [row.arch for row in found.archive] == [row.arch for row in plain.archive]


@pytest.mark.parametrize(
    "call",
    [
        lambda arch: op.count("toy", arch),  # pyright: ignore[reportArgumentType]
        lambda arch: op.build("toy", arch),  # pyright: ignore[reportArgumentType]
        lambda arch: op.Supernet("toy"),  # pyright: ignore[reportArgumentType]
        lambda arch: op.CostTable("toy"),  # pyright: ignore[reportArgumentType]
        lambda arch: op.search("toy", wide, budgets=["1M"]),  # pyright: ignore[reportArgumentType]
    ],
    ids=["count", "build", "Supernet", "CostTable", "search"],
)
def test_a_name_is_no_space(toy, call):
    with pytest.raises(SpaceError, match=r"a search space is needed, not 'toy'; load_space\(...\)"):
        call(toy.largest)


@pytest.mark.parametrize("arch", ["nobody", {"stem": 4}, 3])
def test_what_is_no_arch(toy, arch):
    for call in (op.count, op.build, lambda space, arch: op.Supernet(space).extract(arch)):
        with pytest.raises((ArchError, UnknownNameError), match="arch"):
            call(toy, arch)


@pytest.mark.parametrize("arch", ["smallest", "48-2-4-8-16-8-8-4-2"])
def test_what_a_space_takes_for_an_arch_the_others_take(toy, arch):
    found = toy.arch(arch)
    for given in (arch, dict(found)):
        assert op.count(toy, given) == op.count(toy, found)
        assert op.build(toy, given).plan == op.build(toy, found).plan
        supernet = op.Supernet(toy).eval()
        images = torch.ones(1, 3, 32, 32)
        assert torch.equal(supernet(images, given)[0], supernet.extract(given)(images)[0])


def test_a_tier_must_not_be_named_like_a_file_of_the_run(toy):
    assert list(name_budgets(toy, ["0.25M"])) == ["S"]

    class Renamed:
        name, tiers = "mine", {"Config": "0.25M", "L": "1M"}

    with pytest.raises(UsageError, match="tier 'Config'.*best"):
        name_budgets(Renamed(), [])  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        *[("S", "s"), ("my phone", "my-phone"), ("a", "a."), ("é", "ü"), ("é", "tier")],
        ("\N{KELVIN SIGN}", "tier"),  # whose small letter is the ASCII k
    ],
)
def test_two_tiers_must_not_share_their_files(toy, one, other):
    with pytest.raises(UsageError) as caught:
        op.search(toy, wide, budgets={one: "0.3M", "L": "2M", other: "1M"})
    assert str(caught.value) == (
        f"tiers {one!r} and {other!r} would overwrite each other's files; give one another name"
    )


def test_tiers_of_two_files_are_taken():
    check_tier_names(["\N{KELVIN SIGN}", "k"])


def test_nor_two_budgets_that_are_named_alike(toy):
    with pytest.raises(UsageError, match="tiers '30ms-a-b' and '30ms-a-b' would overwrite"):
        name_budgets(toy, ["30ms@a_b", "30ms@a-b"])
    assert list(name_budgets(toy, ["1M", "1000k"])) == ["1M"]


@pytest.mark.parametrize("name", ["config", "Best", "last", ".last-"])
def test_nor_a_tier_that_a_program_names(toy, name):
    def never(arch):
        raise NotImplementedError

    with pytest.raises(UsageError) as caught:
        op.search(toy, never, budgets={"phone": "0.3M", name: "1M"})
    assert str(caught.value) == (
        f"tier {name!r} has the name of a run's own file; rename it (taken: config, best, last)"
    )


def test_costs_of_another_space_are_refused(toy):
    other = replace(toy, name="other", pixel_mean=(0.0, 0.0, 0.0))  # has as many archs
    with pytest.raises(UsageError, match=r"the costs are of space 'other' \(.*in 'toy'"):
        op.search(toy, wide, budgets=["0.3M"], costs=op.CostTable(other), evaluations=8)


@pytest.mark.parametrize("wrong", [{"evaluate": 3}, {"evaluate": {"AP": 1.0}}, {"progress": True}])
def test_what_is_no_function_is_refused_before_a_file_is_made(toy, tmp_path, wrong):
    given = {"evaluate": wide, "archive_path": tmp_path / "a.csv", **wrong}
    with pytest.raises(UsageError, match=f"{next(iter(wrong))} is a function, not"):
        op.search(toy, **given)
    assert not list(tmp_path.iterdir())
