"""python -m avtd3_jax.export --checkpoint runs/NAME --out FOLDER: a run's policy as two small files.

What acts is kept, 1 to 2 MB; replay, critics and optimisers are not. `evaluate` and `drive` take the folder as a
checkpoint.
"""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from absl import logging

from avtd3_jax.checkpoints.checkpoint import Checkpoints
from avtd3_jax.commands import run_command
from avtd3_jax.errors import RunDirectoryError
from avtd3_jax.evaluation.opening import restored
from avtd3_jax.policies.files import is_policy, write_policy
from avtd3_jax.settings.run_config import file_values, parse_saved
from avtd3_jax.training.logs import to_json
from avtd3_jax.training.run_directory import check_writable, writing


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m avtd3_jax.export", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--checkpoint", type=Path, required=True, help="directory of a training run, runs/NAME")
    parser.add_argument("--step", type=int, help="which checkpoint (default: the last one)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write to; it must not hold a policy yet")
    args = parser.parse_args(argv)
    return run_command("export", partial(_main, args), "interrupted.")


def _main(args: argparse.Namespace) -> int:
    logging.set_verbosity(logging.ERROR)
    if is_policy(args.out):
        raise RunDirectoryError(f"{args.out} holds a policy already: give another --out.")
    check_writable(args.out)
    with Checkpoints(args.checkpoint / "checkpoints", read_only=True) as checkpoints:
        run = parse_saved(checkpoints.extras(args.step)["config"])
        network = restored(run, checkpoints, args.step)
    with writing(args.out):
        params = network.agent.acting_params(network.params)
        size = write_policy(args.out, params, network.step, to_json(file_values(run)))
    print(f"written to {args.out}: the policy at step {network.step:,}, {size / 1e6:.1f} MB")
    print(f"drive      python -m avtd3_jax.drive --checkpoint {args.out}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
