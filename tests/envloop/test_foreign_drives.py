"""The scripted follower on foreign maps, end to end on a server of each map."""

import pytest
from driving import follow_route
from opendrive_maps import LaneSpec, Section, hill, line, opendrive, road, tee

from envloop.config import EnvConfig, RandomRouteConfig, SimulatorConfig
from envloop.env import CarlaEnv

BROKEN = LaneSpec(mark="broken")
TWO_LANES = opendrive(
    [road(line(300.0), sections=(Section(0.0, (), (BROKEN, BROKEN)), Section(120.0, (), (BROKEN, BROKEN))))]
)


def env_on(folder, text: str, **config) -> CarlaEnv:
    path = folder / "Foreign.xodr"
    path.write_text(text)
    settings = {"route": "random", "random_route": RandomRouteConfig(100.0, 200.0), **config}
    return CarlaEnv(EnvConfig(simulator=SimulatorConfig(xodr=str(path)), observation="vector", **settings))


@pytest.mark.parametrize(
    ("text", "route"),
    [
        (TWO_LANES, "10,1.75 -> 280,5.25"),
        (tee(), "random"),
        (tee(left_hand=True), "random"),
        (hill(0.08), "20,1.75 -> 300,1.75"),
    ],
    ids=["a change of lane", "a junction", "a junction driven on the left", "a hill"],
)
def test_the_follower_finishes(tmp_path, text, route):
    env = env_on(tmp_path, text, route=route)
    try:
        for seed in range(2):
            env.reset(seed=seed, options={"start": "beginning"})
            metrics = follow_route(env)["episode_metrics"]
            assert metrics["success"] == 1
            assert metrics["lane_invasions"] == 0
            assert metrics["off_road"] == 0.0
    finally:
        env.close()
