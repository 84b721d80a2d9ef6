"""World snapshots: every actor, every tick, so this is written to be cheap."""

import time
from typing import TYPE_CHECKING

from minicarla.protocol import wire
from minicarla.world.actors import TrafficLight

if TYPE_CHECKING:
    from minicarla.world.state import World


class Snapshots:
    """Packs snapshot after snapshot. The lights' records are kept: they rarely change but for their elapsed time."""

    def __init__(self) -> None:
        self._writer = wire.SnapshotWriter()
        self._lights: wire.LightBlock | None = None
        self._lights_time = 0.0

    def lights_changed(self) -> None:
        """To be called when a light's state, times or freezing have changed."""
        self._lights = None

    def pack(self, world: "World", dt: float) -> bytes:
        """The frame of the world as it is now; `dt` is the step that led here, s."""
        writer = self._writer
        state_bits = wire.MAP_CHANGE if world.map_changed else 0
        now = time.monotonic()
        writer.begin(world.frame, world.elapsed, world.episode, now, dt, state_bits, len(world.actors))
        if self._lights is None:
            self._lights = wire.LightBlock([_record(world, light) for light in world.light_actors.values()])
            self._lights_time = _lights_clock(world)
        writer.lights(self._lights, _lights_clock(world) - self._lights_time)
        for actor in world.movables:
            actor.write(writer)
        return writer.finish()


def _lights_clock(world: "World") -> float:
    """A time that stands still while the lights are frozen; any light's will do, for only differences are used."""
    return next((world.lights.elapsed_time(sign_id) for sign_id in world.light_actors), 0.0)


def _record(world: "World", light: TrafficLight) -> bytes:
    lights, sign_id = world.lights, light.sign_id
    times = (lights.green_time(sign_id), lights.yellow_time(sign_id), lights.red_time(sign_id))
    name = sign_id.encode()[: wire.SIGN_ID_BYTES]
    elapsed, pole, state = lights.elapsed_time(sign_id), lights.pole_index(sign_id), lights.state(sign_id)
    return wire.light_record(light.id, light.motion(), name, times, elapsed, pole, lights.frozen, state)
