"""ImageNet weights for the encoders that torchvision has, from a local .safetensors file with torchvision's names.

The file is data: nothing in it is executed. What becomes of it:
  * kernels turn from [out, in, h, w] to [h, w, in, out];
  * each BatchNorm, with its running statistics, is folded into its convolution: the function is that of torchvision's
    network in evaluation mode, exactly;
  * the first convolution's kernels are summed over red, green and blue, which is what they do to a grey picture, and
    divided by the number of frames: the activations are torchvision's on the mean of the frames, so they begin with
    the scale that the rest of the network expects. Motion is seen once training has made the frames' kernels differ.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from avtd3_jax.encoders import check
from avtd3_jax.encoders.registry import image_encoder
from avtd3_jax.errors import ConfigError

_EPSILON = 1e-5  # of torchvision's BatchNorm
_CLASSIFIERS = ("fc.", "classifier.")
_RGB = 3

Tensors = Mapping[str, NDArray[Any]]


def load(encoder: str, path: str, stack: int) -> dict[str, dict[str, NDArray[np.float32]]]:
    """Parameters of `encoder` for `stack` grey frames: layer -> {"kernel", "bias"}.

    Raises:
      ConfigError: no such file or encoder, not a safetensors file, or a tensor is missing, unknown, of another shape or
        not finite; the message names it.
    """
    check(encoder, path)
    if not Path(path).is_file():
        raise ConfigError(f"encoder_weights: there is no file {path!r}; give the path of a .safetensors file.")
    where = f"encoder_weights {path!r}"
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ConfigError(
            f"{where} is not a whole .safetensors file ({error}): download or convert it again."
        ) from error
    chosen = image_encoder(encoder)
    shape = jax.ShapeDtypeStruct((1, stack, 64, 64), np.uint8)
    template = jax.eval_shape(chosen.module().init, jax.random.key(0), shape)["params"]
    _check_tensors(tensors, _wanted(chosen.torchvision, template, chosen.first_conv), encoder, where)
    params = {}
    for layer, (conv, norm) in chosen.torchvision.items():
        kernel, bias = _folded(tensors, conv, norm)
        if layer == chosen.first_conv:
            kernel = np.repeat(kernel.sum(axis=1, keepdims=True) / stack, stack, axis=1)
        if not (np.isfinite(kernel).all() and np.isfinite(bias).all()):
            raise ConfigError(f"{where}: the tensors of {conv} and {norm} give numbers that are not finite.")
        params[layer] = {"kernel": kernel.transpose(2, 3, 1, 0).astype(np.float32), "bias": bias.astype(np.float32)}
    return params


def _folded(tensors: Tensors, conv: str, norm: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel [O, I, h, w] and bias [O] that do what the convolution and its BatchNorm do."""
    scale, shift, mean, variance = (
        tensors[f"{norm}.{part}"].astype(np.float64) for part in ("weight", "bias", "running_mean", "running_var")
    )
    with np.errstate(invalid="ignore"):  # a negative variance is reported as what it makes of the parameters
        scale = scale / np.sqrt(variance + _EPSILON)
    return tensors[f"{conv}.weight"] * scale[:, None, None, None], shift - mean * scale


def _wanted(names: Mapping[str, tuple[str, str]], template: Any, first_conv: str) -> dict[str, tuple[int, ...]]:
    """Shape of every tensor that the file must have."""
    wanted: dict[str, tuple[int, ...]] = {}
    for layer, (conv, norm) in names.items():
        height, width, inputs, outputs = template[layer]["kernel"].shape
        wanted[f"{conv}.weight"] = outputs, _RGB if layer == first_conv else inputs, height, width
        wanted |= {f"{norm}.{part}": (outputs,) for part in ("weight", "bias", "running_mean", "running_var")}
    return wanted


def _check_tensors(tensors: Tensors, wanted: Mapping[str, tuple[int, ...]], encoder: str, where: str) -> None:
    for name, shape in wanted.items():
        if name not in tensors:
            raise ConfigError(f"{where} has no tensor {name!r}, which {encoder} needs: is it another network's?")
        if tensors[name].shape != shape:
            raise ConfigError(
                f"{where}: the tensor {name!r} has the shape {list(tensors[name].shape)}, {encoder} needs "
                f"{list(shape)}: is it another network's?"
            )
    for name in tensors:
        if name not in wanted and not name.startswith(_CLASSIFIERS) and not name.endswith(".num_batches_tracked"):
            raise ConfigError(f"{where} has the tensor {name!r}, which {encoder} does not: is it another network's?")
