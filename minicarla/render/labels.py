"""Pictures that say of every pixel which face it shows: instances, normals, the classes that matter to a driver."""

from collections.abc import Mapping

import numpy as np

from minicarla.render.encodings import Tag
from minicarla.render.stage import Stage

_OPAQUE = np.uint32(0xFF000000)
_VEHICLE, _PERSON = (255, 0, 0), (0, 255, 0)
# RGB of a class in CARLA's cosmos visualisation (ACosmosControlSensor::CosmosColors); all others are black.
_COSMOS: Mapping[Tag, tuple[int, int, int]] = {
    Tag.ROAD_LINES: (98, 183, 249),
    Tag.POLES: (66, 40, 144),
    Tag.TRAFFIC_SIGNS: (131, 175, 155),
    Tag.TRAFFIC_LIGHT: (252, 157, 155),
    Tag.CAR: _VEHICLE,
    Tag.TRUCK: _VEHICLE,
    Tag.BUS: _VEHICLE,
    Tag.MOTORCYCLE: _VEHICLE,
    Tag.BICYCLE: _VEHICLE,
    Tag.PEDESTRIANS: _PERSON,
    Tag.RIDER: _PERSON,
}


def instance_pixels(stage: Stage) -> np.ndarray:
    """[F + 1] uint32 BGRA: class in red, the actor's id in green (low byte) and blue (high); the last is the sky's."""
    owners = stage.owners({})
    pixels = stage.tags[: len(owners)].astype(np.uint32) << np.uint32(16)
    pixels |= (owners & np.uint32(0xFF)) << np.uint32(8) | (owners >> np.uint32(8)) & np.uint32(0xFF)
    return np.append(pixels, np.uint32(int(Tag.SKY) << 16)) | _OPAQUE


def normal_pixels(stage: Stage) -> np.ndarray:
    """[F + 1] uint32 BGRA: the normal's x, y, z in the world, -1..1 as 0..255 in red, green, blue; zero for the sky."""
    normals = np.append(stage.normals(), np.zeros((1, 3), np.float32), axis=0)
    red, green, blue = np.round((0.5 * normals + 0.5) * 255.0).astype(np.uint32).T
    return red << np.uint32(16) | green << np.uint32(8) | blue | _OPAQUE


def cosmos_pixels(stage: Stage) -> np.ndarray:
    """[F + 1] uint32 BGRA: the colour of the face's class; the last is the sky's."""
    colours = np.full(256, _OPAQUE, np.uint32)
    for tag, (red, green, blue) in _COSMOS.items():
        colours[tag] |= np.uint32(red << 16 | green << 8 | blue)
    return colours[np.append(stage.tags[: stage.face_count], np.uint8(Tag.SKY))]
