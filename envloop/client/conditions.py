"""The weather of an episode and those who share its road, all of it drawn from the episode's seed."""

from typing import Any

from envloop.client.simulator import Simulator
from envloop.client.traffic import Traffic, lanes_m
from envloop.config import MAX_WALKERS, EnvConfig
from envloop.task.route import Route
from envloop.task.scenario import DENSITIES, drawn_scenario, drawn_weather

_PASSED_EVERY = 5  # of the route's points, near which passers-by walk


class Conditions:
    """Makes them in one connection to the simulator."""

    def __init__(self, config: EnvConfig, simulator: Simulator, traffic: Traffic) -> None:
        self._config = config
        self._simulator = simulator
        self._traffic = traffic
        self._lanes_m = lanes_m(simulator.map)
        self._weather = ""  # that was set last

    def make(self, seed: int, ego: tuple[float, float], route: Route) -> dict[str, Any]:
        """What there is then, for the episode's metrics. The road is empty before, but for the ego at x, y (m).

        Raises:
          TaskError: they do not fit on the map.
          SimulatorError: the simulator is lost.
        """
        config, clearance_m = self._config, self._config.npc_clearance_m
        scenario, weather = drawn_scenario(config.scenario, seed), drawn_weather(config.weather, seed)
        if weather != self._weather:
            self._simulator.set_weather(weather)
            self._weather = weather
        density = DENSITIES[scenario].on(self._lanes_m)
        least = 0 if density.scaled else density.vehicles
        vehicles = self._traffic.spawn(density.vehicles, seed, ego, clearance_m, config.npc_speed_kmh, least)
        walkers = min(density.walkers + config.walkers, MAX_WALKERS)
        passers_by = min(config.passers_by, MAX_WALKERS - walkers)
        passed = [(x, y) for x, y, _ in route.points[::_PASSED_EVERY].tolist()] if passers_by else ()
        walkers = self._traffic.spawn_walkers(walkers, seed, ego, clearance_m, config.walkers, passers_by, passed)
        return {"scenario": scenario, "vehicles": vehicles, "walkers": walkers, "weather": weather}
