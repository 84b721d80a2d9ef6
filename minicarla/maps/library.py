"""The towns that a server can load, by the names under which clients ask for them."""

import re
from pathlib import Path

from minicarla.maps.loader import MapError, available_towns, load_town, load_xodr
from minicarla.maps.town import Town

OPT = "_Opt"  # CARLA's maps with layers; the roads are those of the map without the ending
_CARLAS_TOWN = re.compile(r"Town\d\d\w*")


class TownLibrary:
    """The project's own towns, and every `NAME.xodr` of a folder, which goes before an own town of that name.

    `NAME_Opt` is the town NAME: there are no layers. A town is read when it is first asked for, and kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        """Raises MapError where there is no such folder."""
        if folder is not None and not folder.is_dir():
            raise MapError(f"there is no folder {folder}: give one with OpenDRIVE (.xodr) files")
        self._folder = folder
        self._read: dict[str, Town] = {}

    def add(self, town: Town) -> None:
        """Keep a town that comes from elsewhere."""
        self._read[town.name] = town

    def names(self) -> list[str]:
        """What `known` and `read` take, in the order of the alphabet; of CARLA's towns also NAME_Opt."""
        names = {*available_towns(), *self._files(), *self._read}
        return sorted(names | {name + OPT for name in names if _CARLAS_TOWN.fullmatch(name) and OPT not in name})

    def known(self, name: str) -> Town | None:
        """The town, if it has been read already."""
        return self._read.get(self._plain(name))

    def read(self, name: str) -> Town:
        """The town. The first time takes seconds; a thread may do it.

        Raises:
          MapError: there is no town of that name, or its file cannot be used.
        """
        plain = self._plain(name)
        if plain not in self._read:
            files = self._files()
            if plain not in files and plain not in available_towns():
                raise MapError(f"there is no map {name!r:.80}: choose one of {', '.join(self.names())}{self._remedy()}")
            self._read[plain] = load_xodr(files[plain]) if plain in files else load_town(plain)
        return self._read[plain]

    def _plain(self, name: str) -> str:
        exists = name in self._read or name in self._files()
        return name if exists else name.removesuffix(OPT)

    def _files(self) -> dict[str, Path]:
        return {} if self._folder is None else {path.stem: path for path in sorted(self._folder.glob("*.xodr"))}

    def _remedy(self) -> str:
        return ", or start minicarla with --maps and a folder of .xodr files" if self._folder is None else ""
