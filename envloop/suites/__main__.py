"""Fixed routes for evaluations: writes a suite's file, or draws its routes.

python -m envloop.suites make town01-nav           writes the suite's file anew, the same from the same seed
python -m envloop.suites draw town01-nav MAP.png   draws its routes over the map
"""

import argparse
import dataclasses
import json
from pathlib import Path

import carla
import cv2
import numpy as np

from envloop.client.planning.planner import Planner
from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.drawing.birdseye import BirdsEye, lane_polygons
from envloop.errors import EnvLoopError
from envloop.suites import FOLDER, Suite, load_suite, suite_names
from envloop.suites.make import RECIPES, make_suite


def town_map(town: str) -> carla.Map:
    """The map of one of minicarla's towns, from a server that runs for that long only."""
    with Simulator(SimulatorConfig(town=town)) as simulator:
        return simulator.map


def write(suite: Suite) -> Path:
    """Writes a suite's file, one route a line."""
    path = FOLDER / f"{suite.name}.json"
    towns = []
    for part in suite.towns:
        routes = ",\n      ".join(json.dumps(dataclasses.asdict(route)) for route in part.routes)
        towns.append(f'    {{"town": "{part.town}", "routes": [\n      {routes}\n    ]}}')
    path.write_text('{\n  "towns": [\n' + ",\n".join(towns) + "\n  ]\n}\n", encoding="utf-8")
    return path


def draw(suite: Suite, path: Path) -> None:
    """Writes a picture of the suite's routes over its towns' maps, one below the other."""
    sheets = []
    for part in suite.towns:
        carla_map = town_map(part.town)
        planner = Planner(carla_map)
        ways = [planner.plan(route.start, route.goal).points[:, :2] for route in part.routes]
        sheets.append(BirdsEye(lane_polygons(carla_map)).sheet(ways, part.first))
    width = max(sheet.shape[1] for sheet in sheets)
    padded = [np.pad(sheet, ((0, 0), (0, width - sheet.shape[1]), (0, 0)), mode="edge") for sheet in sheets]
    if not cv2.imwrite(str(path), np.concatenate(padded)[..., ::-1]):
        raise SystemExit(f"suites: {path} cannot be written as a picture.")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m envloop.suites", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    make_parser = commands.add_parser("make", help="write a suite's file")
    make_parser.add_argument("name", choices=sorted(RECIPES))
    draw_parser = commands.add_parser("draw", help="draw a suite's routes")
    draw_parser.add_argument("name", choices=suite_names())
    draw_parser.add_argument("picture", type=Path)
    args = parser.parse_args()
    try:
        if args.command == "make":
            print(write(make_suite(args.name, town_map)))
        else:
            draw(load_suite(args.name), args.picture)
    except EnvLoopError as error:
        raise SystemExit(f"suites: {error}") from None


if __name__ == "__main__":
    main()
