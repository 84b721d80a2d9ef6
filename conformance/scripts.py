"""CARLA's example and utility scripts (`PythonAPI/examples`, `PythonAPI/util`), each against a server of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from conformance import child
from conformance.child import Ending
from conformance.job import Job, Run

PORT = 2000  # written into many of them
_FOLDERS = ("examples", "util")
_OSM = """<osm version="0.6"><bounds minlat="49.000" minlon="8.000" maxlat="49.002" maxlon="8.002"/>
<node id="1" lat="49.0002" lon="8.0002"/><node id="2" lat="49.0015" lon="8.0012"/>
<node id="3" lat="49.0018" lon="8.0018"/>
<way id="10"><nd ref="1"/><nd ref="2"/><nd ref="3"/><tag k="highway" v="residential"/></way></osm>
"""


@dataclass(frozen=True)
class _Way:
    """How to run a script: arguments, seconds until Ctrl-C, whether it ends by itself, and what to run before it."""

    arguments: tuple[str, ...] = ()
    limit_s: float = 20.0
    ends: bool = False
    after: tuple[str, tuple[str, ...]] | None = None


_RECORDING = ("start_recording.py", ("-f", "recording.log", "-n", "5", "-t", "5"))
# What is not listed runs without arguments until Ctrl-C.
_WAYS = {
    "check_collisions_substepping.py": _Way(limit_s=300.0, ends=True),
    "check_lidar_bb.py": _Way(limit_s=120.0, ends=False),
    "check_raycast_sensors_determinism.py": _Way(limit_s=300.0, ends=True),
    "config.py": _Way(("--inspect",), limit_s=60.0, ends=True),
    "environment.py": _Way(("--sun", "sunset"), limit_s=60.0, ends=True),
    "extract_spawn_points.py": _Way(("--output-dir", "."), limit_s=60.0, ends=True),
    "generate_traffic.py": _Way(("-n", "30", "-w", "10"), limit_s=30.0),
    "get_component_test.py": _Way(limit_s=60.0, ends=True),
    "lidar_to_camera.py": _Way(("--frames", "20"), limit_s=120.0, ends=True),
    "osm_to_xodr.py": _Way(("-i", "town.osm", "-o", "town.xodr"), limit_s=60.0, ends=True),
    "performance_benchmark.py": _Way(("--ticks", "5", "--maps", "Town01", "--sensors", "0"), limit_s=240.0, ends=True),
    "show_recorder_actors_blocked.py": _Way(("-f", "recording.log"), 60.0, ends=True, after=_RECORDING),
    "show_recorder_collisions.py": _Way(("-f", "recording.log"), 60.0, ends=True, after=_RECORDING),
    "show_recorder_file_info.py": _Way(("-f", "recording.log", "-a"), 60.0, ends=True, after=_RECORDING),
    "start_recording.py": _Way(("-f", "recording.log", "-n", "5", "-t", "10"), limit_s=60.0, ends=True),
    "start_replaying.py": _Way(("-f", "recording.log"), limit_s=60.0, ends=True, after=_RECORDING),
    "test_connection.py": _Way(limit_s=60.0, ends=True),
    "tutorial.py": _Way(limit_s=60.0, ends=True),
    "vehicle_physics.py": _Way(limit_s=120.0, ends=True),
}
_NOT_RUN = {
    "V2XDemo.py": "minicarla has no V2X sensors",
    "apply_texture.py": "minicarla has no textures",
    "invertedai_traffic.py": "asks for an account of Inverted AI",
    "manual_control_steeringwheel.py": "asks for a steering wheel",
    "test_addsecondvx.py": "minicarla has no V2X sensors",
    "tutorial_gbuffer.py": "minicarla has no G-buffers",
}


def jobs(python_api: Path) -> Iterator[Job]:
    """Every script of the folders."""
    for folder in _FOLDERS:
        for path in sorted((python_api / folder).glob("*.py")):
            if not path.name.startswith("_"):
                yield Job(f"{folder}/{path.name}", PORT, _runner(python_api, path))


def _runner(python_api: Path, path: Path) -> Run:
    way = _WAYS.get(path.name, _Way())

    def run(scratch: Path) -> Ending:
        if path.name in _NOT_RUN:
            return Ending("skipped", 0.0, _NOT_RUN[path.name])
        (scratch / "town.osm").write_text(_OSM)
        environment = child.environment(python_api / "carla")  # where CARLA's agents lie
        if way.after is not None:
            script, arguments = way.after
            before = child.python(str(python_api / "examples" / script), *arguments)
            ending = child.run(before, scratch, environment, 60.0, endless=False)
            if ending.verdict != "passed":
                return ending
        command = child.python(str(path), *way.arguments)
        return child.run(command, scratch, environment, way.limit_s, endless=not way.ends)

    return run
