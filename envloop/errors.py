"""The environment's own errors. A command shows them as one sentence; every other error keeps its traceback."""


class EnvLoopError(Exception):
    """Base class: what went wrong and how to mend it, in one plain sentence."""


class SimulatorError(EnvLoopError, RuntimeError):
    """The simulator cannot be used, or was lost; an environment answers the loss by bringing it back."""


class TaskError(EnvLoopError, ValueError):
    """A task that cannot be driven: a wrong setting, an unknown route, an action that is none."""
