"""EfficientNet-Lite0 in Keras: the default model, with weights trained on ImageNet.

Architecture: M. Tan and Q. Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", ICML 2019,
in its Lite variant (ReLU6 instead of swish, no squeeze-and-excitation, stem and head not scaled).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from splitway.errors import BundleError

NAME = "efficientnet_lite0"
IMAGE_SIZE = 224
CUT_LAYER = "features"
CLASSES = 1000
_FEATURES = 1280
_STEM_CHANNELS = 32
_BATCH_NORM_EPSILON = 1e-3


@dataclass(frozen=True)
class _Group:
    """A run of MBConv blocks; only its first block strides."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


_GROUPS = (
    _Group(1, 3, 1, 1, 16),
    _Group(2, 3, 2, 6, 24),
    _Group(2, 5, 2, 6, 40),
    _Group(3, 3, 2, 6, 80),
    _Group(3, 5, 1, 6, 112),
    _Group(4, 5, 2, 6, 192),
    _Group(1, 3, 1, 6, 320),
)


def _blocks() -> Iterator[tuple[int, _Group, int]]:
    """Yield each block's index, its group and its stride."""
    index = 0
    for group in _GROUPS:
        for repeat in range(group.repeats):
            yield index, group, group.stride if repeat == 0 else 1
            index += 1


def _normed(x: Any, layer: keras.layers.Layer, *, activate: bool = True) -> Any:
    x = layer(x)
    x = keras.layers.BatchNormalization(epsilon=_BATCH_NORM_EPSILON, name=f"{layer.name}_bn")(x)
    return keras.layers.ReLU(max_value=6.0, name=f"{layer.name}_relu6")(x) if activate else x


def _conv(channels: int, kernel: int, name: str, stride: int = 1) -> keras.layers.Layer:
    return keras.layers.Conv2D(channels, kernel, strides=stride, padding="same", use_bias=False, name=name)


def _mbconv(x: Any, index: int, group: _Group, stride: int) -> Any:
    name, channels_in = f"block{index}", x.shape[-1]
    y = x
    if group.expand != 1:
        y = _normed(y, _conv(channels_in * group.expand, 1, f"{name}_expand"))
    depthwise = keras.layers.DepthwiseConv2D(
        group.kernel, strides=stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )
    y = _normed(y, depthwise)
    y = _normed(y, _conv(group.channels, 1, f"{name}_project"), activate=False)
    if stride == 1 and channels_in == group.channels:
        y = keras.layers.Add(name=f"{name}_add")([x, y])
    return y


def architecture() -> keras.Model:
    """Return the untrained network: UINT8 pixels [n, 224, 224, 3] to probabilities FP32 [n, 1000]."""
    pixels = keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3), dtype="uint8", name="pixels")
    x = keras.layers.Rescaling(1 / 128, offset=-127 / 128, name="normalise")(pixels)
    x = _normed(x, _conv(_STEM_CHANNELS, 3, "stem", stride=2))
    for index, group, stride in _blocks():
        x = _mbconv(x, index, group, stride)
    x = _normed(x, _conv(_FEATURES, 1, "top"))
    features = keras.layers.GlobalAveragePooling2D(name=CUT_LAYER)(x)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", name="probabilities")(features)
    return keras.Model(pixels, probabilities, name=NAME)


def _checkpoint_names() -> Iterator[tuple[str, str, str]]:
    """Yield (Keras convolution layer, checkpoint convolution, checkpoint BatchNorm) for the whole network."""
    yield "stem", "_conv_stem", "_bn0"
    for index, group, _ in _blocks():
        block = f"_blocks.{index}"
        if group.expand != 1:
            yield f"block{index}_expand", f"{block}._expand_conv", f"{block}._bn0"
        yield f"block{index}_depthwise", f"{block}._depthwise_conv", f"{block}._bn1"
        yield f"block{index}_project", f"{block}._project_conv", f"{block}._bn2"
    yield "top", "_conv_head", "_bn1"


def _kernel(weight: NDArray[Any], *, depthwise: bool) -> NDArray[Any]:
    """PyTorch's (out, in, h, w) to Keras's (h, w, in, out), or (h, w, channels, 1) for a depthwise convolution."""
    return weight.transpose((2, 3, 0, 1) if depthwise else (2, 3, 1, 0))


def pretrained(state: Mapping[str, NDArray[Any]]) -> keras.Model:
    """Return the network with the weights of a PyTorch state dict.

    Raises:
        BundleError: a tensor is missing, left over or of another shape.
    """
    model, unused = architecture(), set(state)
    unused -= {name for name in state if name.endswith("num_batches_tracked")}

    def take(name: str) -> NDArray[Any]:
        unused.discard(name)
        return state[name]

    try:
        for layer, conv, norm in _checkpoint_names():
            kernel = _kernel(take(f"{conv}.weight"), depthwise=layer.endswith("_depthwise"))
            model.get_layer(layer).set_weights([kernel])
            parts = ("weight", "bias", "running_mean", "running_var")
            model.get_layer(f"{layer}_bn").set_weights([take(f"{norm}.{part}") for part in parts])
        model.get_layer("probabilities").set_weights([take("_fc.weight").T, take("_fc.bias")])
    except (KeyError, ValueError) as error:
        raise BundleError(f"the checkpoint does not fit {NAME}: {error}") from error
    if unused:
        raise BundleError(f"the checkpoint has tensors that {NAME} does not: {', '.join(sorted(unused)[:3])}")
    if not all(np.isfinite(weight).all() for weight in model.get_weights()):
        raise BundleError("the checkpoint holds weights that are not finite")
    return model
