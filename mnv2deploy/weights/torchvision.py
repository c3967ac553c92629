"""Reads torchvision's MobileNetV2 classifier: a torch state dict."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors


def read_torch(path: Path) -> Tensors:
    """Reads a ``.pth`` of tensors; nothing in the file is executed.

    Raises:
        CheckpointError: it is no torch checkpoint, or holds more than tensors in a dict.
    """
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        return {str(name): tensor.detach().numpy() for name, tensor in state.items()}
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error
    except Exception as error:  # unpickling fails in as many ways as there are broken files
        raise CheckpointError(
            f"{path} is not a torch state dict that can be read without running code in it; save one with "
            "torch.save(model.state_dict(), FILE)."
        ) from error


class TorchvisionCheckpoint:
    """``features.0`` to ``features.18`` and ``classifier.1`` (torchvision/models/mobilenetv2.py).

    A block's ``conv`` holds its layers in order, without the expansion in the first block.
    """

    def __init__(self, raw: Tensors, where: str) -> None:
        self._raw = raw
        self._where = where
        self._used: set[str] = set()
        self.last = ""

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        name = torchvision_name(key)
        if name not in self._raw:
            raise CheckpointError(f"{self._where} lacks the tensor {name}.")
        self._used.add(name)
        self.last = name
        return self._raw[name]

    def unused(self) -> list[str]:
        """See `Origin.unused`."""
        return sorted(name for name in set(self._raw) - self._used if not name.endswith("num_batches_tracked"))


def torchvision_name(key: str) -> str:
    """Torchvision's name of one of our tensors, for example ``backbone.blocks.3.expand.bn.bias``."""
    if match := re.fullmatch(r"backbone\.(stem|last)\.(conv|bn)\.(\w+)", key):
        index = 0 if match[1] == "stem" else 18
        return f"features.{index}.{0 if match[2] == 'conv' else 1}.{match[3]}"
    if match := re.fullmatch(r"backbone\.blocks\.(\d+)\.(expand|depthwise|project)\.(conv|bn)\.(\w+)", key):
        block, is_norm = int(match[1]), match[3] == "bn"
        layer = ("expand", "depthwise", "project").index(match[2]) - (block == 0)
        # Only the linear projection is not wrapped with its activation.
        inner = f"{layer + is_norm}" if match[2] == "project" else f"{layer}.{int(is_norm)}"
        return f"features.{block + 1}.conv.{inner}.{match[4]}"
    if key.startswith("classifier."):
        return key.replace("classifier.", "classifier.1.")
    raise CheckpointError(f"{key} has no counterpart in a torchvision checkpoint.")
