"""The product itself, as its users call it."""

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

import mnv2deploy


class Engine:
    """`mnv2deploy.load`."""

    def __init__(self, model: str, contract: SimpleNamespace, threads: int) -> None:  # noqa: ARG002
        cv2.setNumThreads(threads)
        self._pipeline = mnv2deploy.load(model, threads=threads)
        self.description = f"{mnv2deploy.__version__}, onnxruntime {onnxruntime.__version__}"

    def feed(self, tensor: NDArray[np.float32 | np.uint8]) -> NDArray[np.float32 | np.uint8]:
        return tensor

    def run(self, feed: NDArray[np.float32 | np.uint8]) -> list[NDArray[Any]]:
        return self._pipeline.session.run(feed)

    def answer(self, path: str) -> Any:
        return self._pipeline(path)

    def as_array(self, answer: Any) -> NDArray[Any]:
        """In the form `decoding` describes."""
        if isinstance(answer, mnv2deploy.SegmentationResult):
            return answer.mask
        if isinstance(answer, mnv2deploy.ClassificationResult):
            return np.array([(entry.class_id, entry.score) for entry in answer.classes])
        return np.array([(entry.class_id, entry.score, *entry.box) for entry in answer.detections]).reshape(-1, 6)
