"""The README's tables of what the server answers, made from the handlers, sensors and blueprints themselves.

python -m minicarla.reference              prints them
python -m minicarla.reference README.md    puts them into that file, between its two marks
"""

import argparse
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

from minicarla.handlers import actor, batch, bones, lights, parts, recorder, scene, unsupported, vehicle, world
from minicarla.protocol.rpc import Methods
from minicarla.sensors.factory import SENSORS, sensor_class
from minicarla.world import blueprints
from minicarla.world.blueprint import Blueprint
from minicarla.world.sensor_blueprints import sensors

BEGIN, END = "<!-- the tables of minicarla.reference -->", "<!-- their end -->"
# A handler's docstring begins with the client calls that it serves, in backticks and separated by commas.
_CALLS = re.compile(r"`([A-Za-z]+\.\w+)`(?:, )?")
AS_CARLA, SIMPLIFIED, REFUSED = "as CARLA", "simplified", "refused"
_GROUPS = (
    ("The simulation", world.methods),
    ("The scene", scene.methods),
    ("Actors and walkers", actor.methods),
    ("Parts of actors", Methods(parts.methods | bones.methods)),
    ("Vehicles", vehicle.methods),
    ("Traffic lights", lights.methods),
    ("Batches", batch.methods),
    ("Recordings", recorder.methods),
)


# Remarks on blueprints, by what their ids begin with, and by id.
_KINDS = {
    "vehicle.": "simplified: ids, attributes, sizes and wheels are CARLA's; one shape for each kind of vehicle",
    "walker.pedestrian.": "simplified: ids, attributes and sizes are CARLA's; one figure in many clothes",
    "static.prop.": "simplified: ids, attributes and sizes are CARLA's; boxes and posts stand for the shapes",
}
_OTHERS = {"static.trigger.friction": "what is in it has its friction"}


def served(docstring: str) -> tuple[tuple[str, ...], str]:
    """The client calls that a handler's docstring begins with, and the rest of its first paragraph."""
    first = " ".join(inspect.cleandoc(docstring).partition("\n\n")[0].split())
    calls, end = [], 0
    while (found := _CALLS.match(first, end)) is not None:
        calls.append(found[1])
        end = found.end()
    return tuple(calls), first[end:].strip(" :;,.")


def compared(remark: str) -> tuple[str, str]:
    """How a thing compares with CARLA's, and its remark without "simplified: ", which says so."""
    before, mark, how = remark.partition(f"{SIMPLIFIED}: ")
    return (SIMPLIFIED, how) if mark and not before else (AS_CARLA, remark)


def answered(methods: Methods) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Of every method: the client calls, its RPC name, a remark."""
    for name, method in methods.items():
        calls, remark = served(method.call.__doc__ or "")
        yield calls, name, remark


def tables() -> str:
    """All of it, as Markdown."""
    return "\n\n".join("\n".join(part) for part in (_calls(), _sensors(), _blueprints())) + "\n"


def _calls() -> Iterator[str]:
    yield "| Client call | RPC method | Compared with CARLA | Remark |"
    yield "|---|---|---|---|"
    for title, methods in _GROUPS:
        yield f"| **{title}** | | | |"
        for calls, name, remark in answered(methods):
            yield _row(_code(calls), f"`{name}`", *compared(remark))
    yield "| **Not here** | | | |"
    for name, call in unsupported.CALLS.items():
        heard = name not in unsupported.NOT_AWAITED
        told = "the client raises an error that names it" if heard else "the client does not wait: the log says so once"
        yield _row(f"`{call}`", f"`{name}`", REFUSED, told)


def _sensors() -> Iterator[str]:
    yield "| Sensor | Compared with CARLA | What it sends, or why not |"
    yield "|---|---|---|"
    for sensor in SENSORS:
        yield _row(f"`{sensor}`", *compared(_first_line(sensor_class(sensor))))
    for blueprint in refused_sensors():
        yield _row(f"`{blueprint.id}`", REFUSED, f"to spawn one raises an error: {blueprint.refused}")


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def refused_sensors() -> list[Blueprint]:
    """Sensors that clients can look at and not spawn."""
    return [blueprint for blueprint in sensors() if blueprint.refused is not None]


def _blueprints() -> Iterator[str]:
    yield "| Blueprints | How many | Compared with CARLA | Remark |"
    yield "|---|---|---|---|"
    library = blueprints.library()
    for kind, remark in _KINDS.items():
        yield _row(f"`{kind}*`", str(sum(name.startswith(kind) for name in library)), *compared(remark))
    for name, blueprint in library.items():
        if not name.startswith(("sensor.", *_KINDS)):
            status = compared(_OTHERS.get(name, "")) if blueprint.refused is None else (REFUSED, blueprint.refused)
            yield _row(f"`{name}`", "1", *status)


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
