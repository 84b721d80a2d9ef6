"""RPC methods about the bones and the pose of walkers."""

from minicarla.geometry.poses import attached_pose
from minicarla.protocol import rpc_types
from minicarla.protocol.rpc import Methods, RpcConnection
from minicarla.protocol.rpc_types import Wire
from minicarla.simulation import Simulation

methods = Methods()


@methods.value
def get_bones_transform(sim: Simulation, client: RpcConnection, actor_id: int) -> Wire:
    """`Walker.get_bones`: simplified: the animation swings arms and legs; at rest bones are turned as the walker."""
    walker = sim.state.find_walker(actor_id)
    relative = walker.skeleton.relative(*walker.gait)
    placed = walker.skeleton.in_actor(relative)
    return [
        [
            [name, *map(rpc_types.transform, (attached_pose(walker.pose, pose), pose, relative[name]))]
            for name, pose in placed.items()
        ]
    ]


@methods.void
def set_bones_transform(sim: Simulation, client: RpcConnection, actor_id: int, bones: Wire) -> None:
    """`Walker.set_bones`: simplified: cameras see a figure that stands."""
    walker = sim.state.find_walker(actor_id)
    pairs = (
        rpc_types.items(pair, "bone", 2) for pair in rpc_types.items(rpc_types.items(bones, "bones", 1)[0], "bones")
    )
    walker.skeleton.pose({rpc_types.text(pair[0], "bone"): rpc_types.pose(pair[1]) for pair in pairs}, *walker.gait)


@methods.void
def blend_pose(sim: Simulation, client: RpcConnection, actor_id: int, share: float) -> None:
    """`Walker.blend_pose`, `Walker.show_pose`, `Walker.hide_pose`."""
    sim.state.find_walker(actor_id).skeleton.blend(rpc_types.number(share, "blend"))


@methods.void
def get_pose_from_animation(sim: Simulation, client: RpcConnection, actor_id: int) -> None:
    """`Walker.get_pose_from_animation`."""
    walker = sim.state.find_walker(actor_id)
    walker.skeleton.keep(*walker.gait)
