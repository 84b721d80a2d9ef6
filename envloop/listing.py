"""What `python -m PACKAGE` shows: the package's commands, and what each of them is for."""

import ast
import re
from importlib import util
from pathlib import Path

_GUARD = "__name__ == '__main__'"


def commands(package: str) -> dict[str, str]:
    """The modules of a package that are commands, by name, with the first sentence about each; none is imported."""
    spec = util.find_spec(package)
    assert spec is not None, package
    folder = Path(str(spec.origin)).parent
    found = {}
    for source in sorted([*folder.glob("*.py"), *folder.glob("*/__main__.py")]):
        module = ast.parse(source.read_text())
        guarded = any(isinstance(node, ast.If) and ast.unparse(node.test) == _GUARD for node in module.body)
        if guarded and source != folder / "__main__.py":
            name = f"{package}.{source.parent.name if source.name == '__main__.py' else source.stem}"
            said = (ast.get_docstring(module) or "").split("\n")[0]
            found[name] = re.sub(rf"^python -m {re.escape(name)}\b[^:]*: ", "", said)
    return found


def listing(package: str) -> str:
    """A line for each command of a package, and where to read on."""
    found = commands(package)
    width = max(map(len, found))
    lines = [f"python -m {name:<{width}}  {about}" for name, about in found.items()]
    return "\n".join([*lines, "", "Each says more with --help."])
