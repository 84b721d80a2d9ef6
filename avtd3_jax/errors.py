"""The learner's own errors. A command shows them as one sentence; every other error keeps its traceback."""


class Avtd3Error(Exception):
    """Base class: what went wrong and how to mend it, in one plain sentence."""


class ConfigError(Avtd3Error, ValueError):
    """A configuration that cannot be run; the message names the key and the fix."""


class InputError(Avtd3Error, ValueError):
    """Spaces, observations, actions or options that the learner cannot use."""


class CheckpointError(Avtd3Error, RuntimeError):
    """A checkpoint that is missing, damaged or of another architecture."""


class RuntimeSetupError(Avtd3Error, RuntimeError):
    """JAX cannot run as asked."""


class RunDirectoryError(Avtd3Error, OSError):
    """A run directory that is in use, taken, or cannot be written."""


class NonFiniteError(Avtd3Error, FloatingPointError):
    """An update was not finite; the train state is still the last good one."""


class HostLostError(Avtd3Error, RuntimeError):
    """Another of the hosts that learn together is gone, so that no update can be made."""
