"""Results of the doctor side by side, as Markdown: how minicarla differs from CARLA, or one CARLA from another."""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envloop.doctor.examination import ASKED

_MARK = re.compile(r"(<!-- doctor -->\n).*?(<!-- end -->)", re.DOTALL)
_EXAMPLE = """examples:
  python -m envloop.doctor.table minicarla.json carla.json                     shows them side by side
  python -m envloop.doctor.table docs/doctor.json --page docs/doctor.md        writes the table into the page
"""


def table(results: Sequence[dict[str, Any]]) -> str:
    """A row for each check, a column for each of the results that `--json` has written, and where each comes from."""
    names = [_name(result) for result in results]
    found = [{row["check"]: row for row in result["checks"]} for result in results]
    lines = [["check", "what has to hold", *names], ["---"] * (2 + len(names))]
    lines += [[check, asks, *(_cell(rows.get(check)) for rows in found)] for check, asks in ASKED.items()]
    where = [
        f"{name}: {result['machine']['processor']}, {result['machine']['cores']} cores, load "
        f"{result['machine']['load']:.1f}; {result['time']}."
        for name, result in zip(names, results, strict=True)
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n\n" + "\n".join(where) + "\n"


def filled(page: str, results: Sequence[dict[str, Any]]) -> str:
    """A page's text with the table between its marks."""
    return _MARK.sub(lambda found: f"{found[1]}{table(results)}{found[2]}", page)


def _name(result: dict[str, Any]) -> str:
    return str(result["simulator"].get("simulator", result["endpoint"]))


def _cell(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not asked"
    advice = f"; {row['advice']}" if row["advice"] else ""
    return f"**{row['verdict']}** {row['measured']}{advice}".replace("|", "/")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m envloop.doctor.table",
        description=__doc__,
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("results", nargs="+", type=Path, help="files that the doctor's --json has written")
    parser.add_argument("--page", type=Path, help="write the table between the marks of this page")
    args = parser.parse_args()
    results = [json.loads(path.read_text()) for path in args.results]
    if args.page is None:
        print(table(results))
    else:
        args.page.write_text(filled(args.page.read_text(), results))
        print(f"written to {args.page}")


if __name__ == "__main__":
    main()
