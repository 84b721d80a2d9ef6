"""How the encoders' kernels begin, so that a network without normalisation layers starts with even activations."""

import flax.linen as nn
from jax.nn.initializers import Initializer

# He et al. 2015 (arXiv:1502.01852): keeps the second moment from one rectified layer to the next.
kaiming_normal = nn.initializers.kaiming_normal()
# The same after a layer that is not rectified.
linear_normal = nn.initializers.lecun_normal()


def branch_end(blocks: int) -> Initializer:
    """Kaiming's, its variance divided by the number of residual blocks that add up.

    Without it the sum doubles in every block. It stands for the normalisation that these networks had (SkipInit with
    1 / sqrt(blocks), De and Smith 2020, arXiv:2002.10444).
    """
    return nn.initializers.variance_scaling(2.0 / blocks, "fan_in", "truncated_normal")
