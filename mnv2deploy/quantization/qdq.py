"""The quantized graph in QDQ form: every eight-bit value between a QuantizeLinear and a DequantizeLinear.

onnxruntime turns ``DequantizeLinear -> Conv -> QuantizeLinear`` into QLinearConv and its like; other runtimes read the
same pairs. An activation is left out where the eight bits cut at the same values.
"""

from __future__ import annotations

import onnx

from mnv2deploy.quantization.cpu_writer import CpuWriter
from mnv2deploy.quantization.encodings import Encodings
from mnv2deploy.quantization.graph import Graph
from mnv2deploy.quantization.writer import Writer


def write(
    graph: Graph,
    encodings: Encodings,
    *,
    picture_bytes: bool,
    float_biases: bool = False,
    onnxruntime_cpu: bool = True,
) -> onnx.ModelProto:
    """The quantized model.

    Args:
        graph: With the float weights of layers that stay in float32.
        encodings: Of the rest.
        picture_bytes: Whether the input is (N, H, W, 3) uint8, the picture itself, in the encoding of the graph's
            input; otherwise it is float32 as the graph's.
        float_biases: Whether biases are float32 constants, as TensorRT wants them, and not int32 to be dequantized.
        onnxruntime_cpu: Whether layers are written in the form that onnxruntime's CPU kernels are fast at, see
            `cpu_writer`; otherwise each stays the convolution it is.
    """
    writer = (CpuWriter if onnxruntime_cpu else Writer)(graph, encodings, float_biases=float_biases)
    return writer.write(picture_bytes)
