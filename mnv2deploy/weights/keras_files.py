"""Opens Keras's files, ``.h5`` and ``.keras``: their tensors and their description of the model, nothing executed.

An HDF5 file can name other files to read from, and claim tensors of any size: neither is followed. The description of
the model is read as JSON; Keras itself would build, and for a Lambda layer run, what stands in it.
"""

from __future__ import annotations

import contextlib
import io
import math
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError, MissingDependencyError
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.configuration import Config, parse_json

_LARGEST = 1 << 30  # bytes of a file inside a .keras archive; MobileNetV2 at its widest takes 50 MB
_NOT_WEIGHTS = ("optimizer", "optimizer_weights", "top_level_model_weights")


def read_datasets(path: Path) -> Tensors:
    """Every tensor of a Keras file but the optimizer's, by its path in the file, for example ``Conv1/Conv1/kernel:0``.

    In files of Keras 3 the tensors of a layer are numbered, ``layers/conv2d_1/vars/0``.

    Raises:
        CheckpointError: the file is none of Keras's, or damaged, or names tensors outside itself.
        MissingDependencyError: h5py is not installed.
    """
    with _opened(path) as (file, size):
        tensors = dict(_walk(file, "", path, size))
    if not tensors:
        raise CheckpointError(f"{path} holds no weights; save the whole model, or its weights, with Keras.")
    return tensors


def read_model_config(path: Path) -> Config:
    """The model as Keras describes it, under the key ``model``; nothing in a file of weights alone.

    Raises:
        CheckpointError: the file is none of Keras's, or damaged.
        MissingDependencyError: h5py is not installed.
    """
    if zipfile.is_zipfile(path):
        with _errors_named(path), zipfile.ZipFile(path) as archive:
            return {"model": parse_json(_member(archive, "config.json"), f"{path}: config.json")}
    with _opened(path) as (file, _):
        text = file.attrs.get("model_config")
    if text is None:
        return {}
    return {"model": parse_json(text, f"{path}: the model's configuration")}


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, int]]:
    """The HDF5 file, or the one inside a ``.keras`` archive, and its size in bytes."""
    try:
        import h5py
    except ImportError as error:
        raise MissingDependencyError(
            "Reading Keras's files needs h5py; install with: pip install 'mnv2deploy[build]'"
        ) from error
    with _errors_named(path):
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                data = _member(archive, "model.weights.h5")
            with h5py.File(io.BytesIO(data), "r") as file:
                yield file, len(data)
        else:
            with h5py.File(path, "r") as file:
                yield file, path.stat().st_size


@contextlib.contextmanager
def _errors_named(path: Path) -> Iterator[None]:
    try:
        yield
    # h5py raises all of these on damaged files, zipfile the rest.
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CheckpointError(
            f"{path} is not a file of Keras's (.h5 or .keras), or is damaged ({_in_few_words(error)})."
        ) from error


def _in_few_words(error: Exception) -> str:
    return str(error).partition("\n")[0][:120].rstrip(".")


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as stream:
        data = stream.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ValueError(f"{name} is larger than any MobileNetV2")
    return data


def _walk(group: Any, prefix: str, path: Path, size: int) -> Iterator[tuple[str, NDArray[Any]]]:
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):  # a soft link may make a circle, an external one leads to other files
            raise CheckpointError(f"{path}: {prefix}{name} is a link; Keras writes none.")
        if name in _NOT_WEIGHTS:
            continue
        entry = group[name]
        if isinstance(entry, h5py.Group):
            if prefix.count("/") > 16:
                raise CheckpointError(f"{path}: {prefix}{name} is nested deeper than any model.")
            yield from _walk(entry, f"{prefix}{name}/", path, size)
        elif isinstance(entry, h5py.Dataset) and entry.shape is not None and entry.dtype.kind in "fiu":
            yield f"{prefix}{name}", _array(entry, f"{prefix}{name}", path, size)


def _array(dataset: Any, name: str, path: Path, size: int) -> NDArray[Any]:
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{path}: {name} is kept in another file, which is not read.")
    if math.prod(dataset.shape) * dataset.dtype.itemsize > size:
        raise CheckpointError(f"{path}: {name} claims more numbers than the file holds.")
    if dataset.attrs.get("dtype") == "bfloat16":
        bits = np.asarray(dataset).view(np.uint16).astype(np.uint32)
        return (bits << 16).view(np.float32)
    return np.asarray(dataset)
