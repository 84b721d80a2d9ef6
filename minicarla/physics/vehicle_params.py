"""Physical parameters of the vehicles that minicarla knows, one entry per CARLA blueprint.

Sources, column by column:
- box (half sizes and centre): `Actor.bounding_box` as CARLA 0.9.13+ reports it for the blueprint, rounded to 1 mm
  (the sizes agree with those of 0.9.16 that Scenic publishes in tools/carla/snapshots).
- mass, wheelbase, track, drag area: after public data sheets of the real cars, rounded; trucks, bus, ambulance and
  two-wheelers are estimates. The bus is CARLA's, which is half as long again as the real one.
- max_steer 70 deg: CARLA's `WheelPhysicsControl` default. Steering curve (all of it at rest, 90 % at 20, 80 % at 60,
  70 % at 120 km/h): the default of Unreal's `UWheeledVehicleMovementComponent4W`. Trucks and two-wheelers: estimates.
- Tesla Model 3: 4.7 m/s^2 at launch and 208 kW beyond (0-30 km/h in 2 s; 0-100 km/h in 6 s as the rear-drive car's
  data sheet has it), full brake 7.5 m/s^2, tyres 8.5 m/s^2 (0.87 g on a skid pad). The others' drive is set to their
  published power and 0-100 km/h time; hand brakes, engine drag and all of the two-wheelers are estimates.
"""

from dataclasses import dataclass, field

AIR_DENSITY = 1.225  # kg/m^3, ISA at sea level
STEERING_CURVE = ((0.0, 1.0), (20.0, 0.9), (60.0, 0.8), (120.0, 0.7))


@dataclass(frozen=True, slots=True)
class VehicleParams:
    """What `physics.step_vehicle` needs to know of a vehicle; `dataclasses.replace` gives a changed copy.

    Attributes:
      extent: half sizes of the bounding box along x (length), y (width), z (height), m.
      box_centre: (x, z) of the box's centre in the vehicle's frame, m; the origin is on the ground, mid-body.
      mass: kg.  wheelbase, track: m.
      max_steer: largest angle of the inner front wheel, deg.
      launch_accel: what the drive gives at full throttle at low speed, m/s^2.  power: W, limits the drive above.
      brake_decel: full brake and closed throttle together, m/s^2.  handbrake_decel: m/s^2.
      grip: what the tyres can give in any direction, m/s^2; 0 on perfect ice.
      drag_area: C_d * A, m^2.
      engine_drag: deceleration per speed when the throttle is closed, 1/s.
      steering_curve: (km/h, part of max_steer) points, rising speed.
      slip_loss: what softer tyres than usual take of the power, kg m/s; see `tyre_slip`.
    """

    blueprint_id: str
    base_type: str
    wheels: int
    extent: tuple[float, float, float]
    box_centre: tuple[float, float]
    mass: float
    wheelbase: float
    track: float
    max_steer: float
    launch_accel: float
    power: float
    brake_decel: float
    handbrake_decel: float
    grip: float
    drag_area: float
    engine_drag: float
    wheel_radius: float
    steering_curve: tuple[tuple[float, float], ...] = STEERING_CURVE
    slip_loss: float = 0.0
    aero: float = field(init=False)  # 1/m: deceleration per speed squared
    gyration_sq: float = field(init=False)  # m^2: yaw inertia per mass

    def __post_init__(self) -> None:
        if min(self.mass, self.wheelbase) <= 0.0 or self.grip < 0.0:
            raise ValueError(f"{self.blueprint_id}: mass and wheelbase must be positive, grip not negative.")
        if not self.steering_curve:
            raise ValueError(f"{self.blueprint_id}: the steering curve needs at least one (km/h, factor) point.")
        ex, ey, _ = self.extent
        object.__setattr__(self, "aero", 0.5 * AIR_DENSITY * self.drag_area / self.mass)
        object.__setattr__(self, "gyration_sq", (ex * ex + ey * ey) / 3.0)  # a uniform box of that size


_CLASS = {
    # class: base type, wheels, max_steer, brake, handbrake, grip, engine_drag, wheel radius
    "car": ("car", 4, 70.0, 7.5, 5.0, 8.5, 0.12, 0.35),
    "v8": ("car", 4, 70.0, 7.5, 5.0, 8.5, 0.06, 0.35),  # its automatic gearbox lets it roll
    "micro": ("car", 4, 70.0, 7.0, 4.5, 7.5, 0.12, 0.27),
    "van": ("van", 4, 70.0, 7.0, 4.5, 7.5, 0.12, 0.36),
    "pickup": ("truck", 4, 70.0, 7.0, 4.5, 8.0, 0.12, 0.44),
    "truck": ("truck", 4, 60.0, 6.0, 4.0, 6.5, 0.15, 0.50),
    "tractor": ("truck", 6, 60.0, 6.0, 4.0, 6.5, 0.15, 0.52),
    "bus": ("bus", 4, 60.0, 6.0, 4.0, 6.5, 0.15, 0.48),
    "motorcycle": ("motorcycle", 2, 60.0, 7.0, 3.5, 8.0, 0.15, 0.32),
    "scooter": ("motorcycle", 2, 60.0, 6.0, 3.0, 7.0, 0.15, 0.22),
    "bicycle": ("bicycle", 2, 60.0, 5.0, 3.0, 6.0, 0.05, 0.34),
}

_TABLE = (
    # id, class, extent, box centre (x, z), mass, wheelbase, track, launch m/s^2, kW, CdA
    ("vehicle.tesla.model3", "car", (2.396, 1.082, 0.744), (0.029, 0.736), 1845, 2.875, 1.58, 4.7, 208, 0.51),
    ("vehicle.audi.a2", "car", (1.853, 0.894, 0.775), (0.0, 0.782), 1090, 2.405, 1.46, 3.0, 55, 0.62),
    ("vehicle.audi.etron", "car", (2.428, 1.016, 0.825), (-0.004, 0.821), 2490, 2.928, 1.65, 4.5, 265, 0.74),
    ("vehicle.audi.tt", "car", (2.091, 0.997, 0.693), (0.0, 0.693), 1335, 2.468, 1.56, 4.4, 147, 0.63),
    ("vehicle.bmw.grandtourer", "car", (2.306, 1.121, 0.834), (0.0, 0.765), 1450, 2.780, 1.56, 3.4, 100, 0.70),
    ("vehicle.carlamotors.carlacola", "truck", (2.602, 1.313, 1.234), (0.0, 1.234), 5500, 2.900, 1.90, 1.8, 110, 4.2),
    ("vehicle.carlamotors.european_hgv", "tractor", (3.968, 1.446, 1.731), (0.013, 1.731), 8500, 3.9, 2.1, 1.5, 310, 5),
    ("vehicle.carlamotors.firetruck", "truck", (4.234, 1.446, 1.914), (-0.253, 1.913), 12000, 4.6, 2.05, 1.6, 220, 5.5),
    ("vehicle.chevrolet.impala", "car", (2.679, 1.017, 0.705), (0.0, 0.701), 1720, 2.837, 1.59, 3.9, 224, 0.70),
    ("vehicle.citroen.c3", "car", (1.994, 0.925, 0.809), (0.0, 0.762), 1090, 2.540, 1.48, 3.0, 61, 0.66),
    ("vehicle.dodge.charger_2020", "v8", (2.504, 0.941, 0.767), (-0.005, 0.766), 1850, 3.052, 1.61, 4.6, 276, 0.78),
    ("vehicle.dodge.charger_police", "v8", (2.487, 1.019, 0.771), (0.024, 0.793), 1924, 3.05, 1.6, 4.4, 276, 0.8),
    ("vehicle.dodge.charger_police_2020", "v8", (2.619, 0.965, 0.819), (0.109, 0.817), 1924, 3.05, 1.6, 4.4, 276, 0.8),
    ("vehicle.ford.ambulance", "van", (3.183, 1.176, 1.216), (-0.289, 1.216), 4500, 3.500, 1.75, 2.2, 150, 3.0),
    ("vehicle.ford.crown", "v8", (2.683, 0.900, 0.787), (0.185, 0.768), 1870, 2.913, 1.60, 3.2, 178, 0.80),
    ("vehicle.ford.mustang", "car", (2.359, 0.947, 0.650), (0.032, 0.650), 1300, 2.743, 1.42, 4.2, 168, 0.85),
    ("vehicle.jeep.wrangler_rubicon", "car", (1.933, 0.953, 0.939), (0.0, 0.932), 1850, 2.424, 1.57, 3.2, 148, 1.20),
    ("vehicle.lincoln.mkz_2017", "car", (2.451, 1.064, 0.755), (0.004, 0.719), 1690, 2.850, 1.58, 3.9, 179, 0.66),
    ("vehicle.lincoln.mkz_2020", "car", (2.446, 0.918, 0.745), (-0.006, 0.749), 1728, 2.850, 1.58, 3.9, 183, 0.66),
    ("vehicle.mercedes.coupe", "car", (2.513, 1.076, 0.825), (0.0, 0.667), 1635, 2.760, 1.55, 4.2, 215, 0.65),
    ("vehicle.mercedes.coupe_2020", "car", (2.337, 0.906, 0.721), (-0.003, 0.720), 1600, 2.840, 1.56, 4.0, 150, 0.58),
    ("vehicle.mercedes.sprinter", "van", (2.958, 0.994, 1.280), (-0.011, 1.288), 2300, 3.665, 1.71, 2.3, 120, 1.9),
    ("vehicle.micro.microlino", "micro", (1.104, 0.740, 0.688), (0.0, 0.677), 530, 1.566, 1.24, 2.8, 12.5, 0.60),
    ("vehicle.mini.cooper_s", "car", (1.903, 0.985, 0.738), (0.0, 0.693), 1160, 2.467, 1.45, 4.1, 120, 0.70),
    ("vehicle.mini.cooper_s_2021", "car", (2.276, 1.049, 0.884), (-0.031, 0.891), 1430, 2.670, 1.56, 4.1, 141, 0.74),
    ("vehicle.mitsubishi.fusorosa", "bus", (5.136, 1.972, 2.126), (-0.445, 2.127), 6000, 5.200, 2.20, 1.5, 129, 5.5),
    ("vehicle.nissan.micra", "car", (1.817, 0.923, 0.751), (0.0, 0.781), 1010, 2.430, 1.46, 2.9, 59, 0.66),
    ("vehicle.nissan.patrol", "car", (2.302, 0.966, 0.927), (-0.057, 0.935), 2280, 2.700, 1.60, 2.8, 118, 1.10),
    ("vehicle.nissan.patrol_2021", "car", (2.783, 1.075, 1.023), (0.028, 1.017), 2745, 3.075, 1.70, 3.8, 298, 1.20),
    ("vehicle.seat.leon", "car", (2.096, 0.908, 0.737), (0.0, 0.740), 1320, 2.578, 1.52, 3.6, 110, 0.68),
    ("vehicle.tesla.cybertruck", "pickup", (3.137, 1.195, 1.049), (0.0, 1.049), 3010, 3.807, 1.78, 5.0, 447, 1.20),
    ("vehicle.toyota.prius", "car", (2.257, 1.003, 0.762), (0.002, 0.724), 1400, 2.700, 1.52, 3.1, 100, 0.56),
    ("vehicle.volkswagen.t2", "van", (2.240, 1.035, 1.019), (0.001, 1.014), 1300, 2.400, 1.40, 1.9, 51, 1.30),
    ("vehicle.volkswagen.t2_2021", "van", (2.221, 0.887, 0.994), (0.117, 0.991), 1300, 2.400, 1.40, 1.9, 51, 1.25),
    ("vehicle.harley-davidson.low_rider", "motorcycle", (1.175, 0.383, 0.825), (0, 0.825), 375, 1.63, 0, 4.5, 64, 0.6),
    ("vehicle.kawasaki.ninja", "motorcycle", (1.022, 0.398, 0.762), (0.0, 0.769), 285, 1.410, 0.0, 5.5, 100, 0.50),
    ("vehicle.vespa.zx125", "scooter", (0.909, 0.433, 0.795), (0.010, 0.795), 205, 1.340, 0.0, 2.8, 7.9, 0.65),
    ("vehicle.yamaha.yzf", "motorcycle", (1.095, 0.433, 0.765), (0.0, 0.775), 275, 1.400, 0.0, 5.5, 90, 0.50),
    ("vehicle.bh.crossbike", "bicycle", (0.755, 0.433, 0.806), (0.0, 0.808), 90, 1.080, 0.0, 1.2, 0.35, 0.60),
    ("vehicle.diamondback.century", "bicycle", (0.828, 0.291, 0.810), (0.0, 0.816), 88, 1.000, 0.0, 1.3, 0.40, 0.50),
    ("vehicle.gazelle.omafiets", "bicycle", (0.922, 0.330, 0.888), (-0.010, 0.895), 95, 1.120, 0.0, 1.0, 0.30, 0.65),
)  # fmt: skip


def _entry(row: tuple) -> VehicleParams:
    blueprint_id, kind, extent, box_centre, mass, wheelbase, track, launch, kilowatt, drag_area = row
    base_type, wheels, max_steer, brake, handbrake, grip, engine_drag, radius = _CLASS[kind]
    return VehicleParams(
        blueprint_id=blueprint_id,
        base_type=base_type,
        wheels=wheels,
        extent=extent,
        box_centre=box_centre,
        mass=float(mass),
        wheelbase=wheelbase,
        track=track,
        max_steer=max_steer,
        launch_accel=launch,
        power=1000.0 * kilowatt,
        brake_decel=brake,
        handbrake_decel=handbrake,
        grip=grip,
        drag_area=drag_area,
        engine_drag=engine_drag,
        wheel_radius=radius,
    )


VEHICLES: dict[str, VehicleParams] = {row[0]: _entry(row) for row in _TABLE}


def vehicle_params(blueprint_id: str) -> VehicleParams:
    """Parameters of a blueprint; ValueError names the known ones."""
    try:
        return VEHICLES[blueprint_id]
    except KeyError:
        raise ValueError(f"Unknown vehicle '{blueprint_id}'; known are {', '.join(VEHICLES)}.") from None
