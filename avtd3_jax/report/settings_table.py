"""In which settings runs differ from the defaults, and from each other."""

from collections.abc import Mapping, Sequence
from typing import Any

from avtd3_jax.errors import ConfigError
from avtd3_jax.report.run_data import Run
from avtd3_jax.settings.keys import leaves
from avtd3_jax.settings.run_config import file_values, parse

_NONE = "\N{EM DASH}"


def changed_settings(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """Rows {"key", "default", "values"} of every key that has another value than its default in some run."""
    configs = [dict(leaves(run.config)) for run in runs]
    defaults = [_defaults(run.config) if run.config else {} for run in runs]
    rows = []
    for key in sorted({key for config in configs for key in config}):
        usual = next((own[key] for own in defaults if key in own), None)
        values = [config.get(key, default.get(key)) for config, default in zip(configs, defaults, strict=True)]
        if any(config.get(key, usual) != usual for config in configs if config):
            shown = [_NONE if value is None else str(value) for value in values]
            rows.append({"key": key, "default": _NONE if usual is None else str(usual), "values": shown})
    return rows


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of a run with this one's kind of environment and algorithm; {} where these are no more."""
    env = config.get("env", {})
    kind = {"env": {"id": env["id"]}} if "id" in env else {}
    algorithm = {"algorithm": config["algorithm"]} if "algorithm" in config else {}
    try:
        return dict(leaves(file_values(parse({**kind, **algorithm}))))
    except ConfigError:
        return {}
