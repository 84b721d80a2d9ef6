"""Environment objects and level boxes as the stock client gets them, hidden and shown."""

import math

import carla
import numpy as np
import pytest
from server_process import SyncWorld

LABELS = carla.CityObjectLabel


@pytest.mark.parametrize("label", ["Buildings", "TrafficLight", "Poles", "Roads", "Sidewalks", "Vegetation"])
def test_objects_and_level_boxes_of_a_class_are_the_same_things(sync: SyncWorld, label: str):
    things = sync.world.get_environment_objects(LABELS.names[label])
    boxes = sync.world.get_level_bbs(LABELS.names[label])
    assert len(things) == len(boxes) > 10
    assert {str(thing.type) for thing in things} == {label}
    assert [thing.bounding_box.location.x for thing in things] == [box.location.x for box in boxes]
    assert {thing.name for thing in things} <= set(sync.world.get_names_of_all_objects())


def test_ids_are_unique_and_any_gives_all(sync: SyncWorld):
    everything = sync.world.get_environment_objects()
    assert len({thing.id for thing in everything}) == len(everything)
    assert {thing.id for thing in sync.world.get_environment_objects(LABELS.Poles)} < {t.id for t in everything}


def test_a_hidden_house_is_neither_seen_nor_run_into(sync: SyncWorld):
    house = sync.world.get_environment_objects(LABELS.Buildings)[0]
    box = house.bounding_box
    yaw = math.radians(box.rotation.yaw + 90.0)
    distance = box.extent.y + 6.0
    place = carla.Location(box.location.x - distance * math.cos(yaw), box.location.y - distance * math.sin(yaw), 1.5)
    _, pictures = sync.listen(
        sync.spawn(
            "sensor.camera.semantic_segmentation",
            carla.Transform(place, carla.Rotation(yaw=math.degrees(yaw))),
            image_size_x=64,
            image_size_y=36,
        )
    )

    def middle() -> int:
        sync.world.tick()
        picture = np.frombuffer(pictures.get(timeout=10.0).raw_data, np.uint8).reshape(36, 64, 4)
        return int(picture[18, 32, 2])

    def hit() -> int | None:
        point = sync.world.project_point(place, carla.Vector3D(math.cos(yaw), math.sin(yaw), 0.0), distance)
        return None if point is None else int(point.label)

    assert middle() == hit() == int(LABELS.Buildings)
    sync.world.enable_environment_objects({house.id, 1 << 40}, False)
    assert middle() != int(LABELS.Buildings)
    assert hit() is None
    sync.world.enable_environment_objects({house.id}, True)
    assert middle() == hit() == int(LABELS.Buildings)
