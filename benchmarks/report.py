"""Writes the tables of benchmarks/README.md from the JSON files in benchmarks/results; no figure is typed by hand.

python -m benchmarks.report
"""

import json
import re
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent / "README.md"
RESULTS = Path(__file__).parent / "results"
MARK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """The command."""
    PAGE.write_text(
        MARK.sub(lambda found: f"{found[1]}{table(RESULTS / f'{found[2]}.json')}{found[3]}", PAGE.read_text())
    )


def table(path: Path) -> str:
    """The rows of one result as Markdown, and where they were measured."""
    if not path.is_file():
        return "Not measured.\n"
    found = json.loads(path.read_text())
    columns = list(dict.fromkeys(name for row in found["rows"] for name in row))
    lines = [columns, ["---"] * len(columns)]
    lines += [[_cell(row.get(name)) for name in columns] for row in found["rows"]]
    where = found["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    told = (
        f"{where['processor']}, {where['cores']} cores, load {where['load']:.1f}; Python {where['python']}, "
        f"{versions}; XLA flags: {where['xla_flags'] or 'none'}; commit {where['commit']}; {where['time']}."
    )
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + f"\n\n{told}\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, dict):
        return f"{value['median']:.4g} ({value['low']:.4g} .. {value['high']:.4g})"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
