import json

import pytest

from experiments import locomotion


def written(folder, library, returns):
    for seed, value in enumerate(returns):
        row = {"env": "Hopper-v5", "library": library, "seed": seed, "curve": [{"return": 0.0}, {"return": value}]}
        (folder / f"{library}{seed}.json").write_text(json.dumps(row))


def test_the_table_has_the_last_evaluations_and_students_interval(tmp_path):
    written(tmp_path, "ours", [1.0, 2.0, 3.0])
    written(tmp_path, "SB3", [5.0])
    line = locomotion.table(tmp_path).splitlines()[2]
    # t(0.975, 2) = 4.3027, standard error 1 / sqrt(3): 2 -+ 2.48
    assert line == "| Hopper-v5 | 2 (-0 .. 4) | 5 | 0, 1, 2 / 0 |"


@pytest.mark.timeout(600)
def test_a_training_is_made_once_and_its_curve_kept(tmp_path, capsys):
    arguments = ["run", "--envs", "Pendulum-v1", "--libraries", "ours", "--seeds", "3", "--steps", "2000"]
    arguments += ["--output", str(tmp_path / "results"), "--runs", str(tmp_path / "runs")]
    assert locomotion.main(arguments) == 0
    row = json.loads((tmp_path / "results" / "Pendulum-v1-ours-seed3.json").read_text())
    assert [point["step"] for point in row["curve"]] == list(range(200, 2_001, 200))
    assert all(-2_000 < point["return"] < 0 for point in row["curve"])
    assert locomotion.main(arguments) == 0
    assert "done already" in capsys.readouterr().out
