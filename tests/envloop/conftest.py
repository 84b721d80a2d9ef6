from collections.abc import Callable, Iterator
from typing import Any

import carla
import pytest
from driving import real_town01
from settings_of_record import of_record

from envloop.client.simulator import Simulator
from envloop.config import SimulatorConfig
from envloop.env import CarlaEnv

ONE_WAY = """<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4" name="OneWay"/>
<road name="" length="100.0" id="0" junction="-1"><link/><planView>
<geometry s="0" x="0" y="0" hdg="0" length="100.0"><line/></geometry></planView>
<lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center>
<right><lane id="-1" type="driving" level="false"><width sOffset="0" a="4" b="0" c="0" d="0"/></lane></right>
</laneSection></lanes></road></OpenDRIVE>"""


@pytest.fixture(scope="session", params=["own", "carla"])
def town01_map(request) -> carla.Map:
    """The project's Town01, then CARLA's."""
    if request.param == "carla":
        path = real_town01()
        if path is None:
            pytest.skip("AVTD3_XODR_DIR names no folder with Town01.xodr")
        return carla.Map("Town01", path.read_text())
    from minicarla.maps import load_town

    return load_town("Town01").carla_map


@pytest.fixture(scope="session")
def one_way_map() -> carla.Map:
    return carla.Map("OneWay", ONE_WAY)


@pytest.fixture(scope="session")
def simulator() -> Iterator[Simulator]:
    """One embedded server for the whole session; one environment at a time borrows it."""
    with Simulator(SimulatorConfig()) as server:
        yield server


@pytest.fixture
def make_env(simulator) -> Iterator[Callable[..., CarlaEnv]]:
    """Makes environments on the session's server, one at a time, and closes the last one."""
    made: list[CarlaEnv] = []

    def make(**config: Any) -> CarlaEnv:
        while made:
            made.pop().close()
        made.append(CarlaEnv(of_record(**config), simulator=simulator))
        return made[-1]

    yield make
    while made:
        made.pop().close()


@pytest.fixture
def env(make_env) -> CarlaEnv:
    """The defaults of record on the empty road."""
    return make_env()
