"""A command's figures: a table on the terminal, and a JSON file with where they were measured."""

import argparse
import json
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from reporting.machine import ROOT, commit


@dataclass(frozen=True)
class Spread:
    """Median, least and greatest of several repetitions."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Of at least one value."""
        return cls(statistics.median(values), min(values), max(values))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} .. {self.high:.4g})"


def parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser with --json, otherwise as `plain_parser`."""
    made = plain_parser(description)
    made.add_argument("--json", type=_result_file, metavar="FILE", help="write the figures to this file")
    return made


def plain_parser(description: str | None) -> argparse.ArgumentParser:
    """An argument parser of a command that `description`, a module's docstring, shows an example of."""
    text = description or ""
    (command, *_) = re.findall(r"python -m [\w.]+", text)
    formatter = argparse.RawDescriptionHelpFormatter
    return argparse.ArgumentParser(command, description=text, formatter_class=formatter)


def _result_file(name: str) -> Path:
    """For argparse, so that the refusal comes before the measurement."""
    path = Path(name)
    if refusal := _refusal(path, commit()):
        raise argparse.ArgumentTypeError(refusal)
    return path


def chosen(name: str, parts: Sequence[str] | None) -> bool:
    """Whether a row of that name is wanted by a command's option that takes parts of names; None wants all."""
    return parts is None or any(part.lower() in name.lower() for part in parts)


def _refusal(path: Path, of: str) -> str:
    """Why a result file of a commit is not written; "" where it is."""
    if path.resolve().is_relative_to(ROOT) and of.endswith("-dirty"):
        return f"{path} would hold figures of changes that no commit has: commit first, or leave out --json."
    return ""


def publish(rows: Sequence[dict[str, Any]], where: dict[str, Any], path: Path | None) -> None:
    """Prints `rows` as a table, after a line that says where they were measured; writes both to `path`.

    Raises:
      SystemExit: `path` lies in the checkout, whose sources have changes that no commit has.
    """
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}, load {where['load']:.1f}")
    print(", ".join(f"{name} {version}" for name, version in where["versions"].items()))
    print(f"XLA flags: {where['xla_flags'] or 'none'}; commit {where['commit']}; {where['time']}\n")
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = [[_cell(row.get(name, "")) for name in columns] for row in rows]
    widths = [max(len(column), *(len(line[i]) for line in text)) for i, column in enumerate(columns)]
    for line in [columns, *text]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())
    if path is not None:
        if refusal := _refusal(path, where["commit"]):
            raise SystemExit(refusal)
        plain = [{k: asdict(v) if isinstance(v, Spread) else v for k, v in row.items()} for row in rows]
        path.write_text(json.dumps({"machine": where, "rows": plain}, indent=2) + "\n")
        print(f"\nwritten to {path}")


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
