"""The map, its traffic lights, the weather, and how long a map takes to load."""

import time

import carla
import numpy as np

from envloop.doctor.finding import Check, Finding, Verdict, judged
from envloop.doctor.subject import Subject, mean_difference, pixels

_OFF_LANE_M = 0.5
_LIGHT_TICKS, _LIGHT_EVERY = 200, 10
_NIGHT_SHARE = 0.8  # of noon's brightness
_LONG_RELOAD_S = 30.0


def _roads(subject: Subject) -> Finding:
    carla_map = subject.simulator.map
    points = carla_map.get_spawn_points()
    lanes = [carla_map.get_waypoint(point.location).transform.location for point in points]
    off_m = [float(np.hypot(p.location.x - w.x, p.location.y - w.y)) for p, w in zip(points, lanes, strict=True)]
    far = sum(off > _OFF_LANE_M for off in off_m)
    name = carla_map.name.split("/")[-1]
    return judged(
        fails=not points or far > len(points) // 10,
        warns=far > 0,
        measured=f"{name}: {len(points)} spawn points, {far} of them over {_OFF_LANE_M:g} m from a lane's centre, "
        f"{max(off_m, default=0.0):.2f} m at most",
        advice="The map's OpenDRIVE file and the server's world differ: install CARLA's own maps of 0.9.16 anew.",
        values={"map": name, "spawn_points": len(points), "off_lane": far, "farthest_m": max(off_m, default=None)},
    )


ROADS = Check("roads", "Cars can be put on the centres of the map's lanes", _roads)


def _lights(subject: Subject) -> Finding:
    lights = list(subject.world.get_actors().filter("traffic.traffic_light"))
    first, second = (_after_a_reset(subject, lights) for _ in range(2))
    differing = sum(one != other for one, other in zip(first, second, strict=True))
    seconds = _LIGHT_TICKS * subject.simulator.config.fixed_delta_s
    return judged(
        fails=False,
        warns=not lights or differing > 0,
        measured=f"{len(lights)} lights; {differing} differ in the {seconds:g} s after two resets",
        advice="Without lights the rules of a red light are not learned."
        if not lights
        else "Episodes of one seed will meet other lights: compare policies over more episodes.",
        values={"lights": len(lights), "differing": differing},
    )


def _after_a_reset(subject: Subject, lights: list[carla.TrafficLight]) -> list[tuple[str, ...]]:
    """What each light shows, several times, from a reset on."""
    subject.world.reset_all_traffic_lights()
    shown = []
    for _ in range(0, _LIGHT_TICKS, _LIGHT_EVERY):
        subject.ticks(_LIGHT_EVERY)
        shown.append([str(light.get_state()) for light in lights])
    return list(zip(*shown, strict=True))


LIGHTS = Check("traffic lights", "A reset begins every light's cycle anew, so that episodes are alike", _lights)


def _weather(subject: Subject) -> Finding:
    found = subject.world.get_weather()
    noon, night = carla.WeatherParameters.ClearNoon, carla.WeatherParameters.ClearNight
    try:
        with subject.car(subject.straight_places(20.0)[0]) as car, subject.camera(car) as pictures:
            seen = {}
            kept = True
            for name, weather in (("noon", noon), ("night", night)):
                subject.world.set_weather(weather)
                picture = pictures.of(subject.ticks(3))
                kept &= _same(subject.world.get_weather(), weather)
                if picture is None:
                    return Finding(Verdict.FAIL, "the camera sent no picture", "See the row 'camera frames'.")
                seen[name] = pixels(picture).copy()
    finally:
        subject.world.set_weather(found)
        subject.simulator.tick()
    day, dark = (float(seen[name][..., :3].mean()) for name in ("noon", "night"))
    changed = mean_difference(seen["noon"], seen["night"])
    return judged(
        fails=not kept,
        warns=dark > _NIGHT_SHARE * day,
        measured=f"{'kept' if kept else 'not kept'}; brightness {day:.0f} at noon, {dark:.0f} at night",
        advice="The server does not take the weather that a run sets (env.weather): see its log."
        if not kept
        else "The weather does not reach the picture: -quality-level=Low has fewer effects; pictures stay as they are.",
        values={"kept": kept, "noon_brightness": day, "night_brightness": dark, "mean_change": changed},
    )


def _same(one: carla.WeatherParameters, other: carla.WeatherParameters) -> bool:
    names = ("cloudiness", "precipitation", "sun_azimuth_angle", "sun_altitude_angle", "fog_density", "wetness")
    return all(abs(getattr(one, name) - getattr(other, name)) < 1e-3 for name in names)


WEATHER = Check("weather", "The weather that a run sets is kept and is seen", _weather)


def _reload(subject: Subject) -> Finding:
    simulator = subject.simulator
    name = simulator.map.name.split("/")[-1]
    subject.spawn_car(subject.straight_places(20.0)[0])
    simulator.tick()
    start = time.perf_counter()
    with simulator.long_timeout():
        simulator.client.load_world(name)
    took_s = time.perf_counter() - start
    left = len(simulator.client.get_world().get_actors().filter("vehicle.*"))
    simulator.close()
    simulator.start()
    return judged(
        fails=left > 0,
        warns=took_s > _LONG_RELOAD_S,
        measured=f"{took_s:.1f} s, {left} vehicles left over",
        advice="Only a run's start loads a map, episodes never do: raise sim.start_timeout_s to three times this."
        if not left
        else "The old world's actors live on: restart the server between runs.",
        values={"reload_s": took_s, "vehicles_left": left},
    )


RELOAD = Check("reload", "A map loads anew within half a minute and is empty", _reload)
