"""Every configuration key is read by the program: mypy says of which class each attribute is that the sources read.

A name alone says nothing: `step` is read somewhere, of something. What checks a key does not read it.
"""

import ast
import dataclasses
import functools
import typing
from pathlib import Path

from mypy import build
from mypy.modulefinder import BuildSource
from mypy.nodes import TypeInfo
from mypy.options import Options
from mypy.traverser import NameAndMemberCollector
from mypy.types import Instance, Type, UnionType, get_proper_type

from avtd3_jax.settings.run_config import RunConfig
from envloop.config import EnvConfig, GymEnvConfig

ROOT = Path(__file__).parents[2]
CHECKS = {"__post_init__", "validate", "check_ordering", "check_route"}
Key = tuple[str, str]  # full name of the class, name of the field
# Nothing reads these: the names are read of other classes, as the step of a train state and the capacity of a replay.
PLANTED = {
    "envloop.task.termination": ("    max_lateral_m: float", "    step: float = 1.0\n    max_lateral_m: float"),
    "avtd3_jax.settings.schema": ("    total_steps: int", "    capacity: int = 1\n    total_steps: int"),
}
PLANTED_KEYS = {
    ("envloop.task.termination.TerminationConfig", "step"),
    ("avtd3_jax.settings.schema.ScheduleConfig", "capacity"),
}


def config_classes(cls: type) -> set[type]:
    found = {base for base in cls.__mro__ if dataclasses.is_dataclass(base)}
    for hint in typing.get_type_hints(cls).values():
        for part in (hint, *typing.get_args(hint)):
            if dataclasses.is_dataclass(part):
                found |= config_classes(typing.cast(type, part))
    return found


def source(path: Path) -> BuildSource:
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    return BuildSource(str(path), module, path.read_text().replace(*PLANTED.get(module, ("", ""))))


def instances(kind: Type | None) -> list[TypeInfo]:
    kind = get_proper_type(kind)
    if isinstance(kind, UnionType):
        return [info for item in kind.items for info in instances(item)]
    return [kind.type] if isinstance(kind, Instance) else []


def checked_lines(text: str) -> set[int]:
    """Lines of the functions that check keys."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    checks = [node for node in functions if node.name in CHECKS]
    return {line for node in checks for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)}


@functools.cache
def reads() -> set[Key]:
    options = Options()
    options.export_types = options.preserve_asts = options.check_untyped_defs = True
    options.incremental = False
    options.follow_imports = "skip"  # other packages know nothing of these classes
    sources = [source(path) for package in ("avtd3_jax", "envloop") for path in sorted((ROOT / package).rglob("*.py"))]
    built = build.build(sources, options)
    found: set[Key] = set()
    for one in sources:
        tree, collector, checks = built.graph[one.module].tree, NameAndMemberCollector(), checked_lines(one.text or "")
        assert tree is not None
        tree.accept(collector)
        for read in collector.member_exprs:
            if read.line not in checks:
                for info in instances(built.types.get(read.expr)):
                    found |= {(base.fullname, read.name) for base in info.mro if read.name in base.names}
    return found


def test_every_key_is_read_and_a_planted_one_is_found():
    classes = config_classes(RunConfig)
    assert {EnvConfig, GymEnvConfig} < classes
    keys = {
        (f"{cls.__module__}.{cls.__qualname__}", field) for cls in classes for field in vars(cls)["__annotations__"]
    }
    assert (keys | PLANTED_KEYS) - reads() == PLANTED_KEYS
