"""Calibration pictures in the form onnxruntime's quantizer asks for, and Quark's, which is built on it."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader


class TensorReader(CalibrationDataReader):
    """Hands out prepared pictures one by one, from the first on or from a range of them.

    Args:
        model: Path of the graph; its first input takes the pictures.
        tensors: Path of a `.npy` file, (N, 3, H, W) float32.
    """

    def __init__(self, model: str, tensors: str) -> None:
        graph = onnx.load(model, load_external_data=False).graph
        constants = {tensor.name for tensor in graph.initializer}
        self._input = next(entry.name for entry in graph.input if entry.name not in constants)
        self._tensors: NDArray[np.float32] = np.load(tensors, mmap_mode="r")
        self.set_range(0, len(self._tensors))

    def __len__(self) -> int:
        """How many pictures there are in all."""
        return len(self._tensors)

    def set_range(self, start_index: int, end_index: int) -> None:
        """From which picture to which the next calls of `get_next` go."""
        self._waiting = iter(range(start_index, end_index))
        self._range = start_index, end_index

    def reset_iter(self) -> None:
        """Begins the range again; Quark passes over the pictures several times."""
        self.set_range(*self._range)

    def get_next(self) -> dict[str, Any] | None:
        """The next picture as the graph's feed, None after the last."""
        index = next(self._waiting, None)
        return None if index is None else {self._input: np.array(self._tensors[index : index + 1])}
