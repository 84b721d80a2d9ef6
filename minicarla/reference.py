"""The README's tables of what the server answers, made from the handlers, sensors and blueprints themselves.

python -m minicarla.reference              prints them
python -m minicarla.reference README.md    puts them into that file, between its two marks
"""

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from minicarla.handlers import actor, batch, lights, parts, scene, unsupported, vehicle, world
from minicarla.protocol.rpc import Methods
from minicarla.sensors.factory import SENSORS, sensor_class
from minicarla.world import blueprints
from minicarla.world.blueprint import Blueprint
from minicarla.world.sensor_blueprints import sensors

BEGIN, END = "<!-- the tables of minicarla.reference -->", "<!-- their end -->"
# A handler's docstring begins with the client calls that it serves, in backticks and separated by commas.
_CALLS = re.compile(r"`([A-Za-z]+\.\w+)`(?:, )?")
_GROUPS = (
    ("The simulation", world.methods),
    ("The scene", scene.methods),
    ("Actors and walkers", actor.methods),
    ("Parts of actors", parts.methods),
    ("Vehicles", vehicle.methods),
    ("Traffic lights", lights.methods),
    ("Batches", batch.methods),
)


def served(docstring: str) -> tuple[tuple[str, ...], str]:
    """The client calls that a handler's docstring begins with, and the rest of its first paragraph."""
    first = " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
    calls, end = [], 0
    while (found := _CALLS.match(first, end)) is not None:
        calls.append(found[1])
        end = found.end()
    return tuple(calls), first[end:].strip(" :;,.")


def answered(methods: Methods) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Of every method: the client calls, its RPC name, a remark."""
    for name, method in methods.items():
        calls, remark = served(method.call.__doc__ or "")
        yield calls, name, remark


def tables() -> str:
    """All of it, as Markdown."""
    lines = ["| Client call | RPC method | Remark |", "|---|---|---|"]
    for title, methods in _GROUPS:
        lines.append(f"| **{title}** | | |")
        for calls, name, remark in answered(methods):
            lines.append(f"| {_code(calls)} | `{name}` | {remark} |")
    lines += ["", "These calls raise an error that names them:", "", *_by_class(unsupported.REFUSED_CALLS), ""]
    lines += [
        "The client does not wait for an answer to these: they do nothing, and the server's log says so once:",
        "",
    ]
    lines += [*_by_class(unsupported.UNHEARD_CALLS), ""]
    lines += ["| Sensor | What it sends |", "|---|---|"]
    lines += [f"| `{sensor}` | {_first_line(sensor_class(sensor))} |" for sensor in SENSORS]
    lines += [
        "",
        "CARLA's other sensors are in the blueprint library, and to spawn one raises an error:",
        "",
        *(f"- `{blueprint.id}`: {blueprint.refused}" for blueprint in refused_sensors()),
        "",
        _blueprints(),
    ]
    return "\n".join(lines) + "\n"


def refused_sensors() -> list[Blueprint]:
    """Sensors that clients can look at and not spawn."""
    return [blueprint for blueprint in sensors() if blueprint.refused is not None]


def _by_class(calls: tuple[str, ...]) -> list[str]:
    """One line a class of the client."""
    owners = dict.fromkeys(call.partition(".")[0] for call in calls)
    return [f"- {_code([call for call in calls if call.startswith(f'{owner}.')])}" for owner in owners]


def _blueprints() -> str:
    library = blueprints.library()
    kinds = ("vehicle.", "walker.pedestrian.", "static.prop.")
    vehicles, walkers, props = (sum(name.startswith(kind) for name in library) for kind in kinds)
    refused = [f"`{name}` ({blueprint.refused})" for name, blueprint in library.items() if blueprint.refused]
    others = [entry for entry in refused if not entry.startswith("`sensor.")]
    return (
        f"There are blueprints for all of CARLA's {vehicles} vehicles, {walkers} pedestrians and {props} props, for "
        f"`controller.ai.walker` and for `util.actor.empty`. These cannot be spawned: {', '.join(others)}."
    )


def _code(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _first_line(cls: type) -> str:
    return inspect.cleandoc(cls.__doc__ or "").partition("\n")[0].rstrip(".")


def updated(readme: str) -> str:
    """The text with the tables between its marks brought up to date.

    Raises:
      ValueError: it has no such marks.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the file has no lines {BEGIN!r} and {END!r}: put them where the tables shall be")
    return f"{before}{BEGIN}\n{tables()}{END}{after}"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m minicarla.reference", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("readme", nargs="?", type=Path)
    readme = parser.parse_args().readme
    if readme is None:
        print(tables(), end="")
    else:
        readme.write_text(updated(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
