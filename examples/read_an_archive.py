"""Read a search's archive.csv with pandas: the front, what each choice does, the gain of searching.

    python examples/read_an_archive.py runs/search-litepose-lite0/archive.csv

Without a file a small archive is made here, of a made-up score, so that it takes a second.
"""

import sys
import tempfile
from pathlib import Path

import pandas as pd

import ofa_pose as op

ABOUT = ("order", "generation", "tier", "index", "error")


def made_up_archive(folder: Path) -> Path:
    """Search `toy` for the largest sum of logarithms of widths; return the archive."""
    path = folder / "archive.csv"
    op.search(
        op.load_space("toy"),
        lambda arch: {"AP": sum(value.bit_length() for value in arch.values()) / 100},
        budgets=["0.3M"],
        evaluations=30,
        archive_path=path,
    )
    return path


def main(path: Path) -> None:
    """Print what an archive tells."""
    archive = pd.read_csv(path)
    scored = archive[archive["error"].isna()]  # a failed evaluation says why
    choices = [name for name in archive.columns if "." not in name and name not in ABOUT]
    print(f"{len(archive)} archs, {len(archive) - len(scored)} failed; choices: {choices}")

    best = scored.sort_values("score.AP", ascending=False)
    print(best[[*choices, "cost.macs_exact", "score.AP"]].head(5).to_string(index=False))

    # The front: no cheaper arch scores as high.
    by_cost = scored.sort_values(["cost.macs_exact", "score.AP"], ascending=[True, False])
    front = by_cost[by_cost["score.AP"] > by_cost["score.AP"].cummax().shift(fill_value=-1)]
    print(f"on the front over MACs: {len(front)}")

    # How each choice goes with the score, over the archs that were tried.
    tried = [name for name in choices if scored[name].nunique() > 1]
    ranks = scored[tried].corrwith(scored["score.AP"], method="spearman")
    print(ranks.sort_values(ascending=False).round(2).to_string())

    # The best so far, evaluation by evaluation.
    print("best after 10, 20, 30, ...:", scored["score.AP"].cummax().iloc[9::10].round(3).tolist())

    baseline = path.with_name("baseline.csv")  # of `ofa-pose search`: uniformly scaled networks
    if baseline.exists():
        uniform = pd.read_csv(baseline)
        print(f"best uniformly scaled network: {uniform['score.AP'].max():.3f}")


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].endswith(".csv"):
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as folder:
            main(made_up_archive(Path(folder)))
