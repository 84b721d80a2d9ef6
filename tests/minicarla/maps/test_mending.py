"""What the wheel misreads in OpenDRIVE is mended before it and the clients get the text: roads lie as they should."""

import math
import re
from collections.abc import Callable
from pathlib import Path

import carla
import numpy as np
import opendrive_maps
import pytest
from opendrive_text import Piece, Place, Section, line, opendrive, road

from minicarla.maps import MapError, load_xodr
from minicarla.maps.loader import mended

STREET = opendrive_maps.street(200.0)
END = '<laneSection s="200"><center><lane id="0"/></center></laneSection>'
LATE = '<elevation s="50" a="7" b="0" c="0" d="0"/>'


def shaped(element: str, length: float = 100.0) -> str:
    return opendrive([road(Piece(length, element, Place(length)))])


def with_prefix(text: str) -> str:
    return re.sub(r"<(/?)(?=[a-zA-Z])", r"<\1od:", text).replace("<od:OpenDRIVE", '<od:OpenDRIVE xmlns:od="http://x"')


def places(text: str, lane: int = -1) -> np.ndarray:
    """[5, 3] m, along the lane."""
    carla_map = carla.Map("mended", text)
    length = float(re.search(r'<road[^>]*length="([^"]+)"', text)[1])
    found = [carla_map.get_waypoint_xodr(1, lane, share * length) for share in (0.001, 0.3, 0.5, 0.8, 0.999)]
    return np.array([(p.transform.location.x, p.transform.location.y, p.transform.location.z) for p in found])


def replaced(pattern: str, by: str, count: int = 0) -> Callable[[], str]:
    def change() -> str:
        changed, number = re.subn(pattern, by, STREET, count=count)
        assert number
        return changed

    return change


@pytest.mark.parametrize(
    "change",
    [
        replaced("<OpenDRIVE>", '<OpenDRIVE xmlns="http://code.asam.net/simulation/standard/opendrive_schema">'),
        lambda: with_prefix(STREET),
        replaced("<line/>", '<userData code="x" value="y"/><line/>'),
        replaced("<line/>", '<spiral curvStart="0" curvEnd="0"/>'),
        replaced("<line/>", '<arc curvature="0"/>'),
        replaced("<line/>", '<arc curvature="1e-8"/>'),
        replaced("<lanes>", '<lanes><laneOffset s="300" a="1" b="0" c="0" d="0"/>'),
        replaced("<center>.*?</center>", ""),
        replaced("(<laneSection.*</laneSection>)", r"\1\1"),
        replaced("(<laneSection.*</laneSection>)", r"\1" + END),
        replaced('sOffset="0" a="3.5"', 'sOffset="20" a="3.5"'),
        replaced(r"<width ([^>]*) a=\"3.5\"", r'<border \1 a="3.5"'),
    ],
)  # fmt: skip
def test_the_road_lies_as_if_nothing_had_been_unusual(change: Callable[[], str]) -> None:
    text = change()
    assert mended(text) != text
    for lane in (-1, 1):
        assert places(mended(text), lane) == pytest.approx(places(STREET, lane), abs=1e-3)


def test_a_text_that_needs_nothing_stays_byte_by_byte(town01) -> None:
    for text in (STREET, town01.xodr, opendrive_maps.bridge(), opendrive_maps.tee(left_hand=True)):
        assert mended(text) == text


@pytest.mark.parametrize("curvature", [0.01, -0.02])
def test_a_spiral_of_constant_curvature_is_an_arc(curvature: float) -> None:
    spiral = shaped(f'<spiral curvStart="{curvature}" curvEnd="{curvature}"/>')
    assert places(mended(spiral)) == pytest.approx(places(shaped(f'<arc curvature="{curvature}"/>')), abs=1e-3)


def test_a_true_spiral_and_a_true_arc_stay() -> None:
    for element in ('<spiral curvStart="0.0" curvEnd="0.002"/>', '<arc curvature="1e-4"/>'):
        assert mended(shaped(element)) == shaped(element)


def test_elevation_that_begins_late_holds_from_the_start() -> None:
    text = STREET.replace("<elevationProfile>", f"<elevationProfile>{LATE}")
    assert places(mended(text))[:, 2] == pytest.approx(7.0)


def test_lane_offsets_before_the_first_are_zero() -> None:
    text = STREET.replace("<lanes>", '<lanes><laneOffset s="100" a="1" b="0" c="0" d="0"/>')
    assert -places(mended(text))[:, 1] == pytest.approx([-1.75, -1.75, -0.75, -0.75, -0.75], abs=1e-3)


def test_borders_become_widths_piece_by_piece() -> None:
    """Lane -1 ends at t = -3 and from 100 m on goes out to -4; lane -2 ends at -6."""
    inner = '<border sOffset="0" a="-3" b="0" c="0" d="0"/><border sOffset="100" a="-3" b="-0.01" c="0" d="0"/>'
    outer = '<border sOffset="0" a="-6" b="0" c="0" d="0"/>'
    text = re.sub("<left>.*?</left>", "", STREET)
    for borders in (inner, outer):
        text = re.sub("<width[^>]*>", borders, text, count=1)
    carla_map = carla.Map("borders", mended(text))
    for s, first, second in ((50.0, 3.0, 3.0), (150.0, 3.5, 2.5)):
        assert carla_map.get_waypoint_xodr(1, -1, s).lane_width == pytest.approx(first)
        assert carla_map.get_waypoint_xodr(1, -2, s).lane_width == pytest.approx(second)


def test_sections_without_length_are_linked_past() -> None:
    """Of three sections the middle one has no length; its lanes hand on what they are joined to."""
    text = opendrive([road(line(200.0), sections=(Section(0.0), Section(100.0), Section(100.0)))])
    carla_map = carla.Map("sections", mended(text))
    waypoint = carla_map.get_waypoint_xodr(1, -1, 95.0)
    assert waypoint.next(20.0)[0].transform.location.x == pytest.approx(115.0)


def ways(text: str) -> set[tuple[float, ...]]:
    """Where the lanes of the topology begin, and where those that they are joined to."""
    pairs = carla.Map("ids", text).get_topology()
    places = (tuple(w.transform.location for w in pair) for pair in pairs)
    return {tuple(round(value, 1) for place in pair for value in (place.x, place.y)) for pair in places}


def test_a_junction_may_have_the_id_of_a_road() -> None:
    text = opendrive_maps.tee()
    same = re.sub(r'(<junction id|junction|elementType="junction" elementId)="10"', r'\1="2"', text)
    assert ways(mended(same)) == ways(text)


def test_ids_that_are_names_become_numbers_wherever_they_stand() -> None:
    """The same ways through a junction, lane by lane; the ids that were numbers stay."""
    text = opendrive_maps.tee()
    named = text
    for number, name in (("1", "Main Street"), ("3", "4294967296"), ("100", "left-turn")):
        named = re.sub(rf'(<road [^>]*\bid|elementType="road" elementId|Road)="{number}"', rf'\1="{name}"', named)
    named = re.sub(r'(<junction id|junction|elementType="junction" elementId)="10"', r'\1="crossing"', named)
    assert named.count("Main Street") == 7, "the road, four links, two connections"

    assert len(ways(text)) > 10
    assert ways(mended(named)) == ways(text)
    kept = carla.Map("ids", mended(named)).get_waypoint_xodr(2, -1, 10.0).transform.location
    assert kept == carla.Map("ids", text).get_waypoint_xodr(2, -1, 10.0).transform.location


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (replaced("<line/>", "<bezier/>"), "geometry at s=0.0 has the shape <bezier>"),
        (replaced("<line/>", '<paramPoly3 aU="1" pRange="normalized"/>'), "a paramPoly3 that stays in one place"),
        (replaced("<line/>", '<arc curvature="much"/>'), "an arc|a arc with something else than numbers"),
        (replaced('<geometry s="0.0"', '<geometry s="10.0"'), "first geometry does not begin at s=0"),
        (replaced('id="-1"', 'id="-3"'), "lacks lane -1"),
        (replaced('a="3.5"', 'a="wide"'), "<width> has something else than numbers"),
    ],
)  # fmt: skip
def test_what_cannot_be_mended_names_road_and_element(change: Callable[[], str], says: str, tmp_path: Path) -> None:
    path = tmp_path / "flaw.xodr"
    path.write_text(change())
    with pytest.raises(MapError, match=says) as caught:
        load_xodr(path)
    assert "road '1'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_with_a_namespace_loads_and_clients_get_it_without(tmp_path: Path) -> None:
    path = tmp_path / "namespace.xodr"
    path.write_text(STREET.replace("<OpenDRIVE>", '<OpenDRIVE xmlns="http://www.opendrive.org">'))
    town = load_xodr(path)
    assert "xmlns" not in town.xodr
    assert len(town.spawn_points) > 10
    assert math.isfinite(town.spawn_points[0].x)
