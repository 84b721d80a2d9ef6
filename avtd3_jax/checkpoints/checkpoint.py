"""Checkpoints of a run: taken between episodes, written beside training, restored exactly or refused in plain words.

A checkpoint is a directory named after its environment step. `checkpoint.json` has counters, configuration, and the
checksum of every other file; `params` and `learner` are orbax's; `replay.safetensors` has the slots that are in none of
the replay's segments, which all checkpoints share (`replay_store`: orbax would write the whole replay each time). It is
written under another name and then renamed, so it is there as a whole or not at all.
"""

import shutil
import sys
import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from avtd3_jax.agent.interface import Params, TrainState
from avtd3_jax.agent.placement import put
from avtd3_jax.checkpoints import array_files, orbax_items
from avtd3_jax.checkpoints.array_files import PART, DamagedError
from avtd3_jax.checkpoints.replay_store import ReplayStore, Snapshot, describe, segments_of
from avtd3_jax.errors import CheckpointError
from avtd3_jax.replay.replay import FrameReplay

T = TypeVar("T")
Arrays = dict[str, np.ndarray]

_INDEX = "checkpoint.json"
_REPLAY = "replay"
_REPLAY_FILE = "replay.safetensors"


class Restored(NamedTuple):
    """A checkpoint's content; `extras` is what was given when it was taken."""

    step: int
    state: TrainState
    extras: dict[str, Any]


class _Taken(NamedTuple):
    """A checkpoint in memory."""

    step: int
    arrays: dict[str, Arrays]  # by item
    replay: Snapshot | None
    extras: dict[str, Any]


class Checkpoints:
    """The checkpoints of one run, by step, in one directory. Close it before the process ends, or use it in `with`."""

    def __init__(self, directory: str | Path, *, keep: int = 3, read_only: bool = False) -> None:
        """Opens `directory`, making it unless `read_only`; at most `keep` checkpoints are kept.

        Raises:
          CheckpointError: `read_only`, and there is no such directory; or its name cannot be given to orbax's storage.
        """
        self.directory = Path(directory).expanduser().absolute()
        if sys.getfilesystemencoding() != "utf-8" and not str(self.directory).isascii():
            raise CheckpointError(
                f"{self.directory}: orbax writes names in UTF-8 and this process in {sys.getfilesystemencoding()}: set "
                "PYTHONUTF8=1, or choose a directory with an ASCII name."
            )
        if read_only and not self.directory.is_dir():
            raise CheckpointError(f"There is no checkpoint directory {self.directory}: give the directory of a run.")
        self._keep = keep
        self._read_only = read_only
        self._replays = ReplayStore(self.directory / _REPLAY)
        self._held: _Taken | None = None  # the last one taken, until it is written
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._writing: tuple[Future[None], _Taken | None] | None = None
        self._failures = 0  # in a row
        self._abandoned: list[int] = []  # steps beyond the one that was restored
        if not read_only:
            self.directory.mkdir(parents=True, exist_ok=True)
            for left_over in self.directory.glob("*" + PART):
                shutil.rmtree(left_over)

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, oldest first."""
        return sorted(int(path.name) for path in self.directory.glob("*") if path.name.isdigit())

    def take(
        self,
        step: int,
        state: TrainState,
        replay: FrameReplay | None = None,
        extras: Mapping[str, Any] | None = None,
        *,
        write: bool = True,
    ) -> bool:
        """Copies everything, so that the caller may go on and donate `state`; with `write`, writes it beside the run.

        What is not written stays in memory until the next one is taken, or until `wait` or `close` writes it.

        Args:
          step: names the checkpoint; one of that name is replaced.
          state: the learner's state.
          replay: its slots that are new are copied; None to leave it out.
          extras: JSON-able; counters, seeds, configuration, the simulator's identity.
          write: False keeps it in memory; only the replay's full segments are written.

        Returns:
          Whether it is being written. Not while the one before is, and not while too much of the replay is new. When
          writing fails there is a warning: what was written earlier is untouched, and the run can go on.
        """
        self._look_after()
        taken = self._copy(step, state, replay, extras)
        if self._writing is None and (write or self._replays.waiting):
            self._begin(self._held if write else None)
            return write and taken
        return False

    def flush(self) -> None:
        """Begins to write what was taken last, unless something is being written; `wait` and `close` do it then."""
        self._look_after()
        if self._writing is None and self._held is not None:
            self._begin(self._held)

    def save(
        self, step: int, state: TrainState, replay: FrameReplay | None = None, extras: Mapping[str, Any] | None = None
    ) -> None:
        """As `take`, and returns when it is on disk. Raises CheckpointError when it could not be written."""
        self._settle()
        while not self._copy(step, state, replay, extras):
            self._begin(None)
            self._finish()
        self.wait()

    def wait(self) -> None:
        """Writes what was taken last; returns when it is on disk. Raises CheckpointError when it could not be."""
        self._settle()
        if self._held is not None:
            self._begin(self._held)
            self._finish()

    def restore(self, template: TrainState, replay: FrameReplay | None = None, step: int | None = None) -> Restored:
        """The checkpoint of `step`, or the newest that is whole; damaged ones are passed over with a warning each.

        What is taken next follows on it: checkpoints of later steps are of work that is lost, and are then removed.

        Args:
          template: a state of the learner that goes on, e.g. `learner.init(seed)`; only its shapes are used.
          replay: is filled in place; None leaves the saved one alone.

        Raises:
          CheckpointError: there is none, it is damaged, or it was made by another architecture.
          InputError: `replay` is of another capacity, number of environments, observation or action.
        """

        def read(step: int, index: dict[str, Any]) -> Restored:
            found: dict[str, Arrays] = {}
            for name, wanted in _trees(template).items():
                found[name] = self._arrays(step, index, name)
                _check_layout(found[name], _leaves(wanted), step)
            if replay is not None and index["replay"] is not None:
                path = self.directory / str(step) / _REPLAY_FILE
                arrays = array_files.read_arrays(path, index["files"][_REPLAY_FILE])
                self._replays.load(index["replay"], arrays, replay)
            return Restored(step, _state(template, found), index["extras"])

        restored = self._newest(read, step)
        self._abandoned = [later for later in self.steps() if later > restored.step]
        return restored

    def restore_params(self, template: Params, step: int | None = None) -> tuple[int, Params, dict[str, Any]]:
        """(step, online parameters, extras) for evaluation; as `restore`, without optimisers, targets or replay."""

        def read(step: int, index: dict[str, Any]) -> tuple[int, Params, dict[str, Any]]:
            found = self._arrays(step, index, "params")
            _check_layout(found, _leaves(template), step)
            return step, _on_device(template, found), index["extras"]

        return self._newest(read, step)

    def extras(self, step: int | None = None) -> dict[str, Any]:
        """What was given to `take` as `extras`: enough to build the learner that `restore` needs."""
        return self._newest(lambda _, index: index["extras"], step)

    def close(self) -> None:
        """Does what `wait` does, and ends the thread that writes."""
        try:
            self.wait()
        finally:
            self._writer.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            self.close()
        except CheckpointError as failure:
            if error is None:
                raise
            warnings.warn(str(failure), stacklevel=2)  # what ended the run is told by `error`

    def _copy(self, step: int, state: TrainState, replay: FrameReplay | None, extras: Mapping[str, Any] | None) -> bool:
        """Holds a copy of everything, unless too much of the replay is new; whether it does."""
        snapshot = None
        if replay is not None and (snapshot := self._replays.take(replay)) is None:
            return False
        arrays = {name: _on_host(tree) for name, tree in _trees(state).items()}
        self._held = _Taken(step, arrays, snapshot, dict(extras or {}))
        return True

    def _begin(self, taken: _Taken | None) -> None:
        """Has the waiting segments written, and `taken` after them."""
        if taken is not None:
            self._held = None
        self._writing = self._writer.submit(self._write, taken), taken

    def _look_after(self) -> None:
        """Warns when what was being written failed, after ever more failures in a row; does not wait."""
        if self._writing is not None and self._writing[0].done():
            try:
                self._finish()
            except CheckpointError as error:
                if self._failures & (self._failures - 1) == 0:
                    warnings.warn(f"{error} Training goes on.", stacklevel=3)

    def _settle(self) -> None:
        """Waits for what is being written; its failure is nothing yet, for another attempt follows."""
        with suppress(CheckpointError):
            self._finish()

    def _finish(self) -> None:
        """Waits for what is being written. Raises CheckpointError when that failed; it is held again then."""
        if self._writing is None:
            return
        (future, taken), self._writing = self._writing, None
        try:
            future.result()
            self._failures = 0
        except OSError as error:
            self._failures += 1
            self._held = self._held or taken
            what = "A part of the replay" if taken is None else f"The checkpoint of step {taken.step}"
            raise CheckpointError(
                f"{what} could not be written to {self.directory} ({error.strerror or error}): look for a full disk or "
                "a removed directory."
            ) from error

    def _write(self, taken: _Taken | None) -> None:
        self._replays.write()
        if taken is None:
            return
        final = self.directory / str(taken.step)
        part, replaced = final.with_name(final.name + PART), final.with_name(f"{final.name}-replaced{PART}")
        try:
            if taken.replay:
                self._replays.check(taken.replay)
            part.mkdir(parents=True, exist_ok=True)
            items = {name: orbax_items.write_item(part / name, of) for name, of in taken.arrays.items()}
            files = {}
            if taken.replay:
                files[_REPLAY_FILE] = array_files.write_arrays(part / _REPLAY_FILE, taken.replay.arrays)
            index = {
                "step": taken.step,
                "items": items,
                "files": files,
                "replay": describe(taken.replay) if taken.replay else None,
                "extras": taken.extras,
            }
            array_files.write_sealed_json(part / _INDEX, index)
            array_files.sync_directory(part)
            if final.exists():
                _remove(replaced)
                final.rename(replaced)
            part.rename(final)
            array_files.sync_directory(self.directory)
        except OSError:
            _remove(part)  # what was written of it may be what fills the disk
            raise
        _remove(replaced)
        self._prune()

    def _prune(self) -> None:
        """Leaves the newest checkpoints, none of lost work, and the replay's segments that they refer to."""
        for step in [*self._abandoned, *self.steps()[: -self._keep]]:
            folder = self.directory / str(step)
            doomed = folder.with_name(folder.name + PART)  # never half a checkpoint by the name of one
            _remove(doomed)
            if folder.exists():
                folder.rename(doomed)
            _remove(doomed)
        self._abandoned = []
        needed: set[str] = set()
        for step in self.steps():
            with suppress(DamagedError):
                needed |= segments_of(self._index(step)["replay"] or {"rings": []})
        self._replays.prune(needed)

    def _index(self, step: int) -> dict[str, Any]:
        return array_files.read_sealed_json(self.directory / str(step) / _INDEX)

    def _arrays(self, step: int, index: Mapping[str, Any], name: str) -> Arrays:
        return orbax_items.read_item(self.directory / str(step) / name, index["items"][name])

    def _newest(self, read: Callable[[int, dict[str, Any]], T], step: int | None) -> T:
        """`read(step, index)` of `step`, or of the newest checkpoint that is whole."""
        steps = self.steps()
        candidates = [step] if step is not None else steps[::-1]
        if not candidates or not set(candidates) <= set(steps):
            wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
            raise CheckpointError(
                f"There is no finished {wanted} in {self.directory} (finished: {steps or 'none'}): give another "
                "run's directory, or train first."
            )
        for candidate in candidates:
            try:
                return read(candidate, self._index(candidate))
            except DamagedError as error:
                reason = f"The checkpoint {self.directory / str(candidate)} is damaged: {error}"
                if candidate == candidates[-1]:
                    raise CheckpointError(f"{reason}. Restore another one, or train anew.") from error
                warnings.warn(f"{reason}; the one before it is used instead.", stacklevel=3)
        raise AssertionError("unreachable")


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _trees(state: TrainState) -> dict[str, Any]:
    """The state by item; the parameters lie apart, so that evaluation reads only them."""
    rest = {
        "target_params": state.target_params,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
        "step": state.step,
    }
    return {"params": state.params, "learner": rest}


def _state(template: TrainState, found: Mapping[str, Arrays]) -> TrainState:
    trees = {name: _on_device(tree, found[name]) for name, tree in _trees(template).items()}
    rest = trees["learner"]
    return TrainState(
        params=trees["params"],
        target_params=rest["target_params"],
        opt_state=rest["opt_state"],
        key=jax.random.wrap_key_data(rest["key"]),
        step=rest["step"],
    )


def _leaves(tree: Any) -> dict[str, Any]:
    """Leaves by path: "actor/mlp/Dense_0/kernel"."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def _on_host(tree: Any) -> Arrays:
    return {path: np.array(leaf) for path, leaf in _leaves(tree).items()}  # copies: the leaves are donated later


def _on_device(template: Any, arrays: Arrays) -> Any:
    """`arrays` by path as a tree like `template`, each where its leaf is."""

    def leaf(path: Any, like: jax.Array) -> jax.Array:
        array = arrays[jax.tree_util.keystr(path, simple=True, separator="/")]
        # Copied: on a CPU the device's array may be the host's memory (jax#37830), and it is donated later.
        return jnp.copy(put(array, like.sharding))

    return jax.tree_util.tree_map_with_path(leaf, template)


def _check_layout(saved: Mapping[str, Any], wanted: Mapping[str, Any], step: int) -> None:
    differing = [
        name for name in sorted({*saved, *wanted}) if _describe(saved.get(name)) != _describe(wanted.get(name))
    ]
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"The checkpoint of step {step} is of another architecture: its {name} is {_describe(saved.get(name))}, "
            f"this configuration's is {_describe(wanted.get(name))} ({len(differing)} differ). Use the "
            "configuration that it was trained with, or another run directory."
        )


def _describe(array: Any) -> str:
    return "absent" if array is None else f"{array.dtype}{list(array.shape)}"
