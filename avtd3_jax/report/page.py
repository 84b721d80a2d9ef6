"""From runs to one HTML file that needs nothing else."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from plotly.offline import get_plotlyjs

from avtd3_jax.report.content import LIMIT, fill, frame, in_script
from avtd3_jax.report.run_data import read_runs
from avtd3_jax.report.static import asset
from avtd3_jax.training.run_directory import writing
from avtd3_jax.whole_files import write_whole

REPORT = "report.html"


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Writes a report of the runs in `folders`, in this order, to `path`, in one step.

    Raises:
      InputError: a folder holds no run.
      RunDirectoryError: the file cannot be written.
    """
    text = report_html(folders)
    with writing(path):
        write_whole(path, text.encode())


def report_html(folders: Sequence[Path]) -> str:
    """The page; less than 15 MB: what does not fit is left out, and it says so. Raises InputError as `write_report`."""
    runs = read_runs(folders)
    environment = Environment(loader=PackageLoader("avtd3_jax.report", "assets"), autoescape=True)
    environment.undefined = StrictUndefined
    template = environment.get_template("report.html.j2")
    data = frame(runs)
    parts: dict[str, Any] = {
        "title": f"Report: {', '.join(run.name for run in runs)}",
        "style": asset("avtd3_jax.report", "page.css"),
        "script": asset("avtd3_jax.report", "report.js"),
        "plotly": get_plotlyjs(),
        "data": data,
    }
    fill(data, runs, LIMIT - len(template.render(**parts, json="").encode()))
    return template.render(**parts, json=in_script(data))
