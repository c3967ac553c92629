"""Writing a few nodes before or after those of a graph."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from mnv2deploy.contract import Meaning

Operand = str | NDArray[Any] | np.generic


@dataclass(frozen=True, slots=True)
class Answer:
    """An output of a finished graph.

    Attributes:
        meaning: As the contract has it.
        name: Of the tensor.
        type: Of its values, as ONNX numbers them.
        shape: Of one picture's.
    """

    meaning: Meaning
    name: str
    type: int
    shape: tuple[int, ...]


class Nodes:
    """A list of nodes, written one after the other; called with an operator, it adds one.

    Args:
        prefix: Of the names of all nodes, tensors and constants, so that none is one of the graph's own.

    Attributes:
        nodes: Written so far.
        constants: That they read.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def __call__(self, op: str, *operands: Operand, output: str | None = None, **attributes: Any) -> str:
        """Adds a node with one output.

        Args:
            op: Operator of the default ONNX domain.
            operands: Names of tensors, or constants.
            output: Name of the result; None for a new one.
            attributes: Of the operator.

        Returns:
            The result's name.
        """
        (result,) = self._add(op, operands, [output], attributes)
        return result

    def pair(self, op: str, *operands: Operand, **attributes: Any) -> tuple[str, str]:
        """Adds a node with two outputs and returns their names."""
        first, second = self._add(op, operands, [None, None], attributes)
        return first, second

    def _add(
        self, op: str, operands: tuple[Operand, ...], outputs: list[str | None], attributes: dict[str, Any]
    ) -> list[str]:
        name = f"{self._prefix}/{len(self.nodes)}.{op}"
        inputs = [self._input(name, place, operand) for place, operand in enumerate(operands)]
        results = [output or (name if place == 0 else f"{name}:{place}") for place, output in enumerate(outputs)]
        self.nodes.append(helper.make_node(op, inputs, results, name=name, **attributes))
        return results

    def _input(self, node: str, place: int, operand: Operand) -> str:
        if isinstance(operand, str):
            return operand
        name = f"{node}.constant{place}"
        self.constants.append(numpy_helper.from_array(np.asarray(operand), name))
        return name
