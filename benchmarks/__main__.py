"""Measures everything in benchmarks/results anew, one command after the other, on a machine with nothing else to do.

python -m benchmarks [NAME ...]       # about an hour for all, on two cores without a GPU
python -m benchmarks --list           # what would run, and for how long
python -m benchmarks --tiny           # small sizes, nothing written: does each run?

Then it draws the plot and writes the tables of benchmarks/README.md. Commit first: a figure names its commit.
"""

import argparse
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass

from reporting.machine import ROOT


@dataclass(frozen=True)
class Measurement:
    """A command of record: its arguments, smaller ones that try it out, and about how long it takes."""

    arguments: str
    tiny: str
    minutes: float


MEASUREMENTS = {
    "learner": Measurement(
        "--batches 64 256 --encoder-grads both --rounds 3 --seconds 1.5",
        "--batches 8 --encoder-grads both --rounds 1 --seconds 0.2 --variants ours 'torch eager' SB3",
        10,
    ),
    "replay": Measurement("--capacity 1000000", "--filled 2000 --capacity 4000", 2),
    "checkpoint": Measurement("", "--capacity 4000 --repetitions 2", 5),
    "envloop": Measurement("--steps 500", "--steps 50 --repetitions 1 --rows 'no camera' '20 NPC vehicles'", 3),
    "first_update": Measurement("", "--repetitions 1 --batch 8", 1),
    "train": Measurement("", "--scenarios empty --batches 8 --envs 1 --seconds 0.5 --repetitions 1", 17),
    "scaling": Measurement("", "--quick", 5),
    "fleet": Measurement("", "--envs 1 2 --seconds 0.5 --repetitions 1", 6),
    "acting": Measurement("", "--encoders small --steps 5 --repetitions 1", 1),
    "crowd": Measurement("", "--walkers 0 5 --ticks 20 --rounds 1", 1),
    "monitor": Measurement("--pairs 8", "--scenarios empty --seconds 1 --pairs 1", 5),
}


def command(name: str) -> str:
    """What writes the result file of that name, from the repository's root."""
    words = ["python -m", f"benchmarks.{name}", MEASUREMENTS[name].arguments, f"--json benchmarks/results/{name}.json"]
    return " ".join(filter(None, words))


def main() -> int:
    """The command; its exit code is 1 when one of the measurements failed."""
    options = argparse.ArgumentParser(
        "python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("names", nargs="*", metavar="NAME", help=", ".join(MEASUREMENTS))
    options.add_argument("--list", action="store_true")
    options.add_argument("--tiny", action="store_true")
    args = options.parse_args()
    if unknown := [name for name in args.names if name not in MEASUREMENTS]:
        options.error(f"there is no measurement {unknown[0]!r}: choose from {', '.join(MEASUREMENTS)}")
    names = args.names or list(MEASUREMENTS)
    if args.list:
        for name in names:
            print(f"{command(name)}    # {MEASUREMENTS[name].minutes:g} minutes")
        return 0
    failed = []
    for name in names:
        words = (
            f"benchmarks.{name} {MEASUREMENTS[name].tiny}" if args.tiny else command(name).removeprefix("python -m ")
        )
        if not _runs(words):
            failed.append(name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    if not args.tiny:
        failed += [words for words in ("benchmarks.plots", "reporting") if not _runs(words)]
    return int(bool(failed))


def _runs(words: str) -> bool:
    print(f"\npython -m {words}", flush=True)
    began = time.monotonic()
    code = subprocess.run([sys.executable, "-m", *shlex.split(words)], cwd=ROOT, check=False).returncode
    print(f"{'done' if code == 0 else f'ended with {code}'} after {(time.monotonic() - began) / 60:.1f} minutes")
    return code == 0


if __name__ == "__main__":
    raise SystemExit(main())
