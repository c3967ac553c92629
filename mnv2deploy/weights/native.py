"""Our own checkpoints: a network's state dict in a ``.safetensors`` file, and in its header the card it was built from.

Whoever has the file needs nothing else: the header holds the network's parameters, its input, preprocessing, decoding
and labels, and where the weights came from before. A hash of the tensors stands there too: if somebody trained them
further, they are no longer the ones that came from there, and the file itself is where they are from.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.catalog.cards import Card, check_labels
from mnv2deploy.catalog.sources import Download
from mnv2deploy.errors import CheckpointError
from mnv2deploy.structure import build
from mnv2deploy.weights.assembly import Tensors
from mnv2deploy.weights.state_dict import StateDict

_KEY = "mnv2deploy"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightsOrigin:
    """Where weights came from: what an artifact's provenance says of them.

    Attributes:
        source: Address they were had from.
        files: Name and sha256 of each file.
        licence: SPDX.
    """

    source: str
    files: tuple[tuple[str, str], ...]
    licence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Header:
    """What stands in the file, as JSON.

    Attributes:
        card: With ``name`` and ``labels``, without ``download``.
        origin: Of the weights.
        tensors_sha256: Of all tensors, see `_digest`.
        version: Of this header.
    """

    card: Card
    origin: WeightsOrigin
    tensors_sha256: str
    version: int = field(default=_VERSION)


def native_origin(raw: Tensors, where: str) -> StateDict:
    """The checkpoint as an `Origin`: the names are ours."""
    return StateDict(raw, lambda key: key, where)


def native_bytes(card: Card, origin: WeightsOrigin, state: Mapping[str, NDArray[Any]]) -> bytes:
    """The file's content, the same bytes for the same network.

    Args:
        card: What the network was built from.
        origin: Where its weights came from.
        state: Its state dict.
    """
    from safetensors.numpy import save

    tensors = {
        name: np.ascontiguousarray(array, np.float32)
        for name, array in state.items()
        if not name.endswith("num_batches_tracked")
    }
    table = dataclasses.asdict(dataclasses.replace(card, weights=dataclasses.replace(card.weights, format="native")))
    del table["download"]
    header = {
        "version": _VERSION,
        "card": table,
        "origin": dataclasses.asdict(origin),
        "tensors_sha256": _digest(tensors),
    }
    return save(tensors, {_KEY: json.dumps(header, sort_keys=True, separators=(",", ":"))})


def native_card(path: Path) -> Card | None:
    """The card in a file's header; None where the file is not one of ours.

    Raises:
        CheckpointError: it is one, and damaged or of another version.
    """
    header = _read_header(path)
    return None if header is None else header.card


def recorded_origin(path: Path, raw: Tensors) -> WeightsOrigin | None:
    """Where a file of ours says its weights came from; None where its tensors are no longer those.

    Args:
        path: The file.
        raw: Its tensors.

    Raises:
        CheckpointError: the header is damaged.
    """
    header = _read_header(path)
    return header.origin if header is not None and header.tensors_sha256 == _digest(raw) else None


def _read_header(path: Path) -> _Header | None:
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            text = (file.metadata() or {}).get(_KEY)
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror or error}.") from error
    except Exception as error:  # the library raises a kind of its own
        raise CheckpointError(f"{path} is not a safetensors file, or is damaged ({error}).") from error
    if text is None:
        return None
    try:
        table = json.loads(text)
        if table["version"] != _VERSION:
            raise CheckpointError(
                f"{path} was written by another version of mnv2deploy, as version {str(table['version'])[:20]} of its "
                f"header; this one reads {_VERSION}."
            )
        table["card"]["download"] = Download(str(table["card"]["name"]), ())
        header = build(_Header, table)
        check_labels(header.card)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        is_ours = isinstance(error, ValueError) and not isinstance(error, json.JSONDecodeError)
        why = f" ({error})" if is_ours else ""  # others are Python's own
        raise CheckpointError(f"{path} has a header of mnv2deploy's that cannot be understood{why}.") from error
    return header


def _digest(tensors: Mapping[str, NDArray[Any]]) -> str:
    """Of names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name], "<f4")
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()
