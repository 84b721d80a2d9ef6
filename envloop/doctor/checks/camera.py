"""The task's camera: a picture for every tick, and the true one."""

import time

import carla
import numpy as np

from envloop.doctor.finding import Check, Finding, Verdict, judged
from envloop.doctor.subject import CAMERA, Subject, mean_difference, pixels

_SLOW_MS = 100.0
_LEAST_CONTRAST = 5.0  # standard deviation of brightness, of 255
_LEAST_BRIGHTNESS = 5.0
_DRIVEN_TICKS = 20
_POSE_M = 0.1


def _frames(subject: Subject) -> Finding:
    missing, took_ms = 0, []
    with subject.car(subject.straight_places(20.0)[0]) as car, subject.camera(car) as pictures:
        stale = pictures.stale
        for _ in subject.counted(subject.effort.ticks):
            start = time.perf_counter()
            missing += pictures.of(subject.simulator.tick()) is None
            took_ms.append(1e3 * (time.perf_counter() - start))
        stale = pictures.stale - stale
    median, slow = (float(value) for value in np.percentile(took_ms, (50, 95)))
    return judged(
        fails=missing > 0 or stale > 0,
        warns=median > _SLOW_MS,
        measured=f"{len(took_ms)} ticks: {missing} without their picture, {stale} late; with it a tick takes "
        f"{median:.1f} ms, one in twenty {slow:.1f} ms or more",
        advice="The server renders too slowly or drops pictures: free its GPU, use -quality-level=Low, never "
        "no_rendering_mode, and keep the server on this machine.",
        values={
            "ticks": len(took_ms),
            "missing": missing,
            "late": stale,
            "tick_median_ms": median,
            "tick_p95_ms": slow,
        },
    )


FRAMES = Check("camera frames", "Every tick has its picture, with the tick's frame number", _frames)


def _picture(subject: Subject) -> Finding:
    here, *others = subject.straight_places(30.0)
    if not others:
        return Finding(Verdict.SKIP, "the map has one straight place only", "Ask a larger town.")
    with subject.car(here) as car, subject.camera(car) as pictures:
        parked = [pictures.of(subject.simulator.tick()) for _ in range(2)]
        car.set_transform(others[len(others) // 2])
        first = pictures.of(subject.simulator.tick())
        placed = car.get_transform()
        seen = [picture for picture in (*parked, first, pictures.of(subject.simulator.tick())) if picture is not None]
        if len(seen) < 4:
            return Finding(Verdict.FAIL, "pictures are missing", "See the row 'camera frames'.")
        before, jumped, after = (pixels(picture).copy() for picture in seen[1:])
        noise = mean_difference(pixels(seen[0]), before)
        off_m = _pose_error(seen[2], placed)
        car.apply_control(carla.VehicleControl(throttle=1.0))
        driven = [pictures.of(subject.simulator.tick()) for _ in range(_DRIVEN_TICKS)]
        different = len({bytes(picture.raw_data) for picture in driven[10:] if picture is not None})
    grey = before[..., :3].mean(axis=-1)
    brightness, contrast = float(grey.mean()), float(grey.std())
    change, aftermath = mean_difference(before, jumped), mean_difference(jumped, after)
    dark = brightness < _LEAST_BRIGHTNESS or contrast < _LEAST_CONTRAST
    still = different < _DRIVEN_TICKS // 2
    late = change <= 2.0 * noise or aftermath > change
    faults = [name for name, found in (("black or blank", dark), ("stands still", still), ("late", late)) if found]
    return judged(
        fails=bool(faults) or off_m > _POSE_M,
        measured=f"{', '.join(faults) or 'true'}: brightness {brightness:.0f}, contrast {contrast:.0f}; a teleport "
        f"changes it by {change:.1f} at once, by {aftermath:.1f} a tick later; driving, {different} of "
        f"{_DRIVEN_TICKS // 2} differ; taken {off_m:.2f} m from the camera",
        advice="Start the server with -RenderOffScreen on a GPU with a working driver, without no_rendering_mode.",
        values={
            "brightness": brightness,
            "contrast": contrast,
            "noise": noise,
            "change": change,
            "aftermath": aftermath,
            "different": different,
            "pose_off_m": off_m,
        },
    )


def _pose_error(picture: carla.Image, car: carla.Transform) -> float:
    """Metres between where the picture says it was taken, and where the camera sits on the car."""
    camera = car.transform(carla.Location(x=CAMERA.x, z=CAMERA.z))
    return float(picture.transform.location.distance(camera))


PICTURE = Check(
    "camera picture", "The picture is neither black nor still, and shows this tick, not an older one", _picture
)
