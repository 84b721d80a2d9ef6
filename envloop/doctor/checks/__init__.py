"""Every check, in the order in which they are made."""

from envloop.doctor.checks.actors import DRIVING, SPAWNING, TELEPORT
from envloop.doctor.checks.camera import FRAMES, PICTURE
from envloop.doctor.checks.clock import CLOCK, LATENCY
from envloop.doctor.checks.episodes import MEMORY, SEED, SPEED
from envloop.doctor.checks.events import COLLISIONS, LANES, ORDER
from envloop.doctor.checks.traffic import TRAFFIC, WALKERS
from envloop.doctor.checks.world import LIGHTS, RELOAD, ROADS, WEATHER
from envloop.doctor.finding import Check

CHECKS: tuple[Check, ...] = (
    CLOCK,
    LATENCY,
    ROADS,
    LIGHTS,
    SPAWNING,
    TELEPORT,
    DRIVING,
    FRAMES,
    PICTURE,
    WEATHER,
    ORDER,
    COLLISIONS,
    LANES,
    TRAFFIC,
    WALKERS,
    SEED,
    SPEED,
    MEMORY,
    RELOAD,
)
