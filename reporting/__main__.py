"""Writes the tables of the pages below from the JSON files in the results beside them; no figure is typed by hand.

python -m reporting
"""

import json
import re
from pathlib import Path
from typing import Any

from reporting.machine import ROOT
from reporting.publish import plain_parser

# Each with the folder of its results.
PAGES = {
    ROOT / "benchmarks" / "README.md": ROOT / "benchmarks" / "results",
    ROOT / "docs" / "cluster.md": ROOT / "benchmarks" / "results",
    ROOT / "conformance" / "README.md": ROOT / "conformance" / "results",
    ROOT / "robustness" / "faults" / "README.md": ROOT / "robustness" / "results",
    ROOT / "robustness" / "fuzz" / "README.md": ROOT / "robustness" / "results",
}
MARK = re.compile(r"(<!-- table (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main() -> None:
    """The command."""
    plain_parser(__doc__).parse_args()
    for page, results in PAGES.items():
        page.write_text(filled(page.read_text(), results))
        print(f"written to {page.relative_to(ROOT)}")


def filled(text: str, results: Path) -> str:
    """A page's text with the tables of today's results between its marks."""
    return MARK.sub(lambda found: f"{found[1]}{table(results / f'{found[2]}.json')}{found[3]}", text)


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
