"""onnxruntime's `quantize_static`.

    python -m quantizers.onnxruntime_quantizer MODEL TENSORS OUTPUT OPTIONS

OPTIONS is JSON: ``{}`` for its defaults; or ``{"method": "MinMax" | "Percentile"}`` for what its documentation advises
for x86 with VNNI, after its own `quant_pre_process`: QDQ, u8 activations, s8 weights with a scale for each channel.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from quantizers.calibration_reader import TensorReader

_MOST_AT_A_TIME = 8


def main() -> None:
    """Quantizes."""
    model, tensors, output, options = sys.argv[1:]
    settings = json.loads(options)
    reader = TensorReader(model, tensors)
    if not settings:
        quantize_static(model, output, reader)
        return
    with TemporaryDirectory() as folder:
        prepared = str(Path(folder) / "prepared.onnx")
        quant_pre_process(model, prepared)
        quantize_static(
            prepared,
            output,
            reader,
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod[settings["method"]],
            # Calibrators hold every intermediate of what they are given at a time: 8.6 GB for 128 pictures at 224.
            # In spite of its name this option also divides what goes to the Percentile calibrator's histograms.
            extra_options={"CalibStridedMinMax": largest_divisor(len(reader), _MOST_AT_A_TIME)},
        )


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of ``number`` up to ``most``: onnxruntime takes no stride that leaves a remainder."""
    return max(divisor for divisor in range(1, most + 1) if number % divisor == 0)


if __name__ == "__main__":
    main()
