from collections.abc import Iterator

import carla
import pytest
from server_process import HOST, ServerProcess, SyncWorld, running_server, synchronous


@pytest.fixture(scope="session", autouse=True)
def files_of_clients(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where this process's clients keep the maps' files, instead of ~/carlaCache."""
    carla.Client(HOST, 1).set_files_base_folder(str(tmp_path_factory.mktemp("carlaCache")))


@pytest.fixture(scope="session")
def server() -> Iterator[ServerProcess]:
    """One server for all tests that leave no traces."""
    with running_server("--town", "Town01") as process:
        yield process


@pytest.fixture
def sync(server: ServerProcess) -> Iterator[SyncWorld]:
    """A synchronous world without anybody in it; a new client each time, as scripts have."""
    world = synchronous(server)
    world.clear()
    world.world.tick()
    yield world
    world.clear()
    world.world.apply_settings(carla.WorldSettings(synchronous_mode=False))
