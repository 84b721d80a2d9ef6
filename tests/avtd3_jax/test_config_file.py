"""Habits with configuration files and the command line: each works, or is refused in a sentence that names the key."""

import json
import textwrap
from pathlib import Path

import pytest

from avtd3_jax import evaluate
from avtd3_jax.errors import ConfigError
from avtd3_jax.settings.config_file import load, split_options
from avtd3_jax.settings.keys import leaves
from avtd3_jax.settings.run_config import RunConfig, file_values, keys_of

TOWN01 = Path(__file__).parents[2] / "configs" / "town01.py"


@pytest.fixture
def written(tmp_path):
    def write(text: str, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text))
        return path

    return write


def set_by(*arguments: str) -> RunConfig:
    rest, changes = split_options(arguments)
    assert rest == []
    return load(TOWN01, changes)


def test_options_of_the_configuration_are_told_from_the_others():
    rest, changes = split_options(
        ["me", "--workdir", "a b", "--config.seed=3", "--config", "x.py", "--config.agent.tau", "0.1", "--config.debug"]
    )
    assert rest == ["me", "--workdir", "a b", "--config", "x.py"]
    assert changes == {"seed": "3", "agent.tau": "0.1", "debug": True}
    rest, changes = split_options(
        ["--config.debug", "--resume", "--noconfig.profile", "--config.seed=1", "--config.seed=2"]
    )
    assert rest == ["--resume"]
    assert changes == {"debug": True, "profile": False, "seed": "2"}


def test_every_key_can_be_set_on_the_command_line():
    values = dict(leaves(file_values(RunConfig())))
    assert set(values) == set(keys_of({}))
    for name, value in values.items():
        shown = tuple(value) if isinstance(value, list) else value
        assert set_by(f"--config.{name}={shown}") == RunConfig()


@pytest.mark.parametrize(
    ("argument", "name", "value"),
    [
        ("--config.exploration.std[0]=0.3", "exploration.std", [0.3, 0.4]),
        ("--config.exploration.std=(0.3,0.2)", "exploration.std", [0.3, 0.2]),
        ("--config.exploration.std=0.3", "exploration.std", [0.3]),
        ("--config.agent.hidden=[64]", "agent.hidden", [64]),
        ("--config.agent.encoder_lr=3e-4", "agent.encoder_lr", 3e-4),
        ("--config.agent.tau=1", "agent.tau", 1.0),
        ("--config.total_steps=20_000", "total_steps", 20_000),
        ("--config.scenario=0", "scenario", "0"),
        ("--config.debug=False", "debug", False),
        ("--config.debug", "debug", True),
        ("--config.env.route=300,129.5 -> 98.4,129.5", "env.route", "300,129.5 -> 98.4,129.5"),
    ],
)
def test_a_text_becomes_the_keys_type(argument, name, value):
    found = dict(leaves(file_values(set_by(argument))))
    assert found[name] == value
    assert type(found[name]) is type(value)


def test_get_config_may_take_an_argument(written):
    path = written("""
        def get_config(seed):
            return {"seed": int(seed)}
    """)
    assert load(Path(f"{path}:7")).seed == 7
    with pytest.raises(ConfigError, match=r"cannot be called so \(missing .*'seed'\): give --config mine.py:ARGUMENT"):
        load(path)
    with pytest.raises(ConfigError, match=r"too many positional arguments\): give --config town01.py alone"):
        load(Path("town01:7"))
    with pytest.raises(ConfigError, match=r"there is no file nowhere\.py:7"):
        load(Path("nowhere.py:7"))


@pytest.mark.parametrize(
    ("argument", "sentence"),
    [
        ("--config.exploration.std[2]=0.3", "config.exploration.std[2] is not there: config.exploration.std has 2"),
        ("--config.exploration.std[0]=x", "config.exploration.std[0] is 'x': it must be a number."),
        ("--config.agent.tau[0]=0.3", "config.agent.tau[0] is not there: config.agent.tau is one value"),
        ("--config.agent.typo=1", "config.agent.typo is no key: did you mean config.agent.t"),
        ("--config.agent=1", "config.agent holds keys and no value: set one of them, such as config.agent.encoder."),
        ("--config.seed", "config.seed is True: it must be a whole number."),
        ("--config.seed=None", "config.seed has no value: give it one, in the file or by --config.seed=VALUE."),
        ("--config.batch_size=lots", "config.batch_size is 'lots': it must be a whole number."),
        ("--config.batch_size=1.5", "config.batch_size is 1.5: it must be a whole number."),
        ("--config.debug=maybe", "config.debug is 'maybe': it must be True or False."),
        ("--config.agent.compute_dtype=float16", "config.agent.compute_dtype is 'float16': choose one of float32,"),
        ("--config.env.reward.discount=0.9", "config.env.reward.discount cannot be set: it follows from config.agent"),
        ("--config.num_envs=0", "config.num_envs is 0: it must be at least 1."),
    ],
)
def test_what_cannot_be_set_is_refused_in_one_sentence(argument, sentence):
    with pytest.raises(ConfigError) as error:
        set_by(argument)
    assert str(error.value).startswith(sentence)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [
        "def get_config(): return {'seed': 7, 'agent': {'tau': 0.1}}",
        """
        from ml_collections import FrozenConfigDict
        def get_config(): return FrozenConfigDict({'seed': 7, 'agent': {'tau': 0.1}})
        """,
        """
        import numpy as np
        from ml_collections import ConfigDict
        def get_config(): return ConfigDict({'seed': np.int64(7), 'agent': {'tau': np.float64(0.1)}})
        """,
        """
        from ml_collections import config_dict
        from avtd3_jax.settings.run_config import default_config
        def get_config():
            config = default_config()
            config.seed = 7
            config.agent.tau = 0.1
            return config
        """,
    ],
    ids=["plain dict", "frozen", "numpy", "defaults"],
)
def test_a_file_may_return_any_mapping_and_leave_keys_out(written, text):
    run = load(written(text))
    assert (run.seed, run.agent.tau) == (7, 0.1)
    assert run.replay == RunConfig().replay


def test_a_file_may_hold_paths_arrays_and_values_still_to_be_given(written, tmp_path):
    (tmp_path / "map.xodr").write_text("")
    path = written(
        f"""
        from pathlib import Path
        import numpy as np
        from ml_collections import ConfigDict, config_dict
        def get_config():
            config = ConfigDict({{'sim': {{'xodr': Path({str(tmp_path / "map.xodr")!r})}}}})
            config.exploration = {{'std': np.array([0.5, 0.25])}}
            config.seed = config_dict.placeholder(int)
            config.total_steps = config_dict.required_placeholder(int)
            return config
        """
    )
    with pytest.raises(ConfigError, match=r"^config\.(seed|total_steps) has no value: give it one"):
        load(path)
    with pytest.raises(ConfigError, match=r"^config\.total_steps has no value: .* --config\.total_steps=VALUE\.$"):
        load(path, {"seed": "3"})
    run = load(path, {"seed": "3", "total_steps": "100"})
    assert (run.seed, run.total_steps, run.exploration.std) == (3, 100, (0.5, 0.25))
    assert run.driving.simulator.xodr == str(tmp_path / "map.xodr")


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("mine.py", "config = {}", "mine.py has no function get_config"),
        ("mine.py", "def get_config(): return [1]", "mine.py returns is [1]: it must be a mapping"),
        ("mine.py", "def get_config(): return {'agent': 3}", "config.agent holds keys and no value"),
        ("mine.py", "def get_config(): return {'agnet': {'tau': 0.1}}", "config.agnet.tau is no key: did you mean"),
        ("mine.py", "def get_config(): return {'seed': object}", "config.seed is <class 'object'>: it must be a whole"),
        ("mine.json", "{", "mine.json is no JSON"),
        ("mine.json", "[]", "mine.json is []: it must be a mapping"),
        ("mine.json", '{"seed": 1}', "config.total_steps is missing in the saved configuration"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_sentence(written, name, text, sentence):
    with pytest.raises(ConfigError) as error:
        load(written(text, name))
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file .*nowhere\.py: give a configuration file"):
        load(tmp_path / "nowhere.py")


def test_a_runs_own_configuration_is_one(tmp_path):
    run = load(TOWN01, {"seed": "9", "agent.hidden": "(8, 8)", "env.vector.points": "5"})
    path = tmp_path / "config.json"
    path.write_text(json.dumps(file_values(run)))
    assert load(path) == run
    assert load(path, {"seed": "10"}).seed == 10


def test_evaluate_reads_a_file_the_same_way(written, capsys, tmp_path):
    path = written("config = {}")
    where = ["--policy", "follower", "--workdir", str(tmp_path)]
    assert evaluate.main(["--config", str(path), *where]) == 1
    assert "has no function get_config" in capsys.readouterr().err
    assert evaluate.main(["--config", str(TOWN01), "--config.scenario=9", *where]) == 1
    assert "config.scenario is '9'" in capsys.readouterr().err
    assert evaluate.main(["--checkpoint", str(tmp_path), "--config.scenario=0"]) == 1
    assert "--config.scenario belongs to --config FILE" in capsys.readouterr().err
