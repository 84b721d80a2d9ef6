import json

from benchmarks import small


def test_whoever_makes_the_environment_takes_turns_within_its_steps():
    turn = ["--env", "Pendulum-v1", "--seconds", "0.2", "--repetitions", "2"]
    (row,) = small.contest(["environment alone"], turn, 2)
    assert "note" not in row
    assert row["steps/s"].low > 100
    assert row["ms a step"].high == 1e3 / row["steps/s"].low


def test_what_fails_says_why_and_has_no_ratio():
    turn = ["--env", "Nowhere-v0", "--seconds", "0.1", "--repetitions", "1"]
    (row,) = small.contest(["environment alone"], turn, 1)
    assert "Nowhere" in row["note"]
    assert "x ours" not in row


def test_rates_count_the_steps_between_two_lines(monkeypatch, capsys):
    """Of 3 steps a tick of the clock, after a warm-up that does not count."""
    ticks = iter(range(10_000))
    monkeypatch.setattr(small.time, "perf_counter", lambda: next(ticks) / 4)
    monkeypatch.setattr(small.sys, "stdin", type("Lines", (), {"readline": staticmethod(lambda: "\n")}))
    monkeypatch.setattr(small.os, "_exit", lambda code: (_ for _ in ()).throw(SystemExit(code)))
    env = small.Metered(small.gym.make("Pendulum-v1"), first=2, seconds=2.0, repetitions=1)
    env.reset(seed=0)
    try:
        while True:
            env.step(env.action_space.sample())
    except RuntimeError as ended:  # a generator turns what ends the process into this
        raise AssertionError from ended
    except SystemExit:
        pass
    last = capsys.readouterr().out.splitlines()[-1]
    assert 0 < json.loads(last)["steps/s"][0] <= 4.0, "the clock is read once a step, four times a second"
