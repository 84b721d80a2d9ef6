"""The skeleton of a walker: CARLA's bones, a gait, and a pose that a client sets.

Names and their order are those that a CARLA client gets for `walker.pedestrian.0022`; the places are rounded from the
same walker's. Simplified: at rest every bone is turned as the walker is, where CARLA's are turned along the limbs.
"""

import math

from minicarla.geometry.poses import attached_pose, wrap_degrees
from minicarla.geometry.types import Pose

Offset = tuple[float, float, float]
Bones = dict[str, Pose]

_MODELLED_HEIGHT = 1.86  # m, of the walker whose bones these are
_STRIDE = 0.78  # m of two steps for each m of height
_SWING_DEG_PER_M_S, _MOST_SWING_DEG = 22.0, 40.0  # of the thighs
_ARMS_SWING, _KNEE_BEND = 0.8, 1.2  # of the thighs' angle
_FINGERS = (("Index", 0.035), ("Middle", 0.012), ("Ring", -0.012), ("Pinky", -0.035))  # m towards the front


def _arm(side: str, out: float) -> dict[str, tuple[str, Offset]]:
    hand = f"crl_hand__{side}"
    bones: dict[str, tuple[str, Offset]] = {
        f"crl_shoulder__{side}": ("crl_spine01__C", (0.0, 0.04 * out, 0.142)),
        f"crl_arm__{side}": (f"crl_shoulder__{side}", (0.0, 0.115 * out, 0.005)),
        f"crl_foreArm__{side}": (f"crl_arm__{side}", (0.0, 0.03 * out, -0.25)),
        hand: (f"crl_foreArm__{side}", (0.03, 0.02 * out, -0.24)),
    }
    joints: tuple[Offset, ...] = ((0.02, 0.0, -0.03), (0.01, 0.0, -0.028), (0.005, 0.0, -0.026))
    bones |= _finger("Thumb", side, hand, (0.04, -0.01 * out, -0.03), joints)
    joints = ((0.0, 0.0, -0.045), (0.0, 0.0, -0.028), (0.0, 0.0, -0.022))
    for name, ahead in _FINGERS:
        bones |= _finger(name, side, hand, (ahead, 0.0, -0.09), joints)
    return bones


def _finger(name: str, side: str, hand: str, base: Offset, joints: tuple[Offset, ...]) -> dict[str, tuple[str, Offset]]:
    names = [f"crl_hand{name}{joint}__{side}" for joint in ("", "01", "02", "End")]
    return dict(zip(names, zip([hand, *names], (base, *joints), strict=False), strict=True))


def _leg(side: str, out: float) -> dict[str, tuple[str, Offset]]:
    return {
        f"crl_thigh__{side}": ("crl_hips__C", (0.0, 0.08 * out, -0.087)),
        f"crl_leg__{side}": (f"crl_thigh__{side}", (0.0, 0.0, -0.43)),
        f"crl_foot__{side}": (f"crl_leg__{side}", (0.0, 0.0, -0.40)),
        f"crl_toe__{side}": (f"crl_foot__{side}", (0.1, 0.0, -0.05)),
        f"crl_toeEnd__{side}": (f"crl_toe__{side}", (0.05, 0.0, -0.01)),
    }


ROOT = "crl_root"
# Each bone, its parent and where it is in the parent's frame, m; parents come before their children.
_BONES: dict[str, tuple[str, Offset]] = {
    "crl_hips__C": (ROOT, (0.0, 0.0, 1.0)),
    "crl_spine__C": ("crl_hips__C", (0.0, 0.0, 0.107)),
    "crl_spine01__C": ("crl_spine__C", (0.0, 0.0, 0.165)),
    **_arm("L", -1.0),
    "crl_neck__C": ("crl_spine01__C", (0.0, 0.0, 0.19)),
    "crl_Head__C": ("crl_neck__C", (0.03, 0.0, 0.086)),
    "crl_eye__L": ("crl_Head__C", (0.085, -0.03, 0.083)),
    "crl_eye__R": ("crl_Head__C", (0.085, 0.03, 0.083)),
    **_arm("R", 1.0),
    **_leg("R", 1.0),
    **_leg("L", -1.0),
}


class Skeleton:
    """The bones of one walker, `half_height` m above its feet."""

    def __init__(self, half_height: float) -> None:
        self._half_height = half_height
        self._posed: Bones | None = None
        self._blend = 0.0

    def relative(self, walked_m: float, speed_mps: float) -> Bones:
        """Every bone in the frame of the bone that it hangs on, the root in the actor's.

        Args:
          walked_m: the way walked so far, which says where in its step it is.
        """
        moving = self._animation(walked_m, speed_mps)
        if self._posed is None or self._blend == 0.0:
            return moving
        return {name: _between(pose, self._posed[name], self._blend) for name, pose in moving.items()}

    def in_actor(self, relative: Bones) -> Bones:
        """The same bones in the actor's frame."""
        placed = {ROOT: relative[ROOT]}
        for name, (parent, _) in _BONES.items():
            placed[name] = attached_pose(placed[parent], relative[name])
        return placed

    def pose(self, bones: Bones, walked_m: float, speed_mps: float) -> None:
        """Set bones of the pose, in the frames that they hang on; a name that is no bone's is left out, as on CARLA."""
        if self._posed is None:
            self.keep(walked_m, speed_mps)
            assert self._posed is not None
        self._posed |= {name: bone for name, bone in bones.items() if name in self._posed}

    def keep(self, walked_m: float, speed_mps: float) -> None:
        """Make what is seen now the pose."""
        self._posed = self.relative(walked_m, speed_mps)

    def blend(self, share: float) -> None:
        """How much is seen of the pose, the rest of the animation: 0 to 1, what lies beyond counts as these."""
        self._blend = min(max(share, 0.0), 1.0)

    def _animation(self, walked_m: float, speed_mps: float) -> Bones:
        size = 2.0 * self._half_height / _MODELLED_HEIGHT
        pitch = _gait(2.0 * math.pi * walked_m / (_STRIDE * 2.0 * self._half_height), speed_mps)
        bones = {ROOT: Pose(0.0, 0.0, -self._half_height)}
        for name, (_, (x, y, z)) in _BONES.items():
            bones[name] = Pose(size * x, size * y, size * z, pitch.get(name, 0.0))
        return bones


def _gait(phase: float, speed_mps: float) -> dict[str, float]:
    """Pitch of what swings, deg: arms against legs, and a knee bends while its leg comes forward."""
    swing = min(_SWING_DEG_PER_M_S * speed_mps, _MOST_SWING_DEG)
    pitch = {}
    for side, turn in (("L", 0.0), ("R", math.pi)):
        ahead = swing * math.sin(phase + turn)
        pitch[f"crl_thigh__{side}"] = ahead
        pitch[f"crl_leg__{side}"] = -_KNEE_BEND * swing * max(math.cos(phase + turn), 0.0)
        pitch[f"crl_arm__{side}"] = -_ARMS_SWING * ahead
        pitch[f"crl_foreArm__{side}"] = 0.5 * swing
    return pitch


def _between(a: Pose, b: Pose, share: float) -> Pose:
    """From `a` (0) to `b` (1), angles the shorter way round."""
    x, y, z = (start + share * (end - start) for start, end in ((a.x, b.x), (a.y, b.y), (a.z, b.z)))
    turned = ((a.pitch, b.pitch), (a.yaw, b.yaw), (a.roll, b.roll))
    return Pose(x, y, z, *(start + share * wrap_degrees(end - start) for start, end in turned))
