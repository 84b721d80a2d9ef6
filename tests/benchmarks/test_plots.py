"""The plot shows the figures of the file."""

import json

import numpy as np
import pytest

pytest.importorskip("matplotlib", reason="matplotlib is not installed: pip install -e .[bench] to test the plots")

from benchmarks import plots

BATCHES = (32, 64, 128, 256, 512)
MODES = ("both", "critic")


def measured():
    def row(what, batch, rate, **more):
        plain = {"encoder_grad": "both", "compute": "float32", "feed": "fixed", "updates/dispatch": 1}
        spread = {"median": rate, "low": 0.9 * rate, "high": 1.2 * rate}
        return {"what": what, "batch": batch, **plain, "updates/s": spread, "% of floor": 50.0, **more}

    rows = [row("ours", batch, 1000.0 / batch) for batch in BATCHES[::-1]]
    rows += [row("ours", 64, 80.0, feed="replay", **{"updates/dispatch": 8, "compute": "bfloat16"})]
    rows += [row("torch compiled NHWC", batch, 500.0 / batch, encoder_grad=mode) for batch in BATCHES for mode in MODES]
    rows += [{"what": "torch eager", "batch": 64, "note": "ended with exit status 1"}, {"what": "floor", "value": 3.0}]
    return {"machine": {"processor": "P", "cores": 2, "device": "gpu:0 (H200), jax 1"}, "rows": rows}


def test_a_line_a_contender_and_the_floor_over_the_batch_sizes():
    both, critic = plots.picture(measured()).axes
    names = both.get_legend_handles_labels()[1]
    assert set(names) == {
        "ours",
        "ours, bfloat16, from replay, 8 a dispatch",
        "torch compiled NHWC",
        "floor (float32 products, measured)",
        "floor (bfloat16 products, measured)",
    }
    floor, in_bfloat16 = [line for line in both.lines if line.get_label().startswith("floor")]
    np.testing.assert_array_equal(floor.get_xdata(), BATCHES)
    np.testing.assert_allclose(floor.get_ydata(), [2000 / batch for batch in BATCHES])
    assert (in_bfloat16.get_xdata(), in_bfloat16.get_ydata()) == ([64], [2 * 80.0])
    rates = {handle.get_label(): handle[0].get_ydata() for handle in both.containers}
    np.testing.assert_allclose(rates["ours"].astype(float), [1000.0 / batch for batch in BATCHES])
    assert critic.get_legend_handles_labels()[1] == ["torch compiled NHWC"]


def test_the_command_draws_the_file_that_is_kept(tmp_path, monkeypatch):
    kept = plots.RESULTS / "learner.json"
    assert json.loads(kept.read_text())["rows"]
    monkeypatch.setattr("sys.argv", ["plots", str(kept), "--out", str(tmp_path / "x.png")])
    plots.main()
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
