"""NNCF's `nncf.quantize` on the ONNX graph.

    python -m quantizers.nncf_quantizer MODEL TENSORS OUTPUT OPTIONS

OPTIONS is JSON, on top of the MIXED preset (symmetric weights, asymmetric activations) which its documentation advises
for networks like this: ``fast_bias_correction`` (false: the slower, better one), ``per_tensor_activations`` (true: one
scale for an activation, as onnxruntime's integer kernels want it, also before depthwise convolutions).
"""

import json
import sys

import nncf
import numpy as np
import onnx
from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, QuantizationParameters


def main() -> None:
    """Quantizes."""
    source, tensors, output, options = sys.argv[1:]
    settings = json.loads(options)
    model = onnx.load(source)
    name = model.graph.input[0].name
    pictures = np.load(tensors, mmap_mode="r")
    advanced = AdvancedQuantizationParameters()
    if settings.get("per_tensor_activations"):
        advanced.activations_quantization_params = QuantizationParameters(per_channel=False)
    quantized = nncf.quantize(
        model,
        nncf.Dataset(range(len(pictures)), lambda index: {name: np.array(pictures[index : index + 1])}),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(pictures),
        fast_bias_correction=settings.get("fast_bias_correction", True),
        advanced_parameters=advanced,
    )
    onnx.save(quantized, output)


if __name__ == "__main__":
    main()
