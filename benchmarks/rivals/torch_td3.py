"""The mathematics of `avtd3_jax.agent.td3`, written again in PyTorch as a PyTorch user would write it.

One simultaneous backward pass, the same routing of gradients to the encoder, summed critic losses, targets moved on
actor steps, Adam per group, and the same smoothing noise when it is given the same draw. It computes no metrics beyond
the two losses and has no guard against non-finite updates, which is to its advantage.
"""

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from avtd3_jax.agent.spaces import ActionSpec, ObsSpec
from avtd3_jax.agent.td3 import TD3Config
from avtd3_jax.replay.batch import Batch

CONVOLUTIONS = ((32, 8, 4), (64, 4, 2), (64, 3, 1))  # features, kernel, stride


@dataclass(frozen=True)
class Variant:
    """How PyTorch runs it.

    compiled: through torch.compile, else eager.
    channels_last: convolutions in NHWC memory format, else NCHW.
    bfloat16: forward passes under autocast, parameters in float32.
    """

    compiled: bool = False
    channels_last: bool = False
    bfloat16: bool = False


class MLP(nn.Module):
    """Hidden layers with ReLU, then a linear output."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int) -> None:
        super().__init__()
        widths = (inputs, *hidden, outputs)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in itertools.pairwise(widths))

    def forward(self, x: torch.Tensor, frozen: bool = False) -> torch.Tensor:
        """[B, F] -> [B, outputs]; `frozen` lets no gradient reach the parameters."""
        for number, layer in enumerate(self.layers):
            weight, bias = (layer.weight.detach(), layer.bias.detach()) if frozen else (layer.weight, layer.bias)
            x = functional.linear(x, weight, bias)
            if number + 1 < len(self.layers):
                x = functional.relu(x)
        return x


class Encoder(nn.Module):
    """NatureCNN with Dense(512) and ReLU, or the trunk in its place; then the vector as it is."""

    def __init__(self, obs_spec: ObsSpec, trunk_width: int, channels_last: bool) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.convolutions, self.dense, self.norm = nn.ModuleList(), None, None
        if obs_spec.image is None:
            return
        channels, *self.grid = obs_spec.image
        for features, kernel, stride in CONVOLUTIONS:
            self.convolutions.append(nn.Conv2d(channels, features, kernel, stride))
            channels, self.grid = features, [(side - kernel) // stride + 1 for side in self.grid]
        self.dense = nn.Linear(channels * self.grid[0] * self.grid[1], trunk_width or 512)
        self.norm = nn.LayerNorm(trunk_width, eps=1e-6) if trunk_width else None

    def forward(self, image: torch.Tensor | None, vector: torch.Tensor | None) -> torch.Tensor:
        """uint8 [B, S, H, W] and float32 [B, D] -> [B, F]."""
        parts = []
        if self.dense is not None and image is not None:
            layout = torch.channels_last if self.channels_last else torch.contiguous_format
            x = image.to(torch.float32, memory_format=layout) / 255.0
            for convolution in self.convolutions:
                x = functional.relu(convolution(x))
            x = self.dense(x.flatten(1))
            parts.append(functional.relu(x) if self.norm is None else torch.tanh(self.norm(x)))
        if vector is not None:
            parts.append(vector)
        return torch.cat(parts, dim=-1)


class Networks(nn.Module):
    """Encoder, actor and critics."""

    def __init__(self, obs_spec: ObsSpec, action_spec: ActionSpec, config: TD3Config, channels_last: bool) -> None:
        super().__init__()
        self.encoder = Encoder(obs_spec, config.trunk_width, channels_last)
        features = (obs_spec.vector or 0) + (0 if obs_spec.image is None else config.trunk_width or 512)
        self.actor = MLP(features, config.hidden, action_spec.size)
        self.critics = nn.ModuleList(
            MLP(features + action_spec.size, config.hidden, 1) for _ in range(config.num_critics)
        )


class TorchTD3:
    """TD3 that starts from the parameters of an `avtd3_jax.agent.td3.TD3`."""

    def __init__(
        self,
        obs_spec: ObsSpec,
        action_spec: ActionSpec,
        config: TD3Config,
        params: dict[str, Any],
        variant: Variant = Variant(),  # frozen
        device: str = "cpu",
    ) -> None:
        """`params` are a TD3's, as host arrays."""
        self.config, self.variant, self.device = config, variant, torch.device(device)
        self.online, self.target = (
            Networks(obs_spec, action_spec, config, variant.channels_last).to(self.device) for _ in range(2)
        )
        for networks in (self.online, self.target):
            load_params(networks, params)
        if variant.channels_last:
            self.online.to(memory_format=torch.channels_last)
            self.target.to(memory_format=torch.channels_last)
        self.target.requires_grad_(False)
        self._critic_adam = torch.optim.Adam(
            [
                {"params": list(self.online.encoder.parameters()), "lr": config.encoder_lr},
                {"params": list(self.online.critics.parameters()), "lr": config.critic_lr},
            ],
            fused=True,
        )
        self._actor_adam = torch.optim.Adam(self.online.actor.parameters(), lr=config.actor_lr, fused=True)
        self._online_list, self._target_list = list(self.online.parameters()), list(self.target.parameters())
        mode = "default" if self.device.type == "cpu" else "reduce-overhead"
        self._losses = torch.compile(self._losses_of, mode=mode) if variant.compiled else self._losses_of

    def to_device(self, batch: Batch) -> Batch:
        """A host batch as tensors on the device, through pinned memory where that is a GPU."""
        if self.device.type == "cpu":
            return Batch(*(None if part is None else torch.from_numpy(part) for part in batch))
        return Batch(
            *(
                None if part is None else torch.from_numpy(part).pin_memory().to(self.device, non_blocking=True)
                for part in batch
            )
        )

    def update(self, batch: Batch, *, update_actor: bool, noise: torch.Tensor | None = None) -> torch.Tensor:
        """One update; `batch` is `to_device`'s.

        Args:
          noise: standard normal [B, A] for the target's smoothing; drawn here unless given.

        Returns:
          The critics' loss, and the actor's on its steps, [1] or [2], on the device.
        """
        if noise is None:
            noise = torch.randn_like(batch.action)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.variant.bfloat16):
            losses = self._losses(batch, noise, update_actor)
        losses.sum().backward()
        optimizers = (self._critic_adam, self._actor_adam) if update_actor else (self._critic_adam,)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if update_actor:
            with torch.no_grad():
                torch._foreach_lerp_(self._target_list, self._online_list, self.config.tau)
        return losses.detach()

    @torch.no_grad()
    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The online policy's action [A] or [B, A] for one observation or a batch, as `Learner.act`."""
        image, vector = observation.get("image"), observation.get("vector")
        single = (image is not None and image.ndim == 3) or (vector is not None and vector.ndim == 1)
        parts = [
            None if part is None else torch.from_numpy(part[None] if single else part).to(self.device)
            for part in (image, vector)
        ]
        action = torch.tanh(self.online.actor(self.online.encoder(*parts))).cpu().numpy()
        return action[0] if single else action

    def _losses_of(self, batch: Batch, noise: torch.Tensor, update_actor: bool) -> torch.Tensor:
        config, online, target = self.config, self.online, self.target
        image = next_image = None
        if batch.frames is not None:
            image, next_image = split_frames(batch)
        with torch.no_grad():
            next_features = target.encoder(next_image, batch.next_vector)
            clip = config.target_noise_clip
            next_action = torch.tanh(target.actor(next_features).float())
            next_action = (next_action + (config.target_noise * noise).clamp(-clip, clip)).clamp(-1.0, 1.0)
            next_input = torch.cat([next_features, next_action], dim=-1)
            next_q = torch.stack([critic(next_input)[:, 0].float() for critic in target.critics]).amin(dim=0)
            powers = config.gamma ** torch.arange(batch.reward.shape[1] + 1, device=self.device)
            y = batch.reward @ powers[:-1] + powers[batch.steps] * torch.where(batch.terminated, 0.0, next_q)

        features = online.encoder(image, batch.vector)
        critic_input = torch.cat([features, batch.action], dim=-1)
        q = torch.stack([critic(critic_input)[:, 0].float() for critic in online.critics])
        critic_loss = (q - y).square().mean(dim=1).sum()
        if not update_actor:
            return critic_loss[None]

        fixed = features.detach()
        action = torch.tanh(online.actor(features if config.encoder_grad == "both" else fixed).float())
        q_pi = online.critics[0](torch.cat([fixed, action], dim=-1), frozen=True)
        return torch.stack([critic_loss, -q_pi.float().mean()])

    def params(self) -> dict[str, Any]:
        """The online parameters in a TD3's layout, as host arrays."""
        return read_params(self.online)

    def target_params(self) -> dict[str, Any]:
        """The target parameters likewise."""
        return read_params(self.target)


def split_frames(batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The stacks of obs and of next_obs, [B, S, H, W] each, out of packed frames."""
    frames, n_step = batch.frames, batch.reward.shape[1]
    if n_step == 1:
        return frames[:, :-1], frames[:, 1:]
    stack = max(frames.shape[1] - n_step, frames.shape[1] // 2)
    if n_step >= stack:
        return frames[:, :stack], frames[:, stack:]
    places = batch.steps[:, None] + torch.arange(stack, device=frames.device)
    return frames[:, :stack], frames[torch.arange(len(frames), device=frames.device)[:, None], places]


def load_params(networks: Networks, params: dict[str, Any]) -> None:
    """Copies a TD3's parameters into `networks`."""
    encoder = params["encoder"]
    for number, convolution in enumerate(networks.encoder.convolutions):
        source = encoder["cnn"][f"Conv_{number}"]
        _copy(convolution.weight, np.transpose(source["kernel"], (3, 2, 0, 1)))  # HWIO to OIHW
        _copy(convolution.bias, source["bias"])
    if networks.encoder.dense is not None:
        source = encoder["dense" if networks.encoder.norm is None else "trunk"]
        _copy(networks.encoder.dense.weight, _to_channels_first(source["kernel"], networks.encoder.grid).T)
        _copy(networks.encoder.dense.bias, source["bias"])
    if networks.encoder.norm is not None:
        _copy(networks.encoder.norm.weight, encoder["trunk_norm"]["scale"])
        _copy(networks.encoder.norm.bias, encoder["trunk_norm"]["bias"])
    for number, layer in enumerate(networks.actor.layers):
        _copy(layer.weight, params["actor"]["mlp"][f"Dense_{number}"]["kernel"].T)
        _copy(layer.bias, params["actor"]["mlp"][f"Dense_{number}"]["bias"])
    for member, critic in enumerate(networks.critics):
        for number, layer in enumerate(critic.layers):
            source = params["critic"]["mlp"][f"Dense_{number}"]
            _copy(layer.weight, source["kernel"][member].T)
            _copy(layer.bias, source["bias"][member])


def read_params(networks: Networks) -> dict[str, Any]:
    """The parameters of `networks` in a TD3's layout: what `load_params` undoes."""
    encoder: dict[str, Any] = {}
    if networks.encoder.dense is not None:
        encoder["cnn"] = {
            f"Conv_{number}": {
                "kernel": np.transpose(_host(convolution.weight), (2, 3, 1, 0)),
                "bias": _host(convolution.bias),
            }
            for number, convolution in enumerate(networks.encoder.convolutions)
        }
        kernel = _to_channels_last(_host(networks.encoder.dense.weight).T, networks.encoder.grid)
        name = "dense" if networks.encoder.norm is None else "trunk"
        encoder[name] = {"kernel": kernel, "bias": _host(networks.encoder.dense.bias)}
    if networks.encoder.norm is not None:
        norm = networks.encoder.norm
        encoder["trunk_norm"] = {"scale": _host(norm.weight), "bias": _host(norm.bias)}
    critics = [_layers(critic) for critic in networks.critics]
    return {
        "encoder": encoder,
        "actor": {"mlp": _layers(networks.actor)},
        "critic": {
            "mlp": {
                layer: {part: np.stack([critic[layer][part] for critic in critics]) for part in ("kernel", "bias")}
                for layer in critics[0]
            }
        },
    }


def _layers(mlp: MLP) -> dict[str, dict[str, np.ndarray]]:
    return {
        f"Dense_{number}": {"kernel": _host(layer.weight).T, "bias": _host(layer.bias)}
        for number, layer in enumerate(mlp.layers)
    }


def _to_channels_first(kernel: np.ndarray, grid: list[int]) -> np.ndarray:
    """Rows [h * w * c] of a Dense kernel, as flattened NHWC has them, in the order of flattened NCHW."""
    height, width = grid
    return np.reshape(kernel, (height, width, -1, kernel.shape[1])).transpose(2, 0, 1, 3).reshape(kernel.shape)


def _to_channels_last(kernel: np.ndarray, grid: list[int]) -> np.ndarray:
    height, width = grid
    return np.reshape(kernel, (-1, height, width, kernel.shape[1])).transpose(1, 2, 0, 3).reshape(kernel.shape)


def _copy(parameter: nn.Parameter, value: np.ndarray) -> None:
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(value, np.float32)))


def _host(parameter: torch.Tensor) -> np.ndarray:
    return parameter.detach().cpu().contiguous().numpy().copy()
