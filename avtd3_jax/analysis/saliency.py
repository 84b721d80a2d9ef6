"""What in the picture speaks for what the networks say: Grad-CAM of critic and actor, and the first layer's maps."""

from typing import Any, NamedTuple, cast

import cv2
import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from avtd3_jax.agent.interface import Agent, Params
from avtd3_jax.agent.spaces import PRIVILEGED
from avtd3_jax.encoders.registry import image_encoder
from avtd3_jax.errors import InputError

FloatArray = NDArray[np.float32]
Edges = NDArray[np.float64]  # one more than there are pixels


class Explanation(NamedTuple):
    """One decision, explained.

    action: float32 [A], the policy's.
    value: the first critic's value of that action.
    cams: float32 [1 + A, h, w], none negative: of the value, then of each of the action's numbers.
    """

    action: FloatArray
    value: float
    cams: FloatArray


class FirstLayer(NamedTuple):
    """The first convolution: kernel float32 [k, k, S, F] and the maps [h, w, F] that it makes of an observation."""

    kernel: FloatArray
    maps: FloatArray


class GradCam:
    """Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391) over the encoder's last maps.

    A map's weight is the mean over its places of the gradient of what is explained; the weighted sum of all maps, its
    negative part cut off, is the heat. What is explained: the first critic's value of the action taken, with the action
    held fixed, and each of the action's numbers before its tanh, towards the sign that it has.

    Only what the picture says is seen: what the vector of numbers adds has no place in it. And a mean over places knows
    of a map that it matters, not where the dense layer behind it looked.
    """

    def __init__(self, agent: Agent, edges: tuple[Edges, Edges] | None = None) -> None:
        """`edges`: where the input's rows, and its columns, begin and end, as shares of the picture; None for evenly.

        Raises InputError where the agent's observations have no image.
        """
        if agent.obs_spec.image is None:
            raise InputError("Grad-CAM needs an observation with an image.")
        self._agent = agent
        height, width = agent.obs_spec.image[1:]
        self._edges = edges or (np.linspace(0.0, 1.0, height + 1), np.linspace(0.0, 1.0, width + 1))
        self._encoder = image_encoder(agent.config.encoder)
        self._explain = jax.jit(self._explained)
        self._first_maps = jax.jit(self._first_layer)

    def __call__(self, params: Params, observation: Any) -> Explanation:
        """The policy's action for one observation of the space, and what speaks for it.

        It has its privileged part where the critics are told one.
        """
        agent = self._agent
        spec = agent.obs_spec if agent.config.critic_privileged else agent.obs_spec.seen
        arrays, _ = spec.batched(observation)
        action, value, cams = self._explain(params, arrays["image"], arrays.get("vector"), arrays.get(PRIVILEGED))
        return Explanation(np.asarray(action), float(value), np.asarray(cams))

    def first_layer(self, params: Params, observation: Any) -> FirstLayer:
        """The first convolution's kernel, and its maps of one observation of the space."""
        arrays, _ = self._agent.obs_spec.seen.batched(observation)
        kernel = params["encoder"]["cnn"][self._encoder.first_conv]["kernel"]
        return FirstLayer(np.asarray(kernel), np.asarray(self._first_maps(params["encoder"], arrays["image"])))

    def placed(self, cam: FloatArray, width: int, height: int) -> FloatArray:
        """A cam [h, w] over a picture [height, width] that shows what the encoder's input shows.

        Each cell lies where the centre of its receptive field is; the outermost ones reach to the picture's edges.
        """
        offset, stride = self._encoder.cells
        shares = [(np.arange(size) + 0.5) / size for size in (height, width)]
        # From the picture's pixels to the input's, counted from their centres, and on to the maps' cells.
        rows, columns = (
            (np.interp(share, edges, np.arange(len(edges))) - 0.5 - offset) / stride
            for share, edges in zip(shares, self._edges, strict=True)
        )
        x, y = np.meshgrid(columns.astype(np.float32), rows.astype(np.float32))
        return cv2.remap(cam, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[return-value]

    def _explained(
        self, params: Params, image: jax.Array, vector: jax.Array | None, privileged: jax.Array | None
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        agent = self._agent
        encoder = {"params": params["encoder"]}
        maps = agent.encoder.apply(encoder, image, method="maps")

        def explained(maps: jax.Array) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
            features = cast(jax.Array, agent.encoder.apply(encoder, maps, vector, method="features_of_maps"))
            logits = cast(jax.Array, agent.actor.apply({"params": params["actor"]}, features, method="logits"))
            action = jax.lax.stop_gradient(jnp.tanh(logits))
            value = agent.values(params["critic"], features, action, privileged)[0]
            return jnp.concatenate([value, jnp.abs(logits[0])]), (action[0], value[0])

        gradients, (action, value) = jax.jacrev(explained, has_aux=True)(maps)
        weights = gradients[:, 0].astype(jnp.float32).mean(axis=(1, 2))  # [1 + A, F]
        return action, value, jax.nn.relu(jnp.einsum("of,hwf->ohw", weights, maps[0].astype(jnp.float32)))

    def _first_layer(self, encoder_params: Params, image: jax.Array) -> jax.Array:
        _, seen = self._agent.encoder.apply({"params": encoder_params}, image, method="maps", mutable=["intermediates"])
        return seen["intermediates"]["cnn"]["first_layer"][0][0].astype(jnp.float32)
