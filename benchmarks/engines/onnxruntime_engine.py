"""The same file in a bare onnxruntime session, all defaults but the number of threads."""

from types import SimpleNamespace
from typing import Any

import onnxruntime

from engines.peer import Outputs, Peer


class Engine(Peer):
    """An `InferenceSession`."""

    def __init__(self, model: str, contract: SimpleNamespace, threads: int) -> None:
        super().__init__(contract, threads)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        self._names = [output.name for output in contract.outputs]
        self.description = onnxruntime.__version__

    def run(self, feed: Any) -> Outputs:
        outputs: Outputs = self._session.run(self._names, {self.contract.input.name: feed})
        return outputs
