"""CARLA's smoke tests (`PythonAPI/test/smoke`), each against a server of its own."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from conformance import child
from conformance.child import Ending
from conformance.job import Job, Run

_PORT = re.compile(r"TESTING_ADDRESS\s*=\s*\(\s*['\"][^'\"]+['\"]\s*,\s*(\d+)\s*\)")
_LIMIT_S = 420.0


def jobs(python_api: Path) -> Iterator[Job]:
    """Every test method of the folder, in the order of files and lines."""
    folder = python_api / "test"
    port = int(_found(_PORT, folder / "smoke" / "__init__.py"))
    for path in sorted((folder / "smoke").glob("test_*.py")):
        for test in _methods(path):
            yield Job(f"smoke {test.removeprefix('smoke.')}", port, _runner(folder, test))


def _runner(folder: Path, test: str) -> Run:
    def run(_: Path) -> Ending:
        return child.run(
            child.python("-m", "unittest", test), folder, child.environment(), limit_s=_LIMIT_S, endless=False
        )

    return run


def _methods(path: Path) -> Iterator[str]:
    # Read, not imported: the modules are CARLA's, and import what may not be installed.
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and any(
            ast.unparse(base).endswith(("SmokeTest", "TestCase")) for base in node.bases
        ):
            for method in node.body:
                if isinstance(method, ast.FunctionDef) and method.name.startswith("test"):
                    yield f"smoke.{path.stem}.{node.name}.{method.name}"


def _found(pattern: re.Pattern[str], path: Path) -> str:
    found = pattern.search(path.read_text(encoding="utf-8"))
    if found is None:
        raise SystemExit(f"{path} names no TESTING_ADDRESS: give CARLA 0.9.16's PythonAPI folder")
    return found[1]
