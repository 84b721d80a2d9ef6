"""JAX_ENABLE_X64=1 is somebody else's setting: the learner's numbers have their own size, and stay what they are."""

import json
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from processes import started

SCRIPT = f"""
import json, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from avtd3_jax import runtime
runtime.setup("cpu")
import jax
import numpy as np
from learner_cases import BOTH, VECTOR, make_learner, random_batch
from avtd3_jax.encoders.registry import ENCODERS
from avtd3_jax.agent.spaces import ObsSpec

assert jax.config.jax_enable_x64 == (sys.argv[1] == "1")
found = {{}}
for name, spec, options in (
    ("both", BOTH, dict(random_shift=2, lr_decay_updates=10)),
    ("vector", VECTOR, dict()),
    ("bfloat16", BOTH, dict(compute_dtype="bfloat16")),
):
    learner = make_learner(spec, **options)
    state, metrics = learner.init(0), []
    for number in range(2):
        state, packed = learner.step(state, random_batch(spec, seed=number, n_step=2), number)
        metrics.append(learner.read_metrics(packed, update_actor=learner.updates_actor(number)))
    found[name] = metrics
    wide = [str(leaf.dtype) for leaf in jax.tree.leaves(state) if str(leaf.dtype) in ("float64", "int64")]
    assert not wide, (name, wide)
    assert learner.act(state.params, spec.zeros(1)).dtype == np.float32
for name in ENCODERS:
    shapes = jax.eval_shape(make_learner(ObsSpec((4, 84, 84), 5), encoder=name).init, 0)
    wide = [str(leaf.dtype) for leaf in jax.tree.leaves(shapes) if str(leaf.dtype) in ("float64", "int64")]
    assert not wide, (name, wide)
print(json.dumps(found))
"""


def losses(x64: str) -> AbstractContextManager[subprocess.Popen[str]]:
    # XLA's optimisations would take longer than they save here.
    environment = {**os.environ, "JAX_ENABLE_X64": x64, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    return started([sys.executable, "-c", SCRIPT, x64], env=environment)


def test_updates_are_the_same_with_64_bits_enabled():
    """Every metric of two updates, losses first; finite, or reading them would have raised."""
    found = []
    with losses("0") as narrow, losses("1") as wide:  # beside each other
        for process in (narrow, wide):
            out, error = process.communicate(timeout=280)
            assert process.returncode == 0, error
            found.append(json.loads(out))
    for name, metrics in found[0].items():
        for theirs, mine in zip(metrics, found[1][name], strict=True):
            # Sums of another order move a bfloat16 product by its last bit.
            tolerance = 1e-2 if name == "bfloat16" else 1e-5
            assert mine == pytest.approx(theirs, rel=tolerance, abs=tolerance * 1e-2), name
