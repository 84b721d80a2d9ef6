"""The 14 numbers of `carla.WeatherParameters`, and the light that the picture makes of them."""

import math
from dataclasses import dataclass

import numpy as np

# An upright face gets this share of the sky's light, a face that looks up gets all of it.
SIDE_LIGHT = 0.78


@dataclass(frozen=True)
class Weather:
    """`carla.WeatherParameters`: percentages 0..100, angles in degrees, fog distance in m. Default: ClearNoon.

    Wind, fog falloff and Mie scattering change nothing here: nothing in the town sways and fog has one density.
    """

    cloudiness: float = 5.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 10.0
    sun_azimuth_angle: float = -1.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 2.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


@dataclass(frozen=True)
class Light:
    """What a picture needs of the weather. Colours are [3] float32 RGB, 1 = full white.

    to_sun: [3] unit vector. direct, ambient: colour of the sun's light and of the sky's.
    zenith, horizon: sky colours; fog takes the horizon's. night: 0 by day, 1 in full darkness.
    fog_per_m: extinction coefficient, 1/m, from fog_start_m on. sheen: mirror strength of wet asphalt, 0..1.
    puddles: share of the asphalt under water, 0..1. darkening: factor on asphalt for being wet.
    clouds: cover of the sky, 0..1. glow: brightness of the sky around the sun, 0..2.
    """

    to_sun: np.ndarray
    direct: np.ndarray
    ambient: np.ndarray
    zenith: np.ndarray
    horizon: np.ndarray
    night: float
    fog_per_m: float
    fog_start_m: float
    sheen: float
    puddles: float
    darkening: float
    clouds: float
    glow: float


def _share(percent: float) -> float:
    return min(max(percent / 100.0, 0.0), 1.0)


def _smoothstep(low: float, high: float, value: float) -> float:
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3.0 - 2.0 * t)


def _mix(first: np.ndarray, second: np.ndarray, share: float) -> np.ndarray:
    return (first + (second - first) * share).astype(np.float32)


def _rgb(red: float, green: float, blue: float) -> np.ndarray:
    return np.array([red, green, blue], np.float32)


def light_from_weather(weather: Weather) -> Light:
    """Light of a weather: an empirical model, tuned by eye against CARLA's presets (ClearNoon, WetSunset, ...)."""
    altitude_rad = math.radians(weather.sun_altitude_angle)
    azimuth_rad = math.radians(weather.sun_azimuth_angle)
    to_sun = _rgb(
        math.cos(altitude_rad) * math.cos(azimuth_rad),
        math.cos(altitude_rad) * math.sin(azimuth_rad),
        math.sin(altitude_rad),
    )
    day = _smoothstep(-8.0, 12.0, weather.sun_altitude_angle)
    low_sun = day * (1.0 - _smoothstep(6.0, 32.0, weather.sun_altitude_angle))
    cloud, rain, dust = _share(weather.cloudiness), _share(weather.precipitation), _share(weather.dust_storm)
    overcast = max(cloud, 0.8 * rain, dust)
    dimming = 1.0 - 0.25 * overcast - 0.15 * rain

    direct = _mix(_rgb(1.0, 0.98, 0.92), _rgb(1.0, 0.62, 0.34), low_sun) * np.float32(
        0.62 * day * (1.0 - 0.92 * overcast)
    )
    ambient = _mix(_rgb(0.54, 0.57, 0.62), _rgb(0.80, 0.81, 0.83), overcast)
    ambient = _mix(ambient, _rgb(0.50, 0.43, 0.42), 0.6 * low_sun) * np.float32(dimming)
    ambient = _mix(_rgb(0.29, 0.29, 0.33), ambient, day)

    blue = min(weather.rayleigh_scattering_scale / 0.0331, 2.0)
    zenith = _mix(_rgb(0.50, 0.64, 0.80), _rgb(0.24, 0.47, 0.80), 0.5 * blue)
    zenith = _mix(zenith, _rgb(0.46, 0.42, 0.52), 0.7 * low_sun)
    horizon = _mix(_rgb(0.76, 0.83, 0.90), _rgb(0.96, 0.66, 0.40), low_sun)
    grey = _rgb(0.63, 0.65, 0.68) * np.float32(dimming)
    zenith, horizon = _mix(zenith, 0.92 * grey, overcast), _mix(horizon, 1.08 * grey, overcast)
    zenith, horizon = _mix(_rgb(0.03, 0.04, 0.09), zenith, day), _mix(_rgb(0.10, 0.11, 0.16), horizon, day)
    sand = _rgb(0.72, 0.55, 0.35) * np.float32(0.25 + 0.75 * day)
    zenith, horizon = _mix(zenith, sand, dust), _mix(horizon, sand, dust)

    wet = max(_share(weather.wetness), 0.7 * rain)
    return Light(
        to_sun=to_sun,
        direct=direct,
        ambient=ambient,
        zenith=zenith,
        horizon=horizon,
        night=1.0 - day,
        fog_per_m=4e-4 + 0.05 * _share(weather.fog_density) ** 1.5 + 0.004 * rain + 0.03 * dust,
        fog_start_m=max(weather.fog_distance, 0.0),
        sheen=0.75 * wet,
        puddles=0.5 * _share(weather.precipitation_deposits),
        darkening=1.0 - 0.35 * wet,
        clouds=cloud,
        glow=min(day * max(0.0, 1.0 - 1.2 * overcast) * weather.scattering_intensity, 2.0),
    )
