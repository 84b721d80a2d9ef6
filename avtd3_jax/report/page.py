"""From runs to one HTML file that needs nothing else."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from avtd3_jax.report.content import LIMIT, content
from avtd3_jax.report.run_data import read_run
from avtd3_jax.report.static import asset
from avtd3_jax.training.run_directory import writing

REPORT = "report.html"


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Writes a report of the runs in `folders`, in this order, to `path`, in one step.

    Raises:
      InputError: a folder holds no run.
      RunDirectoryError: the file cannot be written.
    """
    text = report_html(folders)
    part = path.with_suffix(path.suffix + ".part")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)


def report_html(folders: Sequence[Path]) -> str:
    """The page; less than 15 MB, as far as clips and tracks can be left out. Raises InputError as `write_report`."""
    runs = [read_run(folder) for folder in folders]
    names = ", ".join(run.name for run in runs)
    environment = Environment(loader=PackageLoader("avtd3_jax.report", "assets"), autoescape=True)
    environment.undefined = StrictUndefined
    template = environment.get_template("report.html.j2")
    parts: dict[str, Any] = {
        "title": f"Report: {names}",
        "style": asset("avtd3_jax.report", "page.css"),
        "script": asset("avtd3_jax.report", "report.js"),
        "plotly": get_plotlyjs(),
    }
    empty = len(template.render(**parts, data={"runs": [], "settings": [], "sections": []}, json="").encode())
    data = content(runs, LIMIT - empty - _MARGIN)
    return template.render(**parts, data=data, json=in_script(data))


_MARGIN = 400_000  # for the tables, which the template writes


def in_script(data: Any) -> str:
    """JSON that may stand in a <script>: no text in it can end that."""
    return json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
