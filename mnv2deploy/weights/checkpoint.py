"""A checkpoint on disk: which files it is made of, and its tensors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights.assembly import Origin, Tensors, assemble
from mnv2deploy.weights.mmsegmentation import MMSegmentationCheckpoint, read_mmsegmentation
from mnv2deploy.weights.tensorflow import TensorflowCheckpoint, read_frozen_graph, read_tensorflowjs
from mnv2deploy.weights.torchvision import TorchvisionCheckpoint, read_torch

_READERS: dict[str, Callable[[Path], Tensors]] = {
    "tensorflowjs": read_tensorflowjs,
    "frozen-graph": read_frozen_graph,
    "torchvision": read_torch,
    "mmsegmentation": read_mmsegmentation,
}


def read_checkpoint(path: Path, format_name: str) -> Tensors:
    """Reads tensors by the names the checkpoint gives them.

    Args:
        path: The main file (``model.json`` of a TensorFlow.js model).
        format_name: ``weights.format`` of the model card.

    Raises:
        UsageError: there is no such file.
        CheckpointError: it is not of that format, or damaged.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; --weights wants the checkpoint's main file.")
    return _READERS[format_name](path)


def convert(
    raw: Tensors, format_name: str, shapes: Mapping[str, tuple[int, ...]], epsilons: Mapping[str, float], where: str
) -> Tensors:
    """Turns a checkpoint's tensors into our state dict.

    Args:
        raw: As `read_checkpoint` gave them.
        format_name: ``weights.format`` of the model card.
        shapes: Name and shape of every tensor the network needs.
        epsilons: Of each batch norm of the network, by module name.
        where: File name, for messages.

    Raises:
        CheckpointError: a tensor is missing, misshapen, not finite, or has no place in the network; named.
    """
    origin: Origin
    if format_name == "torchvision":
        origin = TorchvisionCheckpoint(raw, where)
    elif format_name == "mmsegmentation":
        origin = MMSegmentationCheckpoint(raw, where)
    else:
        origin = TensorflowCheckpoint(raw, epsilons, where)
    return assemble(origin, shapes, where)


def checkpoint_digests(path: Path, format_name: str) -> tuple[tuple[str, str], ...]:
    """Name and sha256 of every file the checkpoint is made of, the main one first.

    Raises:
        CheckpointError: a file cannot be read, or the main one does not say which others there are.
    """
    files = [path]
    try:
        if format_name == "tensorflowjs":
            groups = json.loads(path.read_bytes())["weightsManifest"]
            files += [path.parent / Path(name).name for group in groups for name in group["paths"]]
        return tuple((file.name, hashlib.sha256(file.read_bytes()).hexdigest()) for file in files)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror} ({error.filename}).") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path} is not a TensorFlow.js graph model.") from error
