"""Every RPC method that the server answers, by the name under which clients call it."""

from minicarla.handlers import actor, batch, bones, lights, parts, recorder, scene, unsupported, vehicle, world
from minicarla.protocol.rpc import Methods

METHODS = Methods(
    unsupported.methods
    | world.methods
    | scene.methods
    | actor.methods
    | parts.methods
    | bones.methods
    | vehicle.methods
    | lights.methods
    | batch.methods
    | recorder.methods
)
