"""What the networks multiply in is decided by what was asked for and by what the processor has."""

import dataclasses

import pytest

from avtd3_jax.agent import precision
from avtd3_jax.cpu.code import emitter
from avtd3_jax.cpu.conv import operation

IMAGE = (4, 84, 84)


@pytest.mark.parametrize("has", [False, True])
@pytest.mark.parametrize("encoder", ["nature", "impala"])
def test_on_a_cpu(has, encoder, monkeypatch):
    found = dataclasses.replace(emitter.Registers(16, 14), bfloat16=has)
    for module in (precision, operation):
        monkeypatch.setattr(module, "registers", lambda: found)

    def chosen(asked, image=IMAGE):
        return precision.compute_dtype(asked, encoder, image)

    assert chosen("float32") == "float32"
    assert chosen("bfloat16") == ("bfloat16" if has else "float32")
    assert chosen("auto") == ("bfloat16" if has and encoder == "nature" else "float32")
    assert chosen("auto", None) == "float32"


def test_on_another_device_it_is_what_was_asked_for(monkeypatch):
    monkeypatch.setattr(precision.jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(precision, "registers", lambda: emitter.Registers(16, 14))
    assert precision.compute_dtype("bfloat16", "nature", IMAGE) == "bfloat16"
    assert precision.compute_dtype("auto", "nature", IMAGE) == "float32"


def test_a_line_says_what_was_not_to_be_had():
    assert "no bfloat16 instructions" in precision.described("bfloat16", "float32")
    assert precision.described("bfloat16", "bfloat16") == "bfloat16"
    assert precision.described("auto", "float32") == "float32 (compute_dtype is 'auto')"
