"""Eight devices compute what one computes; what does not fit is refused in a sentence."""

import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import jax
import pytest

from avtd3_jax.agent.placement import place
from avtd3_jax.errors import ConfigError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What eight_devices.py prints, by precision: JAX takes the number of its devices when it starts."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"

    paths = os.pathsep.join([str(HERE.parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])

    @cache
    def of(precision):
        done = subprocess.run(
            [sys.executable, str(HERE / "eight_devices.py"), str(tmp_path_factory.mktemp("eight")), precision],
            capture_output=True,
            text=True,
            env={**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": paths},
            cwd=HERE.parents[1],
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return of


@pytest.mark.parametrize("case", ["critic", "both"])
def test_updates_on_eight_devices_are_those_of_one(found, case):
    """In 64 bits, where rounding cannot grow so far; "both" with frames on the devices, two updates a dispatch."""
    parameters, metrics = found("float64")[case]
    assert parameters <= 1e-10
    assert metrics <= 1e-10


@pytest.mark.parametrize("case", ["critic", "both"])
def test_each_of_100_updates_is_that_of_one_device_to_rounding(found, case):
    """In 32 bits, by the kernels that training uses, both learners beginning every dispatch with the same state."""
    parameters, metrics = found("float32")[case]
    assert parameters <= 1e-6
    assert metrics <= 1e-6


def test_each_device_computes_the_convolutions_of_its_part_alone(found):
    """The compiler cannot split a kernel: left to it, every device would gather the batch and compute all of it."""
    assert found("float32")["images a kernel"] == [2]
    assert found("float32")["gathers"] == 0
    assert found("float32")["reductions"] > 0


def test_a_checkpoint_of_eight_devices_is_one_of_one_and_the_other_way_round(found):
    for way in ("8 to 1", "1 to 8"):
        assert found("float32")["checkpoint"][way]["restored"] == 0.0
        assert found("float32")["checkpoint"][way]["after an update"] <= 1e-6


def test_one_device_acts(found):
    assert found("float32")["acting devices"] == 1


@pytest.mark.parametrize(
    ("devices", "batch_size", "sentence"),
    [("3", 64, "config.devices is 3 and there are 1 here: lower it, or say all.")],
)
def test_what_is_not_there_is_refused(devices, batch_size, sentence):
    with pytest.raises(ConfigError) as refused:
        place(devices, batch_size, "cpu")
    assert str(refused.value) == sentence


def test_a_batch_that_cannot_be_split_is_refused(found):
    assert found("float32")["refused"] == (
        "config.batch_size is 12 and 8 devices share a batch: make it a multiple, such as 16."
    )


def test_one_device_needs_no_placement():
    assert jax.device_count("cpu") == 1
    assert place("all", 64, "cpu") is None
