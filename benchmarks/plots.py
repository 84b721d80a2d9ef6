"""Draws updates/s of the learner, its rivals and the floor from the JSON of `benchmarks.learner`.

python -m benchmarks.plots [benchmarks/results/learner.json] [--out benchmarks/results/learner.png]
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
COLOURS = {"ours": "C3", "torch": "C0", "SB3": "C7"}


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("source", type=Path, nargs="?", default=RESULTS / "learner.json")
    options.add_argument("--out", type=Path, default=RESULTS / "learner.png")
    args = options.parse_args()
    found = json.loads(args.source.read_text())
    rows = [row for row in found["rows"] if "updates/s" in row]
    modes = list(dict.fromkeys(row["encoder_grad"] for row in rows))
    figure, axes = plt.subplots(1, len(modes), figsize=(6.0 * len(modes), 4.5), squeeze=False, sharey=True)
    for axis, mode in zip(axes[0], modes, strict=True):
        draw(axis, [row for row in rows if row["encoder_grad"] == mode])
        axis.set_title(f"encoder_grad = {mode!r}")
    axes[0][0].set_ylabel("TD3 updates per second")
    axes[0][-1].legend(fontsize=8)
    figure.suptitle(f"{found['machine']['processor']}, {found['machine']['cores']} cores", fontsize=10)
    figure.tight_layout()
    figure.savefig(args.out, dpi=110)
    print(f"written to {args.out}")


def draw(axis: Axes, rows: list[dict[str, Any]]) -> None:
    """One line a contender with its spread, and the floor as its upper limit."""
    for what in dict.fromkeys(row["what"] for row in rows):
        line = sorted((row for row in rows if row["what"] == what), key=lambda row: row["batch"])
        rate = [row["updates/s"]["median"] for row in line]
        below = [row["updates/s"]["median"] - row["updates/s"]["low"] for row in line]
        above = [row["updates/s"]["high"] - row["updates/s"]["median"] for row in line]
        axis.errorbar(
            [row["batch"] for row in line],
            rate,
            yerr=[below, above],
            label=what,
            marker="o",
            capsize=3,
            color=COLOURS.get(what.split()[0]),
            linestyle={True: "--", False: "-"}["compiled" in what],
            alpha=0.5 if "NHWC" in what else 1.0,
        )
    ours = sorted((row for row in rows if row["what"] == "ours"), key=lambda row: row["batch"])
    limit = [100.0 * row["updates/s"]["median"] / row["% of floor"] for row in ours]
    axis.plot([row["batch"] for row in ours], limit, "k:", label="floor (measured matrix throughput)")
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xlabel("batch size")
    axis.grid(True, which="both", alpha=0.2)


if __name__ == "__main__":
    main()
