"""python drive_agent.py AGENT PORT: one of CARLA's agents drives a route; exits with a sentence if it does not arrive.

A program of its own, because `agents` comes from the PYTHONPATH that `agents.py` gives it.
"""

import sys
from typing import Any

import carla

TICKS = 6000  # of 0.05 s
ARRIVED_M = 10.0


def main(agent_name: str, port: int) -> None:
    """The command.

    Raises:
      SystemExit: the agent has not arrived in time.
    """
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(30.0)
    world = client.load_world("Town01")
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    points = world.get_map().get_spawn_points()
    start = points[0]
    # Half-way up the list of distances: through some junctions, not through all the town.
    goal = sorted((point.location for point in points), key=start.location.distance)[len(points) // 2]
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), start)
    world.tick()
    agent = agent_of(agent_name, car)
    agent.set_destination(goal)
    for _ in range(TICKS):
        if agent.done():
            break
        car.apply_control(agent.run_step())
        world.tick()
    left_m = car.get_location().distance(goal)
    if not agent.done() or left_m > ARRIVED_M:
        raise SystemExit(f"RuntimeError: the {agent_name} agent is {left_m:.0f} m away from its goal")


def agent_of(name: str, car: carla.Vehicle) -> Any:
    """The agent by its name in the table."""
    from agents.navigation.basic_agent import BasicAgent
    from agents.navigation.behavior_agent import BehaviorAgent
    from agents.navigation.constant_velocity_agent import ConstantVelocityAgent

    if name == "basic":
        return BasicAgent(car)
    if name == "constant velocity":
        return ConstantVelocityAgent(car)
    return BehaviorAgent(car, behavior=name)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
