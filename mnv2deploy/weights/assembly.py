"""A state dict out of a checkpoint's tensors: every one accounted for, whatever the checkpoint calls them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import CheckpointError

Tensors = dict[str, NDArray[Any]]


class Origin(Protocol):
    """A checkpoint of some framework: knows under which name it keeps each of our tensors.

    Attributes:
        last: The checkpoint's own name of the tensor `tensor` gave last.
    """

    last: str

    def tensor(self, key: str) -> NDArray[Any]:
        """The tensor for ``key`` of our state dict, in our layout; CheckpointError where it is missing."""

    def unused(self) -> list[str]:
        """Names of the network's tensors that nothing asked for."""


def identity_norm(kind: str, bias: NDArray[Any], epsilon: float) -> NDArray[Any]:
    """A tensor of the batch norm that adds ``bias`` alone: of one that was folded into its convolution.

    Args:
        kind: ``weight``, ``bias``, ``running_mean`` or ``running_var``.
        bias: (C,), of the convolution.
        epsilon: Of the batch norm.
    """
    if kind == "bias":
        return bias
    constants = {"weight": 1.0, "running_mean": 0.0, "running_var": 1.0 - epsilon}
    return np.full(bias.shape, constants[kind], np.float32)


def assemble(origin: Origin, shapes: Mapping[str, tuple[int, ...]], where: str) -> Tensors:
    """Fills a state dict.

    Args:
        origin: The checkpoint.
        shapes: Name and shape of every tensor the network needs.
        where: File name, for messages.

    Raises:
        CheckpointError: a tensor is missing, misshapen, not finite, a variance less than 0, or has no place in the
            network; named.
    """
    state: Tensors = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = np.zeros((), np.int64)
            continue
        array = origin.tensor(key)
        if key.startswith("classifier.") and (array.shape[:1], shape[:1]) == ((1,), (2,)):
            array = np.concatenate(
                [np.zeros_like(array), array]
            )  # one output as two columns, whose softmax is its sigmoid
        if array.shape != shape:
            raise CheckpointError(
                f"{where}: {origin.last} becomes {key} with shape {array.shape}, but the network needs {shape}; "
                "the checkpoint is of another width or another number of classes."
            )
        with np.errstate(over="ignore"):  # of a float64 tensor
            state[key] = np.ascontiguousarray(array, np.float32)
        if not np.isfinite(state[key]).all():
            raise CheckpointError(f"{where}: {origin.last} holds values that are not finite in float32.")
        if key.endswith("running_var") and (state[key] < 0).any():
            raise CheckpointError(f"{where}: {origin.last} holds variances less than 0.")
    if extra := origin.unused():
        more = f" and {len(extra) - 3} more" if len(extra) > 3 else ""
        raise CheckpointError(f"{where} has tensors the network has no place for: {', '.join(extra[:3])}{more}.")
    return state
