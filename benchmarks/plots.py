"""Draws updates/s of the learner, its rivals and the floor from the JSON of `benchmarks.learner` or `benchmarks.gpu`.

python -m benchmarks.plots [benchmarks/results/learner.json] [--out FILE.png]
"""

import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reporting.publish import plain_parser

RESULTS = Path(__file__).parent / "results"
FLOORS = {"float32": "k:", "bfloat16": "k-."}
COLOURS = {
    ("ours", "float32"): "tab:red",
    ("ours", "bfloat16"): "darkred",
    ("torch", "float32"): "tab:cyan",
    ("torch", "bfloat16"): "tab:blue",
    ("SB3", "float32"): "tab:gray",
}


def main() -> None:
    """The command."""
    options = plain_parser(__doc__)
    options.add_argument("source", type=Path, nargs="?", default=RESULTS / "learner.json")
    options.add_argument("--out", type=Path, help="default: beside the source, as a PNG")
    args = options.parse_args()
    out = args.out or args.source.with_suffix(".png")
    picture(json.loads(args.source.read_text())).savefig(out, dpi=110)
    print(f"written to {out}")


def picture(found: dict[str, Any]) -> Figure:
    """Updates/s over the batch size, one panel for each way of training the encoder.

    Rows of ours with a part taken away ("ours, ...") are in the table alone.
    """
    rows = [row for row in found["rows"] if "updates/s" in row and "encoder_grad" in row]
    rows = [row for row in rows if not row["what"].startswith("ours,")]
    modes = list(dict.fromkeys(row["encoder_grad"] for row in rows))
    figure, axes = plt.subplots(1, len(modes), figsize=(2.5 + 5.5 * len(modes), 4.5), squeeze=False, sharey=True)
    for axis, mode in zip(axes[0], modes, strict=True):
        draw(axis, [row for row in rows if row["encoder_grad"] == mode])
        axis.set_title(f"encoder_grad = {mode!r}")
    axes[0][0].set_ylabel("TD3 updates per second")
    axes[0][-1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0))
    where = found["machine"]
    figure.suptitle(where.get("device", where["processor"]).split(", jax")[0], fontsize=10)
    figure.tight_layout()
    return figure


def draw(axis: Axes, rows: list[dict[str, Any]]) -> None:
    """One line a contender with its spread, and the floor as its upper limit."""
    lines: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(rows, key=lambda row: row["batch"]):
        lines.setdefault(label(row), []).append(row)
    for name, line in lines.items():
        rate = [row["updates/s"]["median"] for row in line]
        below = [row["updates/s"]["median"] - row["updates/s"]["low"] for row in line]
        above = [row["updates/s"]["high"] - row["updates/s"]["median"] for row in line]
        axis.errorbar(
            [row["batch"] for row in line],
            rate,
            yerr=[below, above],
            label=name,
            marker="s" if line[0]["compute"] == "bfloat16" else "o",
            capsize=3,
            color=COLOURS[name.split()[0].rstrip(","), line[0]["compute"]],
            linestyle="--" if "compiled" in name else "-",
            alpha=0.5 if "NHWC" in name else 1.0,
        )
    for dtype, style in FLOORS.items():
        floor: dict[int, float] = {}
        for row in rows:
            if row["what"] == "ours" and row["compute"] == dtype and "% of floor" in row:
                limit = 100.0 * row["updates/s"]["median"] / row["% of floor"]
                floor[row["batch"]] = max(limit, floor.get(row["batch"], 0.0))
        if floor:
            batches = sorted(floor)
            axis.plot(batches, [floor[batch] for batch in batches], style, label=f"floor ({dtype} products, measured)")
    axis.set_xscale("log", base=2)
    sizes = sorted({row["batch"] for row in rows if row.get("batch")})
    axis.set_xticks(sizes, [str(size) for size in sizes])
    axis.set_yscale("log")
    axis.set_xlabel("batch size")
    axis.grid(True, which="both", alpha=0.2)


def label(row: dict[str, Any]) -> str:
    """A contender's name, with how it computes and is fed where that is not the plain way."""
    parts = [row["what"]]
    parts += [row["compute"]] * (row["compute"] != "float32") + [f"from {row['feed']}"] * (row["feed"] != "fixed")
    if (at_once := row.get("updates/dispatch", 1)) > 1:
        parts.append(f"{at_once} a dispatch")
    return ", ".join(parts)


if __name__ == "__main__":
    main()
