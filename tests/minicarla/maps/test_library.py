"""Towns by name: own ones, a folder's, and CARLA's `_Opt`."""

from pathlib import Path

import pytest

from minicarla.maps import MapError, Town, TownLibrary


@pytest.fixture
def folder(tmp_path: Path, town01: Town) -> Path:
    """Town01 under the name of a town that the project does not have, and a file that is no map."""
    (tmp_path / "Town02.xodr").write_text(town01.xodr)
    (tmp_path / "Town03.xodr").write_text("<OpenDRIVE></OpenDRIVE>")
    (tmp_path / "notes.txt").write_text("no map")
    return tmp_path


def test_names_are_own_towns_and_those_of_the_folder(folder: Path) -> None:
    names = TownLibrary(folder).names()
    assert {"Town01", "Town01_Opt", "Town02", "Town02_Opt", "Town03", "Grid01"} <= set(names)
    assert names == sorted(names)
    assert "notes" not in names
    assert "Town02" not in TownLibrary().names()


def test_a_town_is_read_once_and_opt_is_the_same(folder: Path, town01: Town) -> None:
    library = TownLibrary(folder)
    assert library.known("Town02") is None
    town = library.read("Town02_Opt")
    assert (town.name, town.xodr) == ("Town02", town01.xodr)
    assert library.known("Town02") is library.read("Town02") is library.known("Town02_Opt") is town


def test_a_file_goes_before_the_own_town_of_its_name(tmp_path: Path, town01: Town) -> None:
    text = town01.xodr.replace('vendor="avtd3-jax"', 'vendor="another"')
    (tmp_path / "Town01.xodr").write_text(text)
    assert TownLibrary(tmp_path).read("Town01").xodr == text != TownLibrary().read("Town01").xodr


def test_what_cannot_be_read_is_told_in_a_sentence(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MapError, match=r"Town03\.xodr has no roads"):
        TownLibrary(folder).read("Town03")
    for name in ("Town99", "../Town02", "notes"):
        with pytest.raises(MapError, match="there is no map"):
            TownLibrary(folder).read(name)
    with pytest.raises(MapError, match="--maps"):
        TownLibrary().read("Town02")
    with pytest.raises(MapError, match="no folder"):
        TownLibrary(tmp_path / "nowhere")
