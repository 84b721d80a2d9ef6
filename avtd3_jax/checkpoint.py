"""Checkpoints of a run: saved by orbax beside training, restored exactly, refused in plain words otherwise."""

import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import jax
import orbax.checkpoint as ocp

from avtd3_jax.learner import Params, TrainState

T = TypeVar("T")
Layout = dict[str, list[Any]]  # path of a leaf -> [shape, dtype]


class CheckpointError(RuntimeError):
    """A checkpoint that is missing, damaged or of another architecture; the message names the fix."""


class Restored(NamedTuple):
    """A checkpoint's content: `replay` is None where it was not saved, `extras` is what was given to `save`."""

    step: int
    state: TrainState
    replay: dict[str, Any] | None
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
        options = ocp.CheckpointManagerOptions(
            max_to_keep=keep,
            create=not read_only,
            # When making them fails on a thread of its own, orbax's other threads wait 20 minutes and hold the process.
            async_options=ocp.AsyncOptions(create_directories_asynchronously=False),
        )
        self._writing: int | None = None
        self._manager = ocp.CheckpointManager(self.directory, options=options)

    def steps(self) -> list[int]:
        """Steps of the finished checkpoints, oldest first."""
        return sorted(self._manager.all_steps())

    def save(
        self,
        step: int,
        state: TrainState,
        replay: dict[str, Any] | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> bool:
        """Saves beside the run: returns once everything is copied, so the caller may go on and donate `state`.

        Args:
          step: names the checkpoint; one that exists already is left as it is.
          state: the learner's state.
          replay: `FrameReplay.get_state()`, or None to leave it out.
          extras: JSON-able; counters, seeds, configuration, the simulator's identity.

        Returns:
          False, with a warning, when it could not be saved: what was saved earlier is untouched and the run can go on.
          Of a failure after this call returned, the next `save` warns, and `wait` and `close` raise.
        """
        try:
            self.wait()
        except CheckpointError as error:
            warnings.warn(f"{error} Training goes on.", stacklevel=2)
        items = _items(state)
        layout = {name: _layout(tree) for name, tree in items.items()}
        args: dict[str, Any] = {name: ocp.args.StandardSave(tree) for name, tree in items.items()}
        args["extras"] = ocp.args.JsonSave(
            {"extras": dict(extras or {}), "layout": layout, "replay": None if replay is None else replay["meta"]}
        )
        if replay is not None and replay["meta"]["head"]:
            args["replay"] = ocp.args.StandardSave(replay["arrays"])
        try:
            if step in self._manager.all_steps():
                return True
            self._writing = step
            return bool(self._manager.save(step, args=ocp.args.Composite(**args)))
        except Exception as error:  # orbax and its storage raise many kinds; none may end the run
            warnings.warn(
                f"The checkpoint of step {step} could not be saved to {self.directory} ({_first_line(error)}); "
                "training goes on. Look for a full disk or a removed directory.",
                stacklevel=2,
            )
            return False

    def wait(self) -> None:
        """Returns when everything is on disk; raises CheckpointError when it could not be written."""
        try:
            self._manager.wait_until_finished()
        except Exception as error:
            raise CheckpointError(
                f"The checkpoint of step {self._writing} could not be written to {self.directory} "
                f"({_first_line(error)}): look for a full disk or a removed directory."
            ) from error

    def restore(self, template: TrainState, step: int | None = None) -> Restored:
        """The checkpoint of `step`, or the newest that can be read; damaged ones are passed over with a warning.

        Args:
          template: a state of the learner that goes on, e.g. `learner.init(seed)`; only its shapes are used.

        Raises:
          CheckpointError: there is none, it is damaged, or it was made by another architecture.
        """

        def read(step: int, meta: dict[str, Any]) -> Restored:
            items = _items(template)
            for name, tree in items.items():
                _check_layout(meta["layout"][name], _layout(tree), step)
            args = {name: ocp.args.StandardRestore(_abstract(tree)) for name, tree in items.items()}
            if meta["replay"] is not None and meta["replay"]["head"]:
                args["replay"] = ocp.args.StandardRestore()
            found = self._manager.restore(step, args=ocp.args.Composite(**args))
            replay = None
            if meta["replay"] is not None:
                arrays = found["replay"] if "replay" in args else {}
                replay = {"arrays": arrays, "meta": meta["replay"]}
            return Restored(step, _state({name: found[name] for name in items}), replay, meta["extras"])

        return self._newest(read, step)

    def restore_params(self, template: Params, step: int | None = None) -> tuple[int, Params, dict[str, Any]]:
        """(step, online parameters, extras) for evaluation; as `restore`, without optimisers, targets or replay."""

        def read(step: int, meta: dict[str, Any]) -> tuple[int, Params, dict[str, Any]]:
            _check_layout(meta["layout"]["params"], _layout(template), step)
            args = ocp.args.Composite(params=ocp.args.StandardRestore(_abstract(template)))
            return step, self._manager.restore(step, args=args)["params"], meta["extras"]

        return self._newest(read, step)

    def extras(self, step: int | None = None) -> dict[str, Any]:
        """What was given to `save` as `extras`: enough to build the learner that `restore` needs."""
        return self._newest(lambda _, meta: meta["extras"], step)

    def close(self) -> None:
        """Waits for the last checkpoint, as `wait` does, and ends orbax's threads."""
        try:
            self.wait()
        finally:
            self._manager.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _newest(self, read: Callable[[int, dict[str, Any]], T], step: int | None) -> T:
        """`read(step, meta)` of `step`, or of the newest checkpoint that can be read."""
        candidates = [step] if step is not None else self.steps()[::-1]
        if not candidates or not set(candidates) <= set(self.steps()):
            wanted = "checkpoint" if step is None else f"checkpoint of step {step}"
            raise CheckpointError(
                f"There is no finished {wanted} in {self.directory} (finished: {self.steps() or 'none'}): give another "
                "run's directory, or train first."
            )
        for candidate in candidates:
            try:
                meta = self._manager.restore(candidate, args=ocp.args.Composite(extras=ocp.args.JsonRestore()))[
                    "extras"
                ]
                return read(candidate, meta)
            except CheckpointError:
                raise
            except Exception as error:  # damage surfaces as whatever orbax or its storage trips over
                reason = f"The checkpoint {self.directory / str(candidate)} is damaged ({_first_line(error)})"
                if candidate == candidates[-1]:
                    raise CheckpointError(f"{reason}: remove it and restore an older one, or train anew.") from error
                warnings.warn(f"{reason}; the one before it is used instead.", stacklevel=3)
        raise AssertionError("unreachable")


def _items(state: TrainState) -> dict[str, Any]:
    """The state as the items of a checkpoint; the parameters lie apart, so that evaluation reads only them."""
    rest = {
        "target_params": state.target_params,
        "opt_state": state.opt_state,
        "key": jax.random.key_data(state.key),
        "step": state.step,
    }
    return {"params": state.params, "learner": rest}


def _state(items: dict[str, Any]) -> TrainState:
    rest = items["learner"]
    return TrainState(
        params=items["params"],
        target_params=rest["target_params"],
        opt_state=rest["opt_state"],
        key=jax.random.wrap_key_data(rest["key"]),
        step=rest["step"],
    )


def _abstract(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), tree)


def _layout(tree: Any) -> Layout:
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): [list(leaf.shape), str(leaf.dtype)]
        for path, leaf in leaves
    }


def _check_layout(saved: Layout, wanted: Layout, step: int) -> None:
    differing = [name for name in sorted({*saved, *wanted}) if saved.get(name) != wanted.get(name)]
    if differing:
        name = differing[0]
        raise CheckpointError(
            f"The checkpoint of step {step} is of another architecture: its {name} is {_describe(saved.get(name))}, "
            f"this configuration's is {_describe(wanted.get(name))} ({len(differing)} differ). Use the "
            "configuration that it was trained with, or another run directory."
        )


def _describe(shape_and_dtype: list[Any] | None) -> str:
    return "absent" if shape_and_dtype is None else f"{shape_and_dtype[1]}{shape_and_dtype[0]}"


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no details'}"
