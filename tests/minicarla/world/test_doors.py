"""Which doors are open: the wire does not show it, so this looks at the actor itself."""

import pytest

from minicarla.geometry.types import Pose
from minicarla.protocol.rpc_types import Description
from minicarla.world.actors import Vehicle
from minicarla.world.blueprints import library


@pytest.mark.parametrize(("blueprint", "openable"), [("vehicle.ford.crown", {0, 1, 2, 3}), ("vehicle.audi.a2", set())])
def test_doors_open_where_the_blueprint_says_so(blueprint: str, openable: set[int]) -> None:
    description = Description(blueprint, library()[blueprint].defaults(), [])
    car = Vehicle(1, description, Pose(0.0, 0.0, 0.0), None)
    assert car.open_doors == set()
    car.move_doors(range(6), opened=True)
    assert car.open_doors == openable
    car.move_doors([1, 4], opened=False)
    assert car.open_doors == openable - {1}
