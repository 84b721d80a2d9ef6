"""The files that pages are made of."""

from importlib import resources


def asset(package: str, name: str) -> str:
    """The text of a file in `assets` of a package of this project, such as "avtd3_jax.report"."""
    return (resources.files(package) / "assets" / name).read_text(encoding="utf-8")
