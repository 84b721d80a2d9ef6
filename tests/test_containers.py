"""The Dockerfile and the compose file call what exists. No container is built: nothing here may be able to."""

import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import yaml
from test_documentation import check_options

from avtd3_jax.settings.run_config import RunConfig
from envloop.client.version_check import CARLA_VERSION

ROOT = Path(__file__).parents[1]
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def options_of(command: str) -> list[str]:
    """Words of a training's command, without what the shell would put in."""
    return [re.sub(r'"?\$[{\w@}[\]-]+"?', "1", word) for word in command.replace("\\\n", " ").split()]


def test_the_kuberay_manifest_starts_a_training():
    spec = yaml.safe_load((ROOT / "deploy" / "kuberay.yaml").read_text())["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "avtd3_jax.train"]
    check_options("avtd3_jax.train", words[3:])
    (workers,) = spec["rayClusterSpec"]["workerGroupSpecs"]
    (container,) = workers["template"]["spec"]["containers"]
    asked = dict(word.removeprefix("--config.").split("=") for word in words if word.startswith("--config."))
    cpus = workers["replicas"] * int(container["resources"]["requests"]["cpu"])
    assert int(asked["num_envs"]) * RunConfig().fleet.cpus <= cpus
    constraints = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"ray=={spec['rayClusterSpec']['rayVersion']}" in constraints


def test_the_slurm_script_is_one_and_starts_a_training():
    script = ROOT / "deploy" / "slurm.sh"
    assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
    if shutil.which("shellcheck"):
        found = subprocess.run(["shellcheck", str(script)], capture_output=True, text=True, check=False)
        assert not found.stdout
    (command,) = re.findall(r"python -m avtd3_jax\.train (.*?) &", script.read_text(), re.DOTALL)
    check_options("avtd3_jax.train", options_of(command))


def instructions() -> list[tuple[str, str]]:
    """Name and the rest of each instruction, in order."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest) for name, _, rest in (line.partition(" ") for line in text.splitlines() if line)]


def is_target(name: str) -> bool:
    """Of make's, with its variables replaced."""
    return re.search(rf"^{re.escape(name)}:", MAKEFILE.replace("$(VENV)", ".venv"), re.MULTILINE) is not None


def test_the_image_has_a_python_that_the_project_takes():
    (image,) = [rest for name, rest in instructions() if name == "FROM"]
    version = re.match(r"python:(3\.\d+)-slim", image)[1]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"Programming Language :: Python :: {version}" in project["classifiers"]


def test_the_image_makes_the_environment_and_trains():
    told = instructions()
    assert {name for name, _ in told} == {"FROM", "RUN", "WORKDIR", "COPY", "ENTRYPOINT", "CMD"}
    (made,) = [rest for name, rest in told if name == "RUN" and rest.startswith("make ")]
    assert is_target(made.split()[1])
    assert dict(told)["ENTRYPOINT"] == '["make"]'
    assert dict(told)["CMD"] == '["train"]'
    assert is_target("train")


def test_the_image_leaves_out_what_a_checkout_need_not_have():
    left_out = (ROOT / ".dockerignore").read_text().splitlines()
    needed = {path.split("/")[0] for path in re.findall(r"[\w./-]+", "configs pyproject.toml constraints.txt Makefile")}
    assert not needed & set(left_out)
    assert {".venv", "runs"} <= set(left_out)


def test_compose_starts_the_carla_that_the_client_speaks_to():
    carla = COMPOSE["services"]["carla"]
    assert carla["image"] == f"carlasim/carla:{CARLA_VERSION}"
    assert " ".join(["--gpus", *carla["command"]]).count("-carla-rpc-port=2000") == 1
    assert "/dev/tcp/127.0.0.1/2000" in carla["healthcheck"]["test"][-1]
    assert f"carlasim/carla:{CARLA_VERSION} {carla['command'][0]}" in (ROOT / "README.md").read_text()


def test_compose_trains_at_that_carla_and_keeps_the_run():
    train = COMPOSE["services"]["train"]
    target, arguments = train["command"]
    assert is_target(target)
    words = shlex.split(arguments.removeprefix("ARGS="))
    check_options("avtd3_jax.train", words)
    assert "--config.sim.endpoint=carla:2000" in words
    workdir = words[words.index("--workdir") + 1]
    (volume,) = train["volumes"]
    inside = dict(instructions())["WORKDIR"]
    assert volume == f"./{workdir.split('/')[0]}:{inside}/{workdir.split('/')[0]}"
    assert train["depends_on"] == {"carla": {"condition": "service_healthy"}}
