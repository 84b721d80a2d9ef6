"""What rays meet, against every triangle of the scene tried one by one in double precision."""

import math

import numpy as np
import pytest
from conftest import CameraRig
from hypothesis import given, settings
from hypothesis import strategies as st
from scenes import MIDDLE, car, moved

from minicarla.maps import Pose
from minicarla.render import Fan, RayCaster, Weather
from minicarla.render.actors import axes
from minicarla.render.mesh import Material
from minicarla.render.rays import NOTHING

CARS = [car(moved(MIDDLE, forward=12.0, right=2.0), 7), car(moved(MIDDLE, forward=-9.0), 8)]


@pytest.fixture(scope="module")
def caster(rig: CameraRig) -> RayCaster:
    rig.show(CARS, Weather(), {})
    return RayCaster(rig.renderer.stage)


def solid_quads(rig: CameraRig) -> np.ndarray:
    """[F, 4, 3] float64 corners in the world; those of shadows are all zero."""
    stage = rig.renderer.stage
    corners = [stage.scene.mesh.corners.astype(np.float64)]
    library, placed = stage.library, stage.actors
    for mesh, place in zip(placed.mesh, placed.to_world, strict=True):
        own = library.corners[library.start[mesh] : library.start[mesh + 1]].astype(np.float64)
        solid = library.materials[library.start[mesh] : library.start[mesh + 1]] != Material.SHADOW
        corners.append((own @ place[:, :3].T + place[:, 3]) * solid[:, None, None])
    return np.concatenate(corners)


def nearest(quads: np.ndarray, origin: np.ndarray, direction: np.ndarray, reach: float) -> float:
    """Moeller and Trumbore 1997, one ray against the fronts of both halves of every quad; infinity for nothing."""
    best = math.inf
    for a, b, c in ((0, 1, 2), (0, 2, 3)):
        edge1, edge2 = quads[:, b] - quads[:, a], quads[:, c] - quads[:, a]
        p = np.cross(direction, edge2)
        determinant = (edge1 * p).sum(axis=1)
        # Faces are visible from where their numeric normal points to: there the determinant is positive.
        front = determinant > 1e-12
        scale = 1.0 / np.where(front, determinant, 1.0)
        to_origin = origin - quads[:, a]
        u = (to_origin * p).sum(axis=1) * scale
        q = np.cross(to_origin, edge1)
        v = (q * direction).sum(axis=1) * scale
        distance = (edge2 * q).sum(axis=1) * scale
        hit = front & (u >= 0.0) & (v >= 0.0) & (u + v <= 1.0) & (distance > 0.0) & (distance <= reach)
        best = min(best, distance[hit].min(initial=math.inf))
    return best


@settings(max_examples=25, deadline=None, derandomize=True)
@given(
    forward=st.floats(-15.0, 15.0),
    right=st.floats(-8.0, 8.0),
    up=st.floats(0.3, 9.0),
    pitch=st.floats(-80.0, 80.0),
    yaw=st.floats(-180.0, 180.0),
    roll=st.floats(-60.0, 60.0),
    salt=st.integers(0, 1000),
)
def test_every_ray_meets_the_nearest_face(
    rig: CameraRig, caster: RayCaster, forward: float, right: float, up: float, pitch: float, yaw: float, roll: float,
    salt: int,
):  # fmt: skip
    place = moved(MIDDLE, forward, right, up)
    pose = Pose(place.x, place.y, place.z, pitch, yaw, roll)
    rng, reach = np.random.default_rng(salt), 60.0
    fan = Fan(np.sort(rng.uniform(-0.5, 0.5, 4) * math.pi), np.sort(rng.uniform(-math.pi, math.pi, 6)))
    nearness, faces = caster.cast_fan(pose, fan, reach)
    found = np.where(faces == NOTHING, math.inf, 1.0 / nearness)
    quads, origin = solid_quads(rig), np.array([pose.x, pose.y, pose.z])
    expected = np.empty_like(found)
    for i, elevation in enumerate(fan.elevation_rad):
        for j, azimuth in enumerate(fan.azimuth_rad):
            flat = math.cos(elevation)
            local = np.array([flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)])
            expected[i, j] = nearest(quads, origin, local @ np.array(axes(pose)), reach)
    # A ray along an edge may meet the face or what is behind it, a layer of ground a few cm deeper.
    assert (~np.isclose(found, expected, rtol=1e-4, atol=2e-3)).sum() <= 1


@pytest.mark.parametrize("pitch", [0.0, 35.0, -90.0])
def test_a_fan_and_its_single_rays_agree(caster: RayCaster, pitch: float):
    place = moved(MIDDLE, up=2.5)
    pose = Pose(place.x, place.y, place.z, pitch, place.yaw, 4.0)
    fan = Fan(np.deg2rad(np.linspace(-90.0, 90.0, 31)), np.deg2rad(np.linspace(-180.0, 180.0, 241)))
    nearness, faces = (array.copy() for array in caster.cast_fan(pose, fan, 100.0))
    elevation, azimuth = np.meshgrid(fan.elevation_rad, fan.azimuth_rad, indexing="ij")
    directions = np.stack(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)], axis=-1
    ).reshape(-1, 3)
    single_nearness, single_faces = caster.cast(pose, directions, np.full(len(directions), 100.0))
    # Where two faces touch, rounding may give the ray to either.
    assert (faces.ravel() == single_faces).mean() > 0.995
    assert nearness.ravel() == pytest.approx(single_nearness, rel=1e-3)


def test_no_ray_slips_between_two_faces(caster: RayCaster):
    """The ground has thousands of shared edges, and nothing lies under it."""
    place = moved(MIDDLE, up=3.0)
    fan = Fan(np.deg2rad(np.linspace(-85.0, -3.0, 300)), np.deg2rad(np.linspace(-180.0, 180.0, 2000)))
    _, faces = caster.cast_fan(Pose(place.x, place.y, place.z), fan, 200.0)
    assert (faces != NOTHING).all()


def test_what_is_beyond_reach_is_not_met(caster: RayCaster):
    place = moved(MIDDLE, up=3.0)
    down = Fan(np.array([-0.5 * math.pi]), np.zeros(1))
    for reach, met in ((2.9, False), (3.1, True)):
        _, faces = caster.cast_fan(Pose(place.x, place.y, place.z), down, reach)
        assert (faces[0, 0] != NOTHING) == met
