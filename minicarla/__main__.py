"""`minicarla` or `python -m minicarla`: a server process for CARLA clients, on two ports of this machine."""

import argparse
import asyncio
import ipaddress
import logging
import os
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any

from minicarla import __version__
from minicarla.logs import Throttle

PORT_IN_USE_OR_BAD_MAP = 2
MAPS_VARIABLE = "MINICARLA_MAPS"
RECORDINGS_VARIABLE = "MINICARLA_RECORDINGS"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="minicarla",
        description="A small simulator that CARLA 0.9.16 clients can drive in.",
        epilog="example: python -m minicarla --port 2000 --town Town01",
    )
    parser.add_argument(
        "--port", type=_port, default=2000, help="RPC port; streams use the next one; 0 finds a free pair"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: this machine only)")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--town", default="Town01", help="an own town or one of --maps (default: Town01)")
    place.add_argument("--xodr", type=Path, help="any OpenDRIVE file instead")
    parser.add_argument(
        "--maps",
        default=os.environ.get(MAPS_VARIABLE, ""),
        help="folder of .xodr files that clients can load by name, such as CARLA's Town02.xodr; a file goes before an "
        f"own town of its name (default: ${MAPS_VARIABLE}, or none)",
    )
    parser.add_argument(
        "--recordings",
        default=os.environ.get(RECORDINGS_VARIABLE, ""),
        help=f"folder of clients' recordings (default: ${RECORDINGS_VARIABLE}, or minicarla/recordings in the user's "
        "data folder)",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the sensors' noise (default: 0)")
    parser.add_argument("--parent-pid", type=int, help="end when this process does")
    parser.add_argument("--version", action="version", version=f"minicarla {__version__}")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port < 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port that has a next one: give 0 to 65534")
    return port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until told to stop; the process's exit code."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format="minicarla: %(message)s", level=logging.WARNING, stream=sys.stderr)
    for handler in logging.getLogger().handlers:
        handler.addFilter(Throttle())
    # Only now: a wrong option should not have to wait for these.
    from minicarla.maps import MapError, TownLibrary, load_xodr
    from minicarla.recorder.files import RecordingFolder, default_folder
    from minicarla.server import ServerError, serve

    def ready(port: int) -> None:
        place = f"port={port} pid={os.getpid()} town={town.name} version={__version__}"
        print(f"minicarla ready {place}", flush=True)

    if not _is_loopback(options.host):
        print(
            f"minicarla: warning: listening on {options.host}; whoever reaches it can control the simulation, "
            "for CARLA's protocol knows no passwords.",
            file=sys.stderr,
        )
    try:
        towns = TownLibrary(Path(options.maps) if options.maps else None)
        folder = Path(options.recordings) if options.recordings else default_folder()
        recordings = RecordingFolder(folder, is_shared=not _is_loopback(options.host))
        town = load_xodr(options.xodr) if options.xodr else towns.read(options.town)
        _run(serve(town, towns, recordings, options.host, options.port, options.seed, options.parent_pid, ready))
    except (MapError, ServerError) as error:
        print(f"minicarla: {error}", file=sys.stderr)
        return PORT_IN_USE_OR_BAD_MAP
    return 0


def _run(coroutine: Coroutine[Any, Any, None]) -> None:
    try:
        import uvloop
    except ImportError:
        asyncio.run(coroutine)
    else:
        uvloop.run(coroutine)


if __name__ == "__main__":
    sys.exit(main())
