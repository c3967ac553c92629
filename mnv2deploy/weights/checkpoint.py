"""A checkpoint on disk: which files it is made of, its tensors, and what they are the weights of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from mnv2deploy.catalog.cards import Card
from mnv2deploy.errors import CheckpointError, UsageError
from mnv2deploy.weights import (
    huggingface,
    keras,
    mmdetection,
    mmpretrain,
    mmsegmentation,
    native,
    tflite,
    timm,
    torchvision,
)
from mnv2deploy.weights.agreement import require_agreement
from mnv2deploy.weights.assembly import Origin, Tensors, assemble
from mnv2deploy.weights.configuration import Config, read_json
from mnv2deploy.weights.description import Description, Shapes
from mnv2deploy.weights.keras_files import read_model_config
from mnv2deploy.weights.state_dict import read_state_dict
from mnv2deploy.weights.tensorflow import TensorflowCheckpoint, read_frozen_graph, read_tensorflowjs
from mnv2deploy.weights.tensorflow_description import describe_tensorflow

Epsilons = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class _Format:
    """How checkpoints of one origin are read.

    Attributes:
        read: The tensors by the origin's names.
        origin: Their places in our state dict; batch norms' epsilons are needed where they were folded.
        describe: What they are the weights of; None where shapes do not tell.
        describe_graph: The same, for files that hold a graph, whose constants say more than shapes.
        configuration: What stands in files beside, or in the file itself.
        check: Sets a card beside what the tensors' names say besides.
    """

    read: Callable[[Path], Tensors]
    origin: Callable[[Tensors, Epsilons, str], Origin]
    describe: Callable[[Shapes, Config, str], Description] | None = None
    configuration: Callable[[Path], Config] = lambda _: {}
    describe_graph: Callable[[Tensors, str], Description] | None = None
    check: Callable[[Card, Collection[str], str], None] = lambda *_: None


def _beside(path: Path) -> Config:
    """The files transformers publishes beside a checkpoint, as far as they are there."""
    files = {"config": path.with_name("config.json"), "preprocessor": path.with_name("preprocessor_config.json")}
    return {key: read_json(file) for key, file in files.items() if file.is_file()}


_FORMATS = {
    "tensorflowjs": _Format(read_tensorflowjs, TensorflowCheckpoint, describe_graph=describe_tensorflow),
    "frozen-graph": _Format(read_frozen_graph, TensorflowCheckpoint, describe_graph=describe_tensorflow),
    "torchvision": _Format(
        read_state_dict, torchvision.torchvision_origin, torchvision.describe, check=torchvision.check
    ),
    "timm": _Format(read_state_dict, lambda raw, _, where: timm.timm_origin(raw, where), timm.describe),
    "huggingface": _Format(
        read_state_dict,
        lambda raw, _, where: huggingface.huggingface_origin(raw, where),
        huggingface.describe,
        _beside,
    ),
    "mmpretrain": _Format(
        read_state_dict, lambda raw, _, where: mmpretrain.mmpretrain_origin(raw, where), mmpretrain.describe
    ),
    "mmdetection": _Format(
        read_state_dict, lambda raw, _, where: mmdetection.mmdetection_origin(raw, where), mmdetection.describe
    ),
    "mmsegmentation": _Format(
        read_state_dict,
        lambda raw, _, where: mmsegmentation.mmsegmentation_origin(raw, where),
        mmsegmentation.describe,
    ),
    "native": _Format(read_state_dict, lambda raw, _, where: native.native_origin(raw, where)),
    "keras": _Format(
        keras.read_keras,
        lambda raw, _, where: keras.KerasCheckpoint(raw, where),
        keras.describe,
        read_model_config,
    ),
    "tflite": _Format(tflite.read_tflite, tflite.TfliteCheckpoint, tflite.describe, tflite.read_tflite_graph),
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
    return _FORMATS[format_name].read(path)


def describe_checkpoint(path: Path, format_name: str) -> Description:
    """Says what a checkpoint is the weights of.

    Args:
        path: The main file.
        format_name: One that describes itself: not ``native``, which is a card.

    Raises:
        UsageError: there is no such file.
        CheckpointError: it is not of that format, damaged, or no network this program builds.
    """
    return describe_tensors(read_checkpoint(path, format_name), path, format_name)


def describe_tensors(raw: Tensors, path: Path, format_name: str) -> Description:
    """`describe_checkpoint` of tensors that are read already.

    Raises:
        CheckpointError: see there.
    """
    form = _FORMATS[format_name]
    if form.describe_graph is not None:
        return form.describe_graph(raw, str(path))
    if form.describe is None:
        raise CheckpointError(f"{path}: a checkpoint of the format {format_name} does not describe itself.")
    return form.describe({name: array.shape for name, array in raw.items()}, form.configuration(path), str(path))


def check_card(card: Card, raw: Tensors, path: Path) -> None:
    """Sets a card beside what its checkpoint says of itself.

    Args:
        card: What is to be built.
        raw: As `read_checkpoint` gave them.
        path: The main file.

    Raises:
        CheckpointError: they contradict each other, or the files describe no network this program builds.
    """
    form = _FORMATS[card.weights.format]
    if form.describe is not None and (config := form.configuration(path)):
        shapes = {name: array.shape for name, array in raw.items()}
        require_agreement(card, form.describe(shapes, config, str(path)), str(path))
    form.check(card, raw, str(path))


def convert(
    raw: Tensors, format_name: str, shapes: Mapping[str, tuple[int, ...]], epsilons: Epsilons, where: str
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
    return assemble(_FORMATS[format_name].origin(raw, epsilons, where), shapes, where)


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
