"""The soak as a picture: memory and the other counts over time, a line for every fault."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from robustness.faults.usage import Sample


def of_soak(samples: list[Sample], marks: list[tuple[float, str]], out: Path) -> None:
    """Writes the picture to `out`."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(11.0, 6.0), sharex=True)
    minutes = [one["s"] / 60.0 for one in samples]
    for name in ("trainer MB", "all MB"):
        above.plot(minutes, [one[name] for one in samples], label=name.removesuffix(" MB"))
    above.set_ylabel("resident memory, MB")
    for name in ("files", "threads", "processes", "ports"):
        below.plot(minutes, [one[name] for one in samples], label=name)
    below.set_yscale("log")
    below.set_xlabel("minutes")
    names = sorted({name for _, name in marks})
    for axis in (above, below):
        for moment, name in marks:
            axis.axvline(moment / 60.0, color=f"C{names.index(name) % 10}", alpha=0.4, linewidth=0.8)
        axis.legend(loc="upper right", fontsize=8)
    figure.suptitle(f"{len(marks)} faults (vertical lines) in {minutes[-1]:.0f} minutes" if minutes else "no samples")
    figure.tight_layout()
    figure.savefig(out, dpi=100)
    plt.close(figure)
    print(f"written to {out}")
