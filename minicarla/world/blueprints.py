"""The blueprint library: all of CARLA 0.9.16's ids, with their attributes and defaults.

Source: ActorBlueprintFunctionLibrary.cpp (which attributes each kind has, in which order). Attributes that minicarla
does not act on (lens, exposure, terramechanics) are there so that scripts which set them run unchanged.
"""

from functools import cache

from minicarla import __version__
from minicarla.protocol.rpc_types import Wire
from minicarla.world.blueprint import Blueprint, common, constant
from minicarla.world.prop_blueprints import props
from minicarla.world.sensor_blueprints import sensors
from minicarla.world.vehicle_blueprints import vehicles
from minicarla.world.walker_blueprints import walkers


@cache
def library() -> dict[str, Blueprint]:
    """All blueprints by id."""
    blueprints = [*vehicles(), *walkers(), *sensors(), *props()]
    blueprints += [Blueprint("controller.ai.walker", common("controller.ai.walker"))]
    # Nothing of CARLA's: a client tells minicarla from CARLA by it, since both must answer "0.9.16" as their version.
    mark = (constant("version", __version__),)
    blueprints += [Blueprint("static.minicarla.mark", mark, refused="it only says which server this is")]
    return {blueprint.id: blueprint for blueprint in blueprints}


@cache
def definitions() -> list[Wire]:
    """The result of `get_actor_definitions`."""
    return [blueprint.wire(uid) for uid, blueprint in enumerate(library().values(), start=1)]
