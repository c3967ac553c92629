"""OpenVINO on the artifact itself, preprocessing inside the graph as its users have it."""

from types import SimpleNamespace
from typing import Any

import cv2
import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

from engines.peer import Outputs, Peer


class Engine(Peer):
    """Two compiled models: of the artifact's own input, and of the resized picture as OpenCV decodes it.

    Args:
        model: The artifact.
        contract: Its contract.
        threads: Of one inference.
        precision: ``f32``, or None for what OpenVINO thinks best: bf16 where the processor has instructions for it.
    """

    def __init__(self, model: str, contract: SimpleNamespace, threads: int, precision: str | None = None) -> None:
        super().__init__(contract, threads)
        core = openvino.Core()
        settings = {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": threads}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        graph = core.read_model(model)
        graph.reshape([1, *self.side, 3] if self.takes_bytes else [1, 3, *self.side])
        compiled = core.compile_model(graph, "CPU", settings)
        self._outputs = [compiled.output(output.name) for output in contract.outputs]
        self._compiled = compiled
        self._of_picture = core.compile_model(with_preprocessing(graph, contract), "CPU", settings)
        self._picture_outputs = [self._of_picture.output(output.name) for output in contract.outputs]
        used = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        self.description = f"{openvino.__version__.split('-')[0]}, {used}"

    def run(self, feed: Any) -> Outputs:
        results = self._compiled(feed)
        return [results[output] for output in self._outputs]

    def answer(self, path: str) -> Any:
        pixels = cv2.imread(path)  # BGR: the graph turns the colours round
        results = self._of_picture(self.padded(self.fit(pixels))[None])
        return self._decode([results[output] for output in self._picture_outputs], *pixels.shape[:2])


def with_preprocessing(graph: openvino.Model, contract: SimpleNamespace) -> openvino.Model:
    """The graph for a (1, H, W, 3) uint8 BGR input."""
    processor = PrePostProcessor(graph)
    tensor, steps = processor.input().tensor(), processor.input().preprocess()
    tensor.set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC")).set_color_format(ColorFormat.BGR)
    if contract.input.dtype == "float32":
        steps.convert_element_type(openvino.Type.f32).convert_color(ColorFormat.RGB)
        steps.mean(list(contract.preprocessing.mean)).scale(list(contract.preprocessing.std))
    else:
        steps.convert_color(ColorFormat.RGB)
    processor.input().model().set_layout(openvino.Layout(contract.input.layout))
    return processor.build()
