"""TD3's hyperparameters."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from avtd3_jax import encoders
from avtd3_jax.errors import ConfigError

Asked = Literal["float32", "bfloat16", "auto"]


@dataclass(frozen=True)
class TD3Config:
    """Hyperparameters; the defaults learn the driving task in minutes on two CPU cores.

    Attributes:
      encoder: name of the image encoder, see `avtd3_jax.encoders`.
      encoder_weights: path of a .safetensors file of torchvision's ImageNet weights that "resnet18" or "mobilenet_v2"
        begins with; "" for random ones.
      trunk_width: width of the LayerNorm and tanh trunk in place of the encoder's Dense(512); 0 for none.
      hidden: widths of the hidden layers of actor and critics.
      num_critics: critics whose smallest value is the target; 2 in TD3, 1 in DDPG.
      encoder_lr: Adam's learning rate of the image encoder.
      actor_lr: Adam's learning rate of the actor.
      critic_lr: Adam's learning rate of the critics.
      lr_decay_updates: over so many updates every learning rate falls linearly, and then stays; 0 for constant rates.
      lr_final_fraction: what of each learning rate is left after them.
      gamma: discount per decision. 0.95 looks 2 s ahead at 10 decisions a second: the legal speed falls well before a
        bend, so no more need be foreseen. With 5 s or more it took the critic long to see what braking is worth, and
        the car took bends at full speed.
      tau: share by which the target networks move towards the others on each actor step.
      target_noise: standard deviation of the noise on the target policy's action.
      target_noise_clip: the most that this noise can be.
      policy_delay: critic updates for one of the actor and the targets; 2 in TD3, 1 in DDPG.
      encoder_grad: "critic" trains the encoder by the critic's loss alone, "both" by the actor's too, "actor" by the
        actor's without the critic's. The auxiliary heads' loss trains it in any case.
      random_shift: pixels by which every image stack of a batch is moved at random, DrQ's is 4; 0 for none.
      critic_privileged: tell the critics the observation's "privileged" part, the actor not.
      critic_layer_norm: a LayerNorm before every ReLU of the critics.
      auxiliary_weight: of the loss of the heads that predict the observation's "privileged" and "expert" parts from the
        encoder's features, and train the encoder by it; 0 for no heads. Their learning rate is the critics'.
      columns: numbers that a head gives of each column of the encoder's last maps, as features; their loss has
        `auxiliary_weight` too. They are to be what the observation's "privileged" part ends with: 3 for env.columns,
        0 for no such head.
      imitation_weight: of the squared distance of the policy's action from the observation's "expert" part, beside
        minus Q of it over Q's mean size; 0 for TD3's own loss.
      compute_dtype: what is multiplied in: "float32", "bfloat16", or "auto" for bfloat16 where a CPU has kernels of our
        own in it and float32 elsewhere; parameters, targets and losses are float32.

    Raises:
      ConfigError: a value is not allowed; the sentence begins with the field's name.
    """

    encoder: str = "nature"
    encoder_weights: str = ""
    trunk_width: int = 50
    hidden: tuple[int, ...] = (256, 256)
    num_critics: int = 2
    encoder_lr: float = 1e-3
    actor_lr: float = 1e-3
    critic_lr: float = 1e-3
    lr_decay_updates: int = 0
    lr_final_fraction: float = 0.1
    gamma: float = 0.95
    tau: float = 0.005
    target_noise: float = 0.2
    target_noise_clip: float = 0.5
    policy_delay: int = 2
    encoder_grad: Literal["critic", "both", "actor"] = "critic"
    random_shift: int = 0
    critic_privileged: bool = field(default=False, metadata={"before": False})
    critic_layer_norm: bool = field(default=False, metadata={"before": False})
    auxiliary_weight: float = field(default=0.0, metadata={"before": 0.0})
    columns: int = field(default=0, metadata={"before": 0})
    imitation_weight: float = field(default=0.0, metadata={"before": 0.0})
    compute_dtype: Asked = "auto"

    def __post_init__(self) -> None:
        def require(valid: bool, sentence: str) -> None:
            if not valid:
                raise ConfigError(sentence)

        encoders.check(self.encoder, self.encoder_weights)
        require(
            self.encoder_grad in ("critic", "both", "actor"),
            f"encoder_grad is {self.encoder_grad!r}: 'critic', 'both' or 'actor'.",
        )
        require(
            self.encoder_grad != "actor" or self.auxiliary_weight > 0.0,
            "encoder_grad is 'actor', which leaves the encoder nothing to learn from between the actor's steps: set "
            "auxiliary_weight, or another encoder_grad.",
        )
        require(
            self.compute_dtype in get_args(Asked),
            f"compute_dtype is {self.compute_dtype!r}: 'float32', 'bfloat16' or 'auto'.",
        )
        require(0.0 <= self.gamma < 1.0, f"gamma is {self.gamma}: it must be in [0, 1).")
        require(0.0 < self.tau <= 1.0, f"tau is {self.tau}: it must be in (0, 1].")
        require(self.policy_delay >= 1, f"policy_delay is {self.policy_delay}: it must be at least 1.")
        require(self.num_critics >= 1, f"num_critics is {self.num_critics}: it must be at least 1.")
        require(self.trunk_width >= 0, f"trunk_width is {self.trunk_width}: 0 for none, or the trunk's width.")
        require(
            self.columns == 0 or (self.columns > 0 and self.auxiliary_weight > 0.0),
            f"columns is {self.columns} and auxiliary_weight {self.auxiliary_weight:g}: 0 for no such head, or so many "
            "numbers of each column, which a weight above 0 makes it learn.",
        )
        require(self.random_shift >= 0, f"random_shift is {self.random_shift}: 0 for none, or a number of pixels.")
        for name in ("encoder_lr", "actor_lr", "critic_lr"):
            require(getattr(self, name) > 0.0, f"{name} is {getattr(self, name)}: it must be positive.")
        require(
            self.lr_decay_updates >= 0,
            f"lr_decay_updates is {self.lr_decay_updates}: 0 for constant learning rates, or a number of updates.",
        )
        require(
            0.0 < self.lr_final_fraction <= 1.0,
            f"lr_final_fraction is {self.lr_final_fraction}: it must be in (0, 1].",
        )
        for name in ("target_noise", "target_noise_clip", "auxiliary_weight", "imitation_weight"):
            require(getattr(self, name) >= 0.0, f"{name} is {getattr(self, name)}: it must not be negative.")
