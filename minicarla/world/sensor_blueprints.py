"""The blueprints of CARLA 0.9.16's sensors, with every attribute that CARLA lists.

Source: ActorBlueprintFunctionLibrary.cpp and the sensors' `GetSensorDefinition` (names, types, defaults, order).
"""

from collections.abc import Iterable

from minicarla.world.blueprint import Attribute, AttributeType, Blueprint, common

_ROLES = ("front", "back", "left", "right", "front_left", "front_right", "back_left", "back_right")
# Those that CARLA builds without the recommended places on a vehicle.
_WITHOUT_ROLES = frozenset(
    {"sensor.other.gnss", "sensor.other.imu", "sensor.other.radar", "sensor.other.v2x", "sensor.other.v2x_custom"}
)
# name=default:type, a float where there is no type; `|` separates the values of a restricted attribute.
_TICK = "sensor_tick=0.0"
_CAMERA = (
    f"{_TICK} image_size_x=800:int image_size_y=600:int fov=90.0 lens_circle_falloff=5.0 lens_circle_multiplier=0.0 "
    "lens_k=-1.0 lens_kcube=0.0 lens_x_size=0.08 lens_y_size=0.08"
)
_POSTPROCESS = (
    "exposure_mode=histogram|manual:str exposure_compensation=0.0 shutter_speed=200.0 iso=100.0 fstop=1.4 "
    "enable_postprocess_effects=true:bool gamma=2.2 motion_blur_intensity=0.45 motion_blur_max_distortion=0.35 "
    "lens_flare_intensity=0.1 bloom_intensity=0.675 motion_blur_min_object_screen_size=0.1 exposure_min_bright=10.0 "
    "exposure_max_bright=12.0 exposure_speed_up=3.0 exposure_speed_down=1.0 calibration_constant=16.0 "
    "focal_distance=1000.0 min_fstop=1.2 blade_count=5:int blur_amount=1.0 blur_radius=0.0 slope=0.88 toe=0.55 "
    "shoulder=0.26 black_clip=0.0 white_clip=0.04 temp=6500.0 tint=0.0 chromatic_aberration_intensity=0.0 "
    "chromatic_aberration_offset=0.0"
)
_LIDAR = "channels=32:int range=10.0 points_per_second=56000:int rotation_frequency=10.0 upper_fov=10.0 lower_fov=-30.0"
_GNSS_NOISE = (
    "noise_lat_stddev=0.0 noise_lat_bias=0.0 noise_lon_stddev=0.0 noise_lon_bias=0.0 noise_alt_stddev=0.0 "
    "noise_alt_bias=0.0"
)
_ACCELERATION_NOISE = "noise_accel_stddev_x=0.0 noise_accel_stddev_y=0.0 noise_accel_stddev_z=0.0"
_RADIO = (
    "scenario=highway|rural|urban:str path_loss_model=winner|geometric:str path_loss_exponent=2.7 d_ref=1.0 "
    "filter_distance=500.0 use_etsi_fading=true:bool custom_fading_stddev=0.0"
)
_ATTRIBUTES = {
    "sensor.camera.rgb": f"{_CAMERA} {_POSTPROCESS}",
    "sensor.camera.depth": _CAMERA,
    "sensor.camera.semantic_segmentation": _CAMERA,
    "sensor.camera.instance_segmentation": _CAMERA,
    "sensor.camera.normals": _CAMERA,
    "sensor.camera.optical_flow": _CAMERA,
    "sensor.camera.cosmos_visualization": _CAMERA,
    "sensor.camera.dvs": (
        f"{_CAMERA} {_POSTPROCESS} positive_threshold=0.3 negative_threshold=0.3 sigma_positive_threshold=0.0 "
        "sigma_negative_threshold=0.0 refractory_period_ns=0:int use_log=True:bool log_eps=0.001"
    ),
    "sensor.lidar.ray_cast": (
        f"{_TICK} {_LIDAR} atmosphere_attenuation_rate=0.004 noise_seed=0:int dropoff_general_rate=0.45 "
        "dropoff_intensity_limit=0.8 dropoff_zero_intensity=0.4 noise_stddev=0.0 horizontal_fov=360.0"
    ),
    "sensor.lidar.ray_cast_semantic": f"{_TICK} {_LIDAR} horizontal_fov=360.0",
    "sensor.other.radar": (
        f"{_TICK} horizontal_fov=30 vertical_fov=30 range=100 points_per_second=1500:int noise_seed=0:int"
    ),
    "sensor.other.collision": "",
    "sensor.other.lane_invasion": "",
    "sensor.other.obstacle": f"{_TICK} distance=5.0 hit_radius=0.5 only_dynamics=false:bool debug_linetrace=false:bool",
    "sensor.other.gnss": f"{_TICK} noise_seed=0:int {_GNSS_NOISE}",
    "sensor.other.imu": (
        f"{_TICK} noise_seed=0:int {_ACCELERATION_NOISE} noise_gyro_stddev_x=0.0 noise_gyro_stddev_y=0.0 "
        "noise_gyro_stddev_z=0.0 noise_gyro_bias_x=0.0 noise_gyro_bias_y=0.0 noise_gyro_bias_z=0.0"
    ),
    "sensor.other.rss": "",
    "sensor.other.v2x": (
        f"{_TICK} noise_seed=0:int transmit_power=21.5 receiver_sensitivity=-99.0 frequency_ghz=5.9 "
        f"combined_antenna_gain=10.0 {_RADIO} gen_cam_min=0.1 gen_cam_max=1.0 fixed_rate=false:bool {_GNSS_NOISE} "
        f"noise_head_stddev=0.0 noise_head_bias=0.0 {_ACCELERATION_NOISE} noise_yawrate_stddev=0.0 "
        "noise_yawrate_bias=0.0 noise_vel_stddev_x=0.0"
    ),
    "sensor.other.v2x_custom": (
        f"{_TICK} noise_seed=0:int transmit_power=21.5 receiver_sensitivity=-99.0 frequency_ghz=5.9 "
        f"combined_antenna_gain=10.0 {_RADIO}"
    ),
}
_NO_RADIO = "minicarla has no radio: exchange messages between vehicles within the script"
_REFUSED = {
    "sensor.other.rss": (
        "the carla wheel from PyPI is built without the RSS library: use sensor.other.obstacle or sensor.other.radar"
    ),
    "sensor.other.v2x": _NO_RADIO,
    "sensor.other.v2x_custom": _NO_RADIO,
}
_TYPES = {
    "int": AttributeType.INT,
    "bool": AttributeType.BOOL,
    "str": AttributeType.STRING,
    "": AttributeType.FLOAT,
}


def sensors() -> list[Blueprint]:
    """All of CARLA's sensors; those that minicarla does not have say so in `refused`."""
    return [_sensor(blueprint, compact) for blueprint, compact in _ATTRIBUTES.items()]


def _sensor(blueprint: str, compact: str) -> Blueprint:
    roles = () if blueprint in _WITHOUT_ROLES else (_ROLES,)
    return Blueprint(blueprint, (*common(blueprint, *roles), *_parsed(compact)), refused=_REFUSED.get(blueprint))


def _parsed(compact: str) -> Iterable[Attribute]:
    for entry in compact.split():
        name, _, rest = entry.partition("=")
        text, _, kind = rest.partition(":")
        values = tuple(text.split("|"))
        yield Attribute(name, _TYPES[kind], values, restricted=len(values) > 1)
