"""What torch's eager-mode quantization puts among the tensors of a network that is not converted yet.

``torch.ao.quantization.prepare`` and ``prepare_qat`` give every layer an observer of its outputs or a fake quantizer,
and in training one of its weights. They are no weights, but they have seen the activations.
"""

from __future__ import annotations

import re
from typing import Literal

from mnv2deploy.weights.assembly import Tensors

Activation = Literal["relu6", "relu"]

_OBSERVERS = re.compile(r"(^|\.)(activation_post_process|weight_fake_quant)\.")
# Of the activations that were not fused: the third of convolution, batch norm and activation.
_SEEN = re.compile(r"features\.\d+\.(conv\.\d\.)?2(\.activation_post_process)+\.max_val")
# Histogram observers of older torch widen what they saw, by less than a hundredth.
_CEILING = 6.06


def without_observers(raw: Tensors) -> Tensors:
    """The weights alone."""
    return {name: array for name, array in raw.items() if not _OBSERVERS.search(name)}


def activation_shown(raw: Tensors, *, is_fused: bool) -> Activation | None:
    """What the activations are, where a checkpoint shows it.

    torchvision's quantization package puts ReLU in the place of ReLU6 (torchvision/models/quantization/utils.py,
    ``_replace_relu``). torch fuses ReLU alone; of activations that were not fused the greatest value their observers
    saw tells.

    Args:
        raw: With the observers.
        is_fused: Whether convolutions and batch norms are.
    """
    seen = [float(array.max(initial=0)) for name, array in raw.items() if _SEEN.fullmatch(name)]
    if is_fused and not seen:
        return "relu"
    greatest = max(seen, default=0)
    if not 0 < greatest < float("inf"):
        return None
    return "relu" if greatest > _CEILING else "relu6"
