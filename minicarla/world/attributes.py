"""Numbers out of the texts of a blueprint's attributes. A bad one raises a ValueError that names the attribute."""

from collections.abc import Mapping

from minicarla.limits import MAX_MAGNITUDE
from minicarla.protocol.rpc_types import shown

Attributes = Mapping[str, str]


def number(attributes: Attributes, name: str, low: float = -MAX_MAGNITUDE, high: float = MAX_MAGNITUDE) -> float:
    """The attribute as a number within [low, high]."""
    text = attributes[name]
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"{name} must be a number, not {shown(text)}") from None
    # False for NaN, too.
    if not low <= value <= high:
        raise ValueError(f"{name} must be a number from {low:g} to {high:g}, not {shown(text)}")
    return value


def positive(attributes: Attributes, name: str, high: float = MAX_MAGNITUDE) -> float:
    """The attribute as a number above 0."""
    value = number(attributes, name, 0.0, high)
    if value == 0.0:
        raise ValueError(f"{name} must be more than 0")
    return value


def integer(attributes: Attributes, name: str, low: int, high: int) -> int:
    """The attribute as an integer within [low, high]; the client writes some of them as "32.0"."""
    value = number(attributes, name, low, high)
    if value != int(value):
        raise ValueError(f"{name} must be a whole number, not {shown(attributes[name])}")
    return int(value)


def boolean(attributes: Attributes, name: str) -> bool:
    """The attribute as a truth value."""
    text = attributes[name].lower()
    if text not in ("true", "false"):
        raise ValueError(f"{name} must be true or false, not {shown(text)}")
    return text == "true"


def seed(attributes: Attributes, simulation_seed: int) -> int:
    """The seed of a sensor's noise: its `noise_seed` and the simulation's together."""
    return abs(simulation_seed + integer(attributes, "noise_seed", -(2**31), 2**32 - 1))
