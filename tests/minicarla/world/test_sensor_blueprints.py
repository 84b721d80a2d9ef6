"""The sensors' blueprints against CARLA's own reference page."""

import carla
import pytest
from server_process import SyncWorld

# Attributes by sensor, beside role_name and ros_name: CARLA 0.9.15's "Blueprint library" page, and for the sensors
# that are newer than the page the sensors' own definitions.
CAMERA = {
    "sensor_tick", "image_size_x", "image_size_y", "fov", "lens_circle_falloff", "lens_circle_multiplier", "lens_k",
    "lens_kcube", "lens_x_size", "lens_y_size",
}  # fmt: skip
POSTPROCESS = {
    "black_clip", "blade_count", "bloom_intensity", "blur_amount", "blur_radius", "calibration_constant",
    "chromatic_aberration_intensity", "chromatic_aberration_offset", "enable_postprocess_effects",
    "exposure_compensation", "exposure_max_bright", "exposure_min_bright", "exposure_mode", "exposure_speed_down",
    "exposure_speed_up", "focal_distance", "fstop", "gamma", "iso", "lens_flare_intensity", "min_fstop",
    "motion_blur_intensity", "motion_blur_max_distortion", "motion_blur_min_object_screen_size", "shoulder",
    "shutter_speed", "slope", "temp", "tint", "toe", "white_clip",
}  # fmt: skip
LIDAR = {
    "sensor_tick", "channels", "range", "points_per_second", "rotation_frequency", "upper_fov", "lower_fov",
    "horizontal_fov",
}  # fmt: skip
GNSS = {f"noise_{what}_{kind}" for what in ("lat", "lon", "alt") for kind in ("stddev", "bias")}
ACCELERATION = {f"noise_accel_stddev_{axis}" for axis in "xyz"}
RADIO = {
    "sensor_tick", "noise_seed", "transmit_power", "receiver_sensitivity", "frequency_ghz", "combined_antenna_gain",
    "scenario", "path_loss_model", "path_loss_exponent", "d_ref", "filter_distance", "use_etsi_fading",
    "custom_fading_stddev",
}  # fmt: skip
ATTRIBUTES = {
    "sensor.camera.rgb": CAMERA | POSTPROCESS,
    "sensor.camera.depth": CAMERA,
    "sensor.camera.semantic_segmentation": CAMERA,
    "sensor.camera.instance_segmentation": CAMERA,
    "sensor.camera.normals": CAMERA,
    "sensor.camera.optical_flow": CAMERA,
    "sensor.camera.cosmos_visualization": CAMERA,
    "sensor.camera.dvs": CAMERA | POSTPROCESS | {
        "positive_threshold", "negative_threshold", "sigma_positive_threshold", "sigma_negative_threshold",
        "refractory_period_ns", "use_log", "log_eps",
    },
    "sensor.lidar.ray_cast": LIDAR | {
        "atmosphere_attenuation_rate", "dropoff_general_rate", "dropoff_intensity_limit", "dropoff_zero_intensity",
        "noise_seed", "noise_stddev",
    },
    "sensor.lidar.ray_cast_semantic": LIDAR,
    "sensor.other.radar": {
        "sensor_tick", "horizontal_fov", "vertical_fov", "range", "points_per_second", "noise_seed"
    },
    "sensor.other.collision": set(),
    "sensor.other.lane_invasion": set(),
    "sensor.other.rss": set(),
    "sensor.other.obstacle": {"sensor_tick", "distance", "hit_radius", "only_dynamics", "debug_linetrace"},
    "sensor.other.gnss": {"sensor_tick", "noise_seed"} | GNSS,
    "sensor.other.imu": {"sensor_tick", "noise_seed"} | ACCELERATION | {
        f"noise_gyro_{kind}_{axis}" for kind in ("stddev", "bias") for axis in "xyz"
    },
    "sensor.other.v2x": RADIO | GNSS | ACCELERATION | {
        "gen_cam_min", "gen_cam_max", "fixed_rate", "noise_head_stddev", "noise_head_bias", "noise_yawrate_stddev",
        "noise_yawrate_bias", "noise_vel_stddev_x",
    },
    "sensor.other.v2x_custom": RADIO,
}  # fmt: skip


def test_every_sensor_lists_carlas_attributes(sync: SyncWorld):
    listed = {
        blueprint.id: {attribute.id for attribute in blueprint} - {"role_name", "ros_name"}
        for blueprint in sync.blueprints.filter("sensor.*")
    }
    assert listed == ATTRIBUTES


def test_every_attribute_of_a_sensor_can_be_set_to_its_recommended_values(sync: SyncWorld):
    for blueprint in sync.blueprints.filter("sensor.*"):
        for attribute in blueprint:
            assert attribute.is_modifiable
            assert attribute.recommended_values
            for value in attribute.recommended_values:
                blueprint.set_attribute(attribute.id, value)
            convert = {
                carla.ActorAttributeType.Int: attribute.as_int,
                carla.ActorAttributeType.Float: attribute.as_float,
                carla.ActorAttributeType.Bool: attribute.as_bool,
            }
            convert.get(attribute.type, attribute.as_str)()  # raises where the text is none of its type


def test_lidar_and_dvs_defaults_are_carlas(sync: SyncWorld):
    lidar = sync.blueprints.find("sensor.lidar.ray_cast")
    numbers = {
        attribute.id: attribute.as_int() if attribute.type == carla.ActorAttributeType.Int else attribute.as_float()
        for attribute in lidar
        if attribute.type != carla.ActorAttributeType.String
    }
    assert numbers == pytest.approx(
        {
            "sensor_tick": 0.0, "channels": 32, "range": 10.0, "points_per_second": 56000,
            "rotation_frequency": 10.0, "upper_fov": 10.0, "lower_fov": -30.0, "horizontal_fov": 360.0,
            "atmosphere_attenuation_rate": 0.004, "noise_seed": 0, "dropoff_general_rate": 0.45,
            "dropoff_intensity_limit": 0.8, "dropoff_zero_intensity": 0.4, "noise_stddev": 0.0,
        }
    )  # fmt: skip
    dvs = sync.blueprints.find("sensor.camera.dvs")
    assert dvs.get_attribute("positive_threshold").as_float() == pytest.approx(0.3)
    assert dvs.get_attribute("use_log").as_bool()
    assert sync.blueprints.find("sensor.other.v2x").get_attribute("scenario").recommended_values == [
        "highway",
        "rural",
        "urban",
    ]
