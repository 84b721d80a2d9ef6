"""What torchvision 0.28's own networks make of random weights and frames: golden/torchvision.npz.

For each of resnet18 and mobilenet_v2 it holds the names and shapes of `state_dict()`, and every eighth channel of the
last feature maps (`layer4`, `features`) in evaluation mode, with `random_state_dict` loaded, of the mean of `FRAMES`
over time as a picture in [0, 1] with three equal channels, less 0.449, over 0.226.
"""

from pathlib import Path

import numpy as np

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 4, 84, 84), np.uint8)
_GOLDEN = Path(__file__).parent / "golden" / "torchvision.npz"


def random_state_dict(shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Random tensors in the order of `shapes`."""
    rng = np.random.default_rng(1)
    tensors = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            tensors[name] = np.array(7)
        elif len(shape) > 1:
            tensors[name] = rng.standard_normal(shape, np.float32) * np.float32(np.prod(shape[1:]) ** -0.5)
        elif name.endswith(("running_var", "weight")):
            tensors[name] = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        else:
            tensors[name] = 0.1 * rng.standard_normal(shape, np.float32)
    return tensors


def state_dict_and_maps(network: str) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Random weights with torchvision's names, and the maps [2, 3, 3, F / 8] that torchvision makes with them."""
    with np.load(_GOLDEN) as golden:
        shapes = {
            str(name): tuple(map(int, str(shape).split()))
            for name, shape in zip(golden[f"{network}/names"], golden[f"{network}/shapes"], strict=True)
        }
        return random_state_dict(shapes), golden[f"{network}/maps"]
