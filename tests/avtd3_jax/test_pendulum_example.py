import importlib.util
from pathlib import Path

import numpy as np

EXAMPLE = Path(__file__).parents[2] / "examples" / "pendulum.py"


def test_the_library_example_learns():
    """Random actions return about -1,200 an episode, an upright pendulum better than -200; this stops on the way."""
    spec = importlib.util.spec_from_file_location("pendulum_example", EXAMPLE)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    returns = example.train(steps=6_000, seed=0)
    assert np.mean(returns[:5]) < -800.0
    assert np.mean(returns[-6:]) > -700.0


def test_the_documentation_shows_the_example_as_it_is():
    shown = EXAMPLE.read_text().split("\n\n\nif __name__")[0].rstrip()
    assert f"```python\n{shown}\n```" in (EXAMPLE.parents[1] / "docs" / "library.md").read_text()
