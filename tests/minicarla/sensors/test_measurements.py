"""Sensor measurements against the stock client's own geometry and geo-location, and against what must be so at rest."""

import math

import carla
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minicarla.geometry.types import OrientedBox, Pose
from minicarla.physics.collision import Body, CollisionWorld
from minicarla.physics.rows import Control, VehicleState
from minicarla.physics.vehicle import step_vehicle
from minicarla.physics.vehicle_params import vehicle_params
from minicarla.sensors.measurements import (
    GeoReference,
    GnssNoise,
    ImuNoise,
    ObstacleConfig,
    compass,
    detect_obstacle,
    forward_vector,
    geolocate,
    measure_gnss,
    measure_imu,
    parse_geo_reference,
    to_local,
)
from minicarla.world.blueprints import library

MODEL3 = vehicle_params("vehicle.tesla.model3")
QUIET = ImuNoise()
angle = st.floats(-180.0, 180.0)
axis = st.floats(-50.0, 50.0)


def defaults(sensor: str) -> dict[str, str]:
    return library()[sensor].defaults()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def xodr(reference: str) -> str:
    return f"""<?xml version="1.0"?><OpenDRIVE><header revMajor="1" revMinor="4">{reference}</header>
<road name="r" length="10.0" id="0" junction="-1">
<planView><geometry s="0" x="0" y="0" hdg="0" length="10"><line/></geometry></planView>
<lanes><laneSection s="0"><center><lane id="0" type="none" level="false"/></center>
<right><lane id="-1" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/></lane></right>
</laneSection></lanes></road></OpenDRIVE>"""


class TestImu:
    def test_at_rest_it_feels_gravity_alone(self) -> None:
        read = measure_imu(Pose(3.0, 4.0, 0.5, yaw=120.0), (0.0, 0.0, 0.0), (0.0, 0.0, 0.0), QUIET, rng())
        assert read.accelerometer == pytest.approx((0.0, 0.0, 9.81))
        assert read.gyroscope == (0.0, 0.0, 0.0)

    @settings(deadline=None)
    @given(pitch=st.floats(-80.0, 80.0), yaw=angle, roll=angle, vector=st.tuples(axis, axis, axis))
    def test_to_local_undoes_the_clients_transform(
        self, pitch: float, yaw: float, roll: float, vector: tuple[float, float, float]
    ) -> None:
        # carla.Transform.transform_vector takes local to world, in float32.
        world = carla.Transform(carla.Location(), carla.Rotation(pitch, yaw, roll)).transform_vector(
            carla.Vector3D(*vector)
        )
        assert to_local((world.x, world.y, world.z), pitch, yaw, roll) == pytest.approx(vector, abs=1e-3)

    @settings(deadline=None)
    @given(pitch=st.floats(-90.0, 90.0), yaw=angle)
    def test_forward_is_the_clients_forward_vector(self, pitch: float, yaw: float) -> None:
        expected = carla.Rotation(pitch, yaw, 0.0).get_forward_vector()
        got = forward_vector(Pose(0.0, 0.0, 0.0, pitch, yaw))
        assert got == pytest.approx((expected.x, expected.y, expected.z), abs=1e-5)

    def test_a_right_turn_is_felt_to_the_right_and_turns_positive(self) -> None:
        state = VehicleState(vx=8.0, yaw=0.0)
        for _ in range(40):
            step_vehicle(state, Control(throttle=0.3, steer=0.1), MODEL3, 0.05)
        read = measure_imu(state.pose, (state.ax, state.ay, state.az), (0.0, 0.0, state.yaw_rate), QUIET, rng())
        speed = math.hypot(state.vx, state.vy)
        assert read.gyroscope[2] == pytest.approx(math.radians(state.yaw_rate))
        assert read.accelerometer[1] == pytest.approx(speed * read.gyroscope[2], rel=0.05)

    @pytest.mark.parametrize(("yaw", "degrees"), [(-90, 0), (0, 90), (90, 180), (180, 270), (-180, 270), (-91, 359)])
    def test_the_compass_counts_clockwise_from_north_which_is_minus_y(self, yaw: float, degrees: float) -> None:
        assert compass(Pose(0.0, 0.0, 0.0, yaw=yaw)) == pytest.approx(math.radians(degrees))

    @settings(deadline=None)
    @given(yaw=st.floats(-720.0, 720.0))
    def test_the_compass_is_the_angle_between_north_and_the_heading(self, yaw: float) -> None:
        reading = compass(Pose(0.0, 0.0, 0.0, yaw=yaw))
        assert 0.0 <= reading < 2.0 * math.pi + 1e-12
        assert (math.sin(reading), -math.cos(reading)) == pytest.approx(
            (math.cos(math.radians(yaw)), math.sin(math.radians(yaw))), abs=1e-9
        )

    def test_noise_has_the_deviation_and_bias_asked_for(self) -> None:
        noise = ImuNoise.from_attributes(
            defaults("sensor.other.imu")
            | {"noise_accel_stddev_x": "0.5", "noise_gyro_stddev_y": "0.1", "noise_gyro_bias_z": "0.25"}
        )
        generator = rng(3)
        reads = [measure_imu(Pose(0, 0, 0), (0, 0, 0), (0, 0, 0), noise, generator) for _ in range(4000)]
        accel = np.array([read.accelerometer for read in reads])
        gyro = np.array([read.gyroscope for read in reads])
        assert accel.std(axis=0) == pytest.approx((0.5, 0.0, 0.0), abs=0.03)
        assert gyro.std(axis=0) == pytest.approx((0.0, 0.1, 0.0), abs=0.01)
        assert gyro.mean(axis=0) == pytest.approx((0.0, 0.0, 0.25), abs=0.01)

    def test_noise_repeats_with_its_seed_only(self) -> None:
        noise = ImuNoise((1.0, 1.0, 1.0))

        def read(seed: int) -> tuple[float, float, float]:
            return measure_imu(Pose(0, 0, 0), (0, 0, 0), (0, 0, 0), noise, rng(seed)).accelerometer

        assert read(1) == read(1)
        assert read(1) != read(2)


class TestGnss:
    @pytest.mark.parametrize("origin", [(0.0, 0.0), (49.0, 8.0), (-33.9, 151.2)])
    @pytest.mark.parametrize("place", [(0, 0, 0), (317.74, 129.49, 0.5), (-250.0, 900.0, 12.0), (1000, -2000, 3)])
    def test_it_is_the_stock_clients_geo_location(
        self, origin: tuple[float, float], place: tuple[float, float, float]
    ) -> None:
        text = xodr(f"<geoReference><![CDATA[+proj=tmerc +lat_0={origin[0]} +lon_0={origin[1]} +k=1]]></geoReference>")
        expected = carla.Map("geo", text).transform_to_geolocation(carla.Location(*map(float, place)))
        assert parse_geo_reference(text) == GeoReference(*origin)
        # The client goes through float32 locations: 1e-9 deg is 0.1 mm.
        assert geolocate(*place, GeoReference(*origin)) == pytest.approx(
            (expected.latitude, expected.longitude, expected.altitude), abs=2e-9
        )

    def test_a_map_without_reference_lies_where_the_client_puts_it(self) -> None:
        expected = carla.Map("geo", xodr("")).transform_to_geolocation(carla.Location(100.0, 0.0, 0.0))
        got = geolocate(100.0, 0.0, 0.0, parse_geo_reference(xodr("")))
        assert got[:2] == pytest.approx((expected.latitude, expected.longitude), abs=2e-9)

    @pytest.mark.parametrize("reference", ["<geoReference></geoReference>", "<geoReference>+proj=utm</geoReference>"])
    def test_a_reference_that_says_nothing_is_none(self, reference: str) -> None:
        assert parse_geo_reference(xodr(reference)) == GeoReference()

    def test_bias_and_deviation_are_added(self) -> None:
        noise = GnssNoise.from_attributes(
            defaults("sensor.other.gnss") | {"noise_lat_bias": "0.5", "noise_alt_stddev": "2.0"}
        )
        generator = rng(1)
        reads = np.array([measure_gnss(Pose(0, 0, 7.0), GeoReference(0, 0), noise, generator) for _ in range(3000)])
        assert reads.mean(axis=0) == pytest.approx((0.5, 0.0, 7.0), abs=0.15)
        assert reads.std(axis=0) == pytest.approx((0.0, 0.0, 2.0), abs=0.1)


class TestObstacle:
    WORLD = CollisionWorld([OrientedBox(30.0, 0.0, 2.0, 0.0, 1.0, 10.0, 2.0)])

    def body(self, actor_id: int, **motion: float) -> Body:
        return Body(actor_id, VehicleState(**motion), MODEL3.extent, MODEL3.box_centre, MODEL3.mass, MODEL3.gyration_sq)

    def test_the_owner_is_transparent_and_the_car_ahead_is_seen(self) -> None:
        owner, ahead = self.body(1), self.body(2, x=12.0)
        hit = detect_obstacle(Pose(0, 0, 0.8), ObstacleConfig(50.0, 0.5), self.WORLD, [owner, ahead], 1)
        assert hit is not None
        assert hit.actor_id == 2
        assert hit.distance == pytest.approx(12.0 + MODEL3.box_centre[0] - MODEL3.extent[0] - 0.5)

    def test_the_default_sees_5_m_far_static_and_dynamic(self) -> None:
        config = ObstacleConfig.from_attributes(defaults("sensor.other.obstacle"))
        assert detect_obstacle(Pose(23.0, 0, 0.8), config, self.WORLD, [], None) is None
        hit = detect_obstacle(Pose(25.0, 0, 0.8), config, self.WORLD, [], None)
        assert hit is not None
        assert (hit.static_index, hit.distance) == (0, pytest.approx(3.5))

    @pytest.mark.parametrize(("text", "seen"), [("true", False), ("True", False), ("false", True)])
    def test_only_dynamics_looks_through_the_town(self, text: str, seen: bool) -> None:
        config = ObstacleConfig.from_attributes(
            defaults("sensor.other.obstacle") | {"distance": "50", "only_dynamics": text}
        )
        assert (detect_obstacle(Pose(0, 0, 0.8), config, self.WORLD, [], None) is not None) is seen

    def test_it_looks_where_the_sensor_looks(self) -> None:
        behind = self.body(2, x=-8.0)
        config = ObstacleConfig(20.0, 0.3, True)
        assert detect_obstacle(Pose(0, 0, 0.8), config, self.WORLD, [behind], None) is None
        assert detect_obstacle(Pose(0, 0, 0.8, yaw=180.0), config, self.WORLD, [behind], None) is not None
        assert detect_obstacle(Pose(0, 0, 0.8, pitch=60.0, yaw=180.0), config, self.WORLD, [behind], None) is None

    @settings(max_examples=40, deadline=None)
    @given(side=st.floats(-4.0, 4.0), radius=st.floats(0.05, 1.5))
    def test_a_wide_sphere_catches_what_a_thin_one_misses(self, side: float, radius: float) -> None:
        ahead = self.body(2, x=12.0, y=side)
        hit = detect_obstacle(Pose(0, 0, 0.8), ObstacleConfig(50.0, radius, True), self.WORLD, [ahead], None)
        assert (hit is not None) == (abs(side) <= MODEL3.extent[1] + radius)
