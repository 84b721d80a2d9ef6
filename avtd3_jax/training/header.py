"""The first lines of a run: what runs where."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avtd3_jax import runtime
from avtd3_jax.agent import precision
from avtd3_jax.agent.interface import Agent, Group
from avtd3_jax.agent.placement import Placement
from avtd3_jax.cpu.code.emitter import registers
from avtd3_jax.replay.device_replay import DeviceReplay
from avtd3_jax.replay.replay import FrameReplay
from avtd3_jax.settings.run_config import RunConfig
from avtd3_jax.training.build import Parts
from avtd3_jax.training.interfaces import EnvDescription


def print_header(
    run: RunConfig,
    env: EnvDescription,
    parts: Parts,
    groups: Mapping[str, Group],
    info: runtime.RuntimeInfo,
    workdir: Path,
    step: int,
) -> None:
    """Says what runs where; warns of a run that learns nothing."""
    agent, replay = parts.agent, parts.replay
    memory = FrameReplay.bytes_at_capacity(agent.obs_spec, agent.action_spec, replay.capacity)
    on_device = DeviceReplay.bytes_of(replay) if run.replay.device_resident else 0
    rows = {
        "simulator": simulator_name(env.simulator),
        "task": env.task,
        "device": f"{info}{_together(agent.placement)}",
        "observes": " and ".join(name for name in ("image", "vector") if getattr(agent.obs_spec, name)),
        "encoder": _encoder(agent, on_cpu=info.platform == "cpu"),
        "precision": precision.described(agent.config.compute_dtype, agent.compute_dtype),
        "parameters": ", ".join(f"{name} {g.parameters:,} (lr {g.learning_rate:g})" for name, g in groups.items()),
        "replay": f"{replay.capacity:,} transitions, {memory / 1e9:.2f} GB when full"
        + (f", and its frames on the device, {on_device / 1e9:.2f} GB" if on_device else ""),
        "run": f"{workdir}, seed {run.seed}, step {step:,} of {run.total_steps:,}",
    }
    for name, text in rows.items():
        print(f"{name:<11}{text}", flush=True)
    if run.exploration_steps >= run.total_steps:
        warnings.warn(
            f"exploration_steps is {run.exploration_steps} and total_steps {run.total_steps}: this run collects and "
            "learns nothing; lower --config.exploration_steps.",
            stacklevel=2,
        )


def simulator_name(identity: Mapping[str, Any]) -> str:
    """Which simulator runs where, in a line."""
    if not identity:
        return "none: Gymnasium's environment is its own"
    hosts = ", ".join(identity.get("hosts", [identity["host"]]))
    embedded = identity.get("flags", {}).get("endpoint") == "embedded"
    started = " (started here: no CARLA endpoint was given)" if embedded else ""
    return f"{identity['simulator']} at {hosts}, {identity['map']}{started}"


def device_record(info: runtime.RuntimeInfo) -> dict[str, str]:
    """What computes, and how, for a run's provenance; the compile cache's place is this machine's own business."""
    return {
        "device": info.device,
        "kind": info.device_kind,
        "jax": info.jax_version,
        "jaxlib": info.jaxlib_version,
        "xla_flags": info.xla_flags,
    }


def _together(placement: Placement | None) -> str:
    return "" if placement is None else f"; {placement.size} devices share each batch"


def _encoder(agent: Agent, *, on_cpu: bool) -> str:
    if agent.obs_spec.image is None:
        return "none: the vector is used as it is"
    config = agent.config
    losses = {
        "critic": "the critic's loss",
        "both": "the critic's and the actor's loss",
        "actor": "the actor's loss",
    }[config.encoder_grad]
    weights = f" with the weights of {config.encoder_weights}" if config.encoder_weights else ""
    own = on_cpu and precision.has_own_kernels(config.encoder, agent.obs_spec.image, agent.compute_dtype)
    convolutions = f"own CPU convolutions ({registers().bits}-bit vectors)" if own else "XLA's convolutions"
    return f"{config.encoder}{weights}, trained by {losses}, {convolutions}"
