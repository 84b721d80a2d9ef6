"""The scripted follower on foreign maps, end to end on a server of each map."""

import carla
import pytest
from drawn_maps import chains, crossings, streets
from driving import follow_route
from hypothesis import HealthCheck, given, settings
from opendrive_maps import bridge, hill, roundabout, tee
from opendrive_text import LaneSpec, Section, line, opendrive, road

from envloop.baselines.policies import follower
from envloop.client.ego import BLUEPRINT
from envloop.client.traffic import Npc
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
        (roundabout(), "90,-1.75 -> 1.75,-90"),
        (hill(0.08), "20,1.75 -> 300,1.75"),
    ],
    ids=["a change of lane", "a junction", "a junction driven on the left", "a roundabout", "a hill"],
)
def test_the_follower_finishes(tmp_path, text, route):
    env = env_on(tmp_path, text, route=route)
    try:
        env.reset(seed=0, options={"start": "beginning"})
        metrics = follow_route(env)["episode_metrics"]
        assert metrics["success"] == 1
        assert metrics["lane_invasions"] == 0
        assert metrics["off_road"] == 0.0
    finally:
        env.close()


def test_a_car_on_the_other_level_of_a_bridge_is_nobodys_lead(tmp_path):
    """One stands where the roads cross, on the road below; the ego comes along over it, then behind it."""
    env = env_on(tmp_path, bridge(6.0), route="-1.75,-140,0 -> -1.75,100,0")
    try:
        for route, leads in (("-1.75,-140,0 -> -1.75,100,0", False), ("-100,1.75 -> 100,1.75", True)):
            env.reset(seed=0, options={"start": "beginning", "route": route})
            simulator, place = env.simulator, carla.Transform(carla.Location(-1.75, 1.75, 0.3))
            parked = simulator.world.spawn_actor(simulator.world.get_blueprint_library().find(BLUEPRINT), place)
            simulator.tick()
            env.npcs.append(Npc(parked, parked.id, 2.4, simulator.address))
            act, gaps, ended = follower(env, 0), [], False
            while not ended:
                _, _, terminated, truncated, info = env.step(act(None))
                gaps.append(info["ego"]["gap_m"])
                ended = terminated or truncated or (leads and gaps[-1] < 30.0)
            assert (min(gaps) < 30.0) == leads
            assert leads or info["episode_metrics"]["success"]
            parked.destroy()
    finally:
        env.close()


@settings(
    max_examples=2,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(drawn=crossings() | chains() | streets())
def test_the_follower_finishes_on_whatever_is_drawn(tmp_path, drawn):
    env = env_on(tmp_path, drawn.text, random_route=RandomRouteConfig(20.0, 150.0))
    try:
        env.reset(seed=1, options={"start": "beginning"})
        metrics = follow_route(env)["episode_metrics"]
        assert metrics["success"] == 1
        assert metrics["off_road"] == 0.0
    finally:
        env.close()
