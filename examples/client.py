"""A minimal client: a car with a camera drives for five seconds, and the last picture is saved.

python -m minicarla --port 2000 &
python examples/client.py --port 2000 --picture seen.png

Nothing but the stock `carla` package is used, so the same script runs on CARLA 0.9.16.
"""

import argparse
import queue
from pathlib import Path

import carla
import cv2
import numpy as np


def drive(port: int, picture: Path, ticks: int = 100) -> float:
    """Metres driven; the last picture is written to `picture`."""
    client = carla.Client("127.0.0.1", port)
    client.set_timeout(20.0)
    world = client.get_world()
    found = world.get_settings()
    world.apply_settings(carla.WorldSettings(synchronous_mode=True, fixed_delta_seconds=0.05))
    library = world.get_blueprint_library()
    pictures: queue.Queue[carla.Image] = queue.Queue()
    actors: list[carla.Actor] = []
    try:
        car = world.spawn_actor(library.find("vehicle.tesla.model3"), world.get_map().get_spawn_points()[0])
        actors.append(car)
        place = carla.Transform(carla.Location(x=1.6, z=1.5))
        camera = world.spawn_actor(library.find("sensor.camera.rgb"), place, attach_to=car)
        actors.append(camera)
        camera.listen(pictures.put)
        world.tick()
        start = car.get_location()
        car.apply_control(carla.VehicleControl(throttle=0.4))
        for _ in range(ticks):
            frame = world.tick()
        seen = next(image for image in iter(lambda: pictures.get(timeout=20.0), None) if image.frame == frame)
        cv2.imwrite(str(picture), np.frombuffer(seen.raw_data, np.uint8).reshape(seen.height, seen.width, 4)[..., :3])
        return float(car.get_location().distance(start))
    finally:
        for actor in reversed(actors):
            actor.destroy()
        world.tick()
        world.apply_settings(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=2000)
    parser.add_argument("--picture", type=Path, default=Path("seen.png"))
    args = parser.parse_args()
    print(f"drove {drive(args.port, args.picture):.1f} m, saw {args.picture}")
