"""What torch's eager-mode quantization puts among the tensors of a network that is not converted yet.

``torch.ao.quantization.prepare`` gives layers an observer of their outputs, ``prepare_qat`` a fake quantizer of their
outputs and one of their weights. They are no weights, but they show which activation the network has.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Literal

Activation = Literal["relu6", "relu"]

_OBSERVER = re.compile(r"(^|\.)(activation_post_process|weight_fake_quant)\.")
# Of an activation that is not fused: the third of convolution, batch norm and activation.
_OF_ACTIVATION = re.compile(r"features\.\d+\.(conv\.\d\.)?2\.activation_post_process\.")


def without_observers(names: Collection[str]) -> list[str]:
    """The weights alone."""
    return [name for name in names if not _OBSERVER.search(name)]


def activation_shown(names: Collection[str], *, is_fused: bool) -> Activation | None:
    """Which activation a network has, where its names show it.

    torchvision's quantization package puts ReLU in the place of ReLU6 (torchvision/models/quantization/utils.py,
    ``_replace_relu``), because torch fuses ReLU alone. Of those that are not fused it observes ReLU6 alone
    (torch/ao/quantization/quantization_mappings.py).

    Args:
        names: With the observers'.
        is_fused: Whether convolutions and batch norms are.
    """
    if any(map(_OF_ACTIVATION.match, names)):
        return "relu6"
    return "relu" if is_fused or any(map(_OBSERVER.search, names)) else None
