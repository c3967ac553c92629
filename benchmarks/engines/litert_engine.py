"""LiteRT (once TensorFlow Lite) with XNNPACK, on a .tflite made of the torch network: see `conversion`."""

from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

from ai_edge_litert.interpreter import Interpreter

from engines.peer import Outputs, Peer


class Engine(Peer):
    """An `Interpreter`; its delegate to XNNPACK is on by default."""

    def __init__(self, model: str, contract: SimpleNamespace, threads: int) -> None:
        super().__init__(contract, threads, channels_last=True)
        self._interpreter = Interpreter(model_path=model, num_threads=threads)
        self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        details = self._interpreter.get_signature_runner().get_output_details()
        self._outputs = [details[name]["index"] for name in sorted(details)]
        self.description = version("ai-edge-litert")

    def run(self, feed: Any) -> Outputs:
        self._interpreter.set_tensor(self._input, feed)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index) for index in self._outputs]
