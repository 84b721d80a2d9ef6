"""Towns by name and from files; a broken file gives one plain sentence and never takes the process down."""

import re
from pathlib import Path

import pytest

from minicarla.maps import MapError, Town, available_towns, load_town, load_xodr


def test_town01_is_at_hand() -> None:
    assert "Town01" in available_towns()


def test_an_unknown_town_names_the_known_ones() -> None:
    with pytest.raises(MapError, match="Town01"):
        load_town("Atlantis")


def test_a_file_gives_the_same_town_as_the_table(town01: Town, tmp_path: Path) -> None:
    path = tmp_path / "Copy.xodr"
    path.write_text(town01.xodr, encoding="utf-8")
    copy = load_xodr(path)
    assert copy.name == "Copy"
    assert copy.lights == town01.lights
    assert copy.spawn_points == town01.spawn_points
    assert copy.buildings == town01.buildings
    assert copy.carla_map.name == "Copy"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"no file .*nowhere\.xodr"):
        load_xodr(tmp_path / "nowhere.xodr")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "well-formed XML"),
        ("hello", "well-formed XML"),
        ("<svg/>", "root element <svg>"),
        ("<OpenDRIVE><header/></OpenDRIVE>", "no roads"),
        ('<OpenDRIVE><road length="1"/></OpenDRIVE>', "has no id"),
        ('<OpenDRIVE><road id="1" length="1" junction="north"/></OpenDRIVE>', "junction 'north' is not on the map"),
        ('<OpenDRIVE><road id="1" length="-1"/></OpenDRIVE>', "not a positive number"),
        ('<OpenDRIVE><road id="1" length="1e300"/></OpenDRIVE>', "below 100000 m"),
        ('<OpenDRIVE><road id="1" length="9"/><road id="1" length="9"/></OpenDRIVE>', "road id twice"),
        ('<OpenDRIVE><road id="1" length="9"><planView/></road></OpenDRIVE>', "lacks a line"),
    ],
)
def test_what_is_no_road_network_is_told_apart(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.xodr"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(MapError, match=re.escape(says)) as caught:
        load_xodr(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "photo.xodr"
    path.write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(MapError, match="UTF-8"):
        load_xodr(path)


@pytest.mark.parametrize(
    ("pattern", "replacement", "says"),
    [
        (r'type="driving"', 'type="sidewalk"', "no lane of type driving"),
        (r"<line />", "", "lacks a line"),
        (r'x="384\.59\d*"', 'x="nan"', "something else than numbers"),
        (r"(?s)<lanes>.*?</lanes>", "", "lacks a lane section"),
        # Past the eye of the structural check; these kill a process that hands them to carla.Map.
        (r'(<signalReference id=)"360"', r'\1"zzz"', "cannot be used by carla.Map"),
        (r'connectingRoad="27"', 'connectingRoad="9999"', "cannot be used by carla.Map"),
        (r'signalId="360"', 'signalId="1"', "cannot be used by carla.Map"),
        (r'(<width sOffset="0" a="4[^>]*)d="0"', r'\1d="9"', "km, and 20 km are the most"),
    ],
)
def test_a_damaged_town_is_refused_and_the_process_lives(
    town01: Town, pattern: str, replacement: str, says: str, tmp_path: Path
) -> None:
    path = tmp_path / "damaged.xodr"
    damaged, count = re.subn(pattern, replacement, town01.xodr)
    assert count > 0
    path.write_text(damaged, encoding="utf-8")
    with pytest.raises(MapError, match=re.escape(says)):
        load_xodr(path)
