"""What the client tells of a map's lights, on the project's own Town01 and on CARLA's."""

import carla

from envloop.client.lookout import _before_junction


def test_a_stop_line_is_where_the_lane_enters_the_junction(town01_map):
    approach = carla.Location(x=330.0, y=129.49)
    middle = town01_map.get_waypoint(approach)
    found = 0
    for metres in range(2, 300, 2):
        (waypoint, *_) = middle.next(float(metres))
        line = _before_junction(waypoint)
        assert not line.is_junction or waypoint.is_junction
        driven = waypoint.transform.location.distance(line.transform.location)
        if driven > 0.0:
            assert driven <= 20.0
            assert line.next(0.6)[0].is_junction
            found += 1
    assert found >= 6, "of the 20 m in front of a junction"
