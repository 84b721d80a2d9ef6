"""`Client.show_recorder_file_info`: a recording as text, in the words of CARLA's CarlaRecorderQuery.cpp.

Other programs parse it (scenario_runner's metrics), so every blank counts. One line differs: that no door has moved is
not said in every frame, for such a parser looks for the positions there.
"""

import time
from collections.abc import Callable, Collection, Generator, Iterator

from minicarla.protocol.rpc import RpcError
from minicarla.recorder import packets
from minicarla.recorder.packets import Info, PacketId
from minicarla.recorder.reader import Frame, Recording, rest

_LIGHTS = (
    *("Position", "LowBeam", "HighBeam", "Brake", "RightBlinker", "LeftBlinker", "Reverse", "Interior", "Fog"),
    *("Special1", "Special2"),
)
# As carla.VehicleLightState has them; the text names the interior before the fog lights.
_LIGHT_BITS = (0x1, 0x2, 0x4, 0x8, 0x10, 0x20, 0x40, 0x100, 0x80, 0x200, 0x400)
_DOORS = ("Front Left", "Front Right", "Rear Left", "Rear Right", "Hood", "Trunk", "All")

Lines = Iterator[str]


def heading(info: Info) -> str:
    """What every text begins with."""
    try:
        date = time.strftime("%m/%d/%y %H:%M:%S", time.localtime(info.date))
    except (OverflowError, OSError, ValueError):
        date = str(info.date)
    return f"Version: {info.version}\nMap: {info.town}\nDate: {date}\n\n"


def ending(recording: Recording, number: int, duration: str) -> str:
    """What every text ends with."""
    return f"\nFrames: {number}\nDuration: {duration} seconds\n{rest(recording, number)}"


def file_info(recording: Recording, show_all: bool, longest: int) -> Generator[None, None, str]:
    """The text. It takes long for a long recording, so it is made step by step.

    Args:
      show_all: everything of every frame, else only what happens beside driving.
      longest: characters.

    Raises:
      RpcError: it would be longer.
    """
    parts, size, number, elapsed = [heading(recording.info)], 0, 0, 0.0
    wanted: Collection[int] = _WRITERS if show_all else _EVENTS
    for frame in recording.frames(wanted):
        try:
            text = _frame_text(frame, show_all)
        except packets.DamagedError as error:
            recording.flaw = str(error)
            break
        number, elapsed = frame.number, frame.elapsed
        parts.append(text)
        size += len(text)
        if size > longest:
            raise RpcError(f"the text would be longer than {longest} characters: ask without show_all")
        yield
    return "".join([*parts, ending(recording, number, f"{elapsed:g}")])


def _frame_text(frame: Frame, show_all: bool) -> str:
    lines = [line for packet_id, body in frame.packets for line in _WRITERS[packet_id](body)]
    if show_all or lines:
        lines.insert(0, f"Frame {frame.number} at {frame.elapsed:g} seconds\n")
    return "".join(lines)


def _vector(x: float, y: float, z: float) -> str:
    return f"({x:g}, {y:g}, {z:g})"


def _added(body: bytes) -> Lines:
    for actor in packets.read_added(body):
        place = _vector(*actor.place[:3])
        yield f" Create {actor.actor_id}: {actor.type_id} ({actor.kind}) at {place}\n"
        for _, name, value in actor.attributes:
            yield f"  {name} = {value}\n"


def _destroyed(body: bytes) -> Lines:
    for (actor_id,) in packets.records(packets.ID, body):
        yield f" Destroy {actor_id}\n"


def _parents(body: bytes) -> Lines:
    for child, parent in packets.records(packets.EVENT_PARENT, body):
        yield f" Parenting {child} with {parent} (parent)\n"


def _collisions(body: bytes) -> Lines:
    for number, first, second, first_hero, second_hero in packets.records(packets.COLLISION, body):
        hero, other_hero = (" (hero) " if flag else "" for flag in (first_hero, second_hero))
        yield f" Collision id {number} between {first}{hero} with {second}{other_hero}\n"


def _listed(title: str, rows: list[str]) -> Lines:
    yield f" {title}: {len(rows)}\n"
    yield from rows


def _positions(body: bytes) -> Lines:
    rows = [
        f"  Id: {actor_id} Location: ({x:g}, {y:g}, {z:g}) Rotation: ({roll:g}, {pitch:g}, {yaw:g})\n"
        for actor_id, x, y, z, roll, pitch, yaw in packets.records(packets.POSITION, body)
    ]
    return _listed("Positions", rows)


def _states(body: bytes) -> Lines:
    rows = [
        f"  Id: {actor_id} state: {state} frozen: {frozen:d} elapsedTime: {elapsed:g}\n"
        for actor_id, frozen, elapsed, state in packets.records(packets.STATE, body)
    ]
    return _listed("State traffic lights", rows)


def _vehicles(body: bytes) -> Lines:
    rows = [
        f"  Id: {actor_id} Steering: {steer:g} Throttle: {throttle:g} Brake: {brake:g} "
        f"Handbrake: {hand:d} Gear: {gear}\n"
        for actor_id, steer, throttle, brake, hand, gear in packets.records(packets.ANIM_VEHICLE, body)
    ]
    return _listed("Vehicle animations", rows)


def _walkers(body: bytes) -> Lines:
    rows = [f"  Id: {actor_id} speed: {speed:g}\n" for actor_id, speed in packets.records(packets.ANIM_WALKER, body)]
    return _listed("Walker animations", rows)


def _doors(body: bytes) -> Lines:
    rows = []
    for actor_id, door, _ in packets.records(packets.VEHICLE_DOOR, body):
        name = f" {_DOORS[door]} \n" if door < len(_DOORS) else ""
        rows.append(f"  Id: {actor_id}\n  Doors opened: {name}")
    return _listed("Vehicle door animations", rows) if rows else iter(())


def _vehicle_lights(body: bytes) -> Lines:
    rows = []
    for actor_id, flags in packets.records(packets.VEHICLE_LIGHT, body):
        names = " ".join(name for name, bit in zip(_LIGHTS, _LIGHT_BITS, strict=True) if flags & bit)
        rows.append(f"  Id: {actor_id} {names or 'None'}\n")
    return _listed("Vehicle light animations", rows)


def _scene_lights(body: bytes) -> Lines:
    rows = [
        f"  Id: {light_id} enabled: {bool(on)} intensity: {intensity:g} RGB_color: {_vector(red, green, blue)}\n"
        for light_id, intensity, red, green, blue, _, on, _ in packets.records(packets.SCENE_LIGHT, body)
    ]
    return _listed("Scene light changes", rows)


def _kinematics(body: bytes) -> Lines:
    rows = [
        f"  Id: {row[0]} linear_velocity: {_vector(*row[1:4])} angular_velocity: {_vector(*row[4:7])}\n"
        for row in packets.records(packets.KINEMATICS, body)
    ]
    return _listed("Dynamic actors", rows)


def _boxes(title: str) -> Callable[[bytes], Lines]:
    def lines(body: bytes) -> Lines:
        rows = [
            f"  Id: {row[0]} origin: {_vector(*row[1:4])} extension: {_vector(*row[4:7])}\n"
            for row in packets.records(packets.BOX, body)
        ]
        return _listed(title, rows)

    return lines


def _platform_time(body: bytes) -> Lines:
    (seconds,) = packets.Cursor(body).take(packets.SECONDS)
    yield f" Current platform time: {seconds:g}\n"


def _physics_controls(body: bytes) -> Lines:
    controls = list(packets.read_physics_controls(body))
    return _listed("Physics Control events", [_physics_control(control) for control in controls])


def _physics_control(control: packets.PhysicsControl) -> str:
    rpm, moi, full, engaged, disengaged, autobox, clutch, final, mass, drag, *centre = control.engine
    lines = [
        f"  Id: {control.actor_id}",
        f"   max_rpm = {rpm:g}",
        f"   MOI = {moi:g}",
        f"   damping_rate_full_throttle = {full:g}",
        f"   damping_rate_zero_throttle_clutch_engaged = {engaged:g}",
        f"   damping_rate_zero_throttle_clutch_disengaged = {disengaged:g}",
        f"   use_gear_auto_box = {'true' if autobox else 'false'}",
        "   gear_switch_time = 0",  # the file does not have it, and CARLA prints its default
        f"   clutch_strength = {clutch:g}",
        f"   final_ratio = {final:g}",
        f"   mass = {mass:g}",
        f"   drag_coefficient = {drag:g}",
        f"   center_of_mass = {_vector(*centre)}",
        f"   torque_curve ={_points(control.torque_curve)}",
        f"   steering_curve ={_points(control.steering_curve)}",
        "   forward_gears:",
    ]
    for number, (ratio, down, up) in enumerate(control.gears):
        lines.append(f"    gear {number}: ratio {ratio:g} down_ratio {down:g} up_ratio {up:g}")
    lines.append("   wheels:")
    for number, wheel in enumerate(control.wheels):
        friction, damping, steer, radius, brake, hand_brake = wheel[:6]
        lines.append(
            f"    wheel {number}: tire_friction {friction:g} damping_rate {damping:g} max_steer_angle {steer:g} "
            f"radius {radius:g} max_brake_torque {brake:g} max_handbrake_torque {hand_brake:g} "
            f"position {_vector(*wheel[9:12])}"
        )
    return "\n".join(lines) + "\n"


def _points(points: list[tuple[float, float]]) -> str:
    return "".join(f" ({x:g}, {y:g})" for x, y in points)


def _light_times(body: bytes) -> Lines:
    rows = [
        f"  Id: {actor_id} green_time: {green:g} yellow_time: {yellow:g} red_time: {red:g}\n"
        for actor_id, green, yellow, red in packets.records(packets.TRAFFIC_LIGHT_TIME, body)
    ]
    return _listed("Traffic Light time events", rows)


def _bones(body: bytes) -> Lines:
    rows = []
    for actor_id, bones in packets.read_bones(body):
        rows.append(f"  Id: {actor_id}\n")
        rows += [f'     Bone: "{name}" relative: Loc{_vector(*p[:3])} Rot{_vector(*p[3:])}\n' for name, p in bones]
    yield from (f" Walkers Bones: {packets.Cursor(body).take(packets.COUNT)[0]}\n", *rows, "\n")


_WRITERS: dict[int, Callable[[bytes], Lines]] = {
    PacketId.EVENT_ADD: _added,
    PacketId.EVENT_DEL: _destroyed,
    PacketId.EVENT_PARENT: _parents,
    PacketId.COLLISION: _collisions,
    PacketId.POSITION: _positions,
    PacketId.STATE: _states,
    PacketId.ANIM_VEHICLE: _vehicles,
    PacketId.ANIM_WALKER: _walkers,
    PacketId.VEHICLE_LIGHT: _vehicle_lights,
    PacketId.SCENE_LIGHT: _scene_lights,
    PacketId.KINEMATICS: _kinematics,
    PacketId.BOUNDING_BOX: _boxes("Actor bounding boxes"),
    PacketId.PLATFORM_TIME: _platform_time,
    PacketId.PHYSICS_CONTROL: _physics_controls,
    PacketId.TRAFFIC_LIGHT_TIME: _light_times,
    PacketId.TRIGGER_VOLUME: _boxes("Actor trigger volumes"),
    PacketId.WALKER_BONES: _bones,
    PacketId.VEHICLE_DOOR: _doors,
}
_EVENTS = (PacketId.EVENT_ADD, PacketId.EVENT_DEL, PacketId.EVENT_PARENT, PacketId.COLLISION)
