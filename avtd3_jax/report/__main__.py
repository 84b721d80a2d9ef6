"""python -m avtd3_jax.report runs/NAME [runs/OTHER ...]: one HTML file that shows what runs did and where they fail.

The file opens from disk, without a network. Several runs are shown side by side.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from avtd3_jax.commands import run_command
from avtd3_jax.report.page import REPORT, write_report


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m avtd3_jax.report",
        description=(__doc__ or "").split("\n")[0],
        epilog="example: python -m avtd3_jax.report runs/mine runs/other --out compared.html",
    )
    parser.add_argument("runs", type=Path, nargs="+", help="directories of runs, or --workdir of evaluations")
    parser.add_argument("--out", type=Path, help=f"the file to write (default: {REPORT} in the first run's directory)")
    work = partial(_main, parser.parse_args(argv))
    return run_command("report", work, "interrupted; nothing was written.")


def _main(args: argparse.Namespace) -> int:
    path = args.out or args.runs[0] / REPORT
    write_report(args.runs, path)
    print(f"written to {path} ({path.stat().st_size / 1e6:.1f} MB)", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
