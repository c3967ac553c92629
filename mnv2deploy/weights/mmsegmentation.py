"""Reads mmsegmentation's checkpoints: M-V2-D8 with the heads FCN, PSPNet, DeepLabV3 and DeepLabV3+."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.assembly import Tensors

# The second head of the training, on an earlier feature map: no part of the network that answers.
_AUXILIARY = "auxiliary_head."
# mmseg/models/backbones/mobilenet_v2.py, arch_settings: blocks of layer1 to layer7.
_BLOCKS = [(layer, block) for layer, count in enumerate((1, 2, 3, 4, 3, 3, 1), start=1) for block in range(count)]
_PARTS = ("expand", "depthwise", "project")
# Our module of a head, and mmseg's (mmseg/models/decode_heads); what follows, a layer and its tensor, is the same.
_HEAD = {
    r"classifier": r"conv_seg",
    r"convs\.(\d+)": r"convs.\1",
    r"join": r"conv_cat",
    r"pyramid\.(\d+)": r"psp_modules.\1.1",
    r"pool": r"image_pool.1",
    r"branch": r"aspp_modules.0",
    r"project": r"bottleneck",
    r"low_level": r"c1_bottleneck",
    r"refine\.(\d+)\.(depthwise|pointwise)": r"sep_bottleneck.\1.\2_conv",
}
_ATROUS = re.compile(r"head\.atrous\.(\d+)(?:\.(depthwise|pointwise))?(\.(?:conv|bn)\.\w+)")


def read_mmsegmentation(path: Path) -> Tensors:
    """Reads a ``.pth`` of mmsegmentation, or the state dict in one; nothing in the file is executed.

    Returns:
        The tensors under mmsegmentation's names, without a ``module.`` in front.

    Raises:
        CheckpointError: it is no such checkpoint, or holds what cannot be read without running code.
    """
    import torch

    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        state = loaded["state_dict"] if isinstance(loaded.get("state_dict"), Mapping) else loaded
        return {str(name).removeprefix("module."): tensor.detach().numpy() for name, tensor in state.items()}
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}.") from error
    except Exception as error:  # unpickling fails in as many ways as there are broken files
        if refused := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path} holds {refused[1]} beside its tensors, which cannot be read without running code in the file. "
                "If you trust it, keep its tensors alone, with mmsegmentation installed: torch.save("
                "{'state_dict': torch.load(FILE, weights_only=False)['state_dict']}, NEW_FILE)."
            ) from error
        raise CheckpointError(
            f"{path} is not a checkpoint of mmsegmentation: a .pth with a state_dict of tensors."
        ) from error


class MMSegmentationCheckpoint:
    """``backbone.*`` and ``decode_head.*``; ``auxiliary_head.*``, which only training needs, is left alone."""

    def __init__(self, raw: Tensors, where: str) -> None:
        self._raw = raw
        self._where = where
        self._used: set[str] = set()
        self.last = ""

    def tensor(self, key: str) -> NDArray[Any]:
        """See `Origin.tensor`."""
        name = mmsegmentation_name(key)
        if name not in self._raw:
            raise CheckpointError(f"{self._where} lacks the tensor {name}.")
        self._used.add(name)
        self.last = name
        return self._raw[name]

    def unused(self) -> list[str]:
        """See `Origin.unused`."""
        left = (name for name in set(self._raw) - self._used if not name.startswith(_AUXILIARY))
        return sorted(name for name in left if not name.endswith("num_batches_tracked"))


def mmsegmentation_name(key: str) -> str:
    """The name of one of our tensors in mmsegmentation, for example ``head.atrous.0.conv.weight``."""
    if match := re.fullmatch(r"backbone\.stem(\.(?:conv|bn)\.\w+)", key):
        return f"backbone.conv1{match[1]}"
    if match := re.fullmatch(rf"backbone\.blocks\.(\d+)\.({'|'.join(_PARTS)})(\.(?:conv|bn)\.\w+)", key):
        layer, block = _BLOCKS[int(match[1])]
        part = _PARTS.index(match[2]) - (layer == 1)  # the first block does not expand
        return f"backbone.layer{layer}.{block}.conv.{part}{match[3]}"
    if match := _ATROUS.fullmatch(key):
        separable = f".{match[2]}_conv" if match[2] else ""
        return f"decode_head.aspp_modules.{int(match[1]) + 1}{separable}{match[3]}"
    for ours, theirs in _HEAD.items():
        if match := re.fullmatch(rf"head\.{ours}((?:\.(?:conv|bn))?\.\w+)", key):
            return f"decode_head.{match.expand(theirs)}{match[match.lastindex or 0]}"
    raise CheckpointError(f"{key} has no counterpart in a checkpoint of mmsegmentation.")
