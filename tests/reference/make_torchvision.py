"""Make torchvision.npz: what torchvision's MobileNetV2 answers with weights made of its own names.

    python make_torchvision.py [--output FILE] [--quantization FILE] [--work FOLDER]

And torchvision_quantization.npz: the same of that of its quantization package, at every step on the way to eight bits.

There is no CPU build of torchvision and its operators do not load without CUDA's, so the wheel is unpacked and the
files of the network alone are imported from it.
"""

import argparse
import importlib
import importlib.util
import sys
import tempfile
import types
import zipfile
from pathlib import Path
from typing import Any

from hollow import stand_in_for
from origin_cases import CLASSES, restart_with, run_torch, save

HERE = Path(__file__).resolve().parent
VERSION = "0.29.1"
REQUIREMENTS = ["torch==2.13.0", "numpy==2.4.6", "pillow", "opencv-python-headless"]
WIDTHS = (0.35, 1.0, 1.4)
GAIN = 0.85  # of networks with ReLU: activations pass 6, and stay small enough for biases to count


def packages_without_their_init(folder: Path, *names: str) -> None:
    """Make packages importable whose __init__ wants CUDA."""
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = module


def on_the_way_to_eight_bits(quantizable: Any) -> dict[str, Any]:
    """Make the networks people save: fused or not, with observers or fake quantizers or without.

    Their weights and observers are filled later, and so are the switches of the fake quantizers: with less than 1,
    which is 0 of an integer, and turns them off.
    """
    from torch.ao import quantization

    def network(width: float, *, is_fused: bool, is_qat: bool = False, activation: str = "relu") -> Any:
        if activation == "relu":
            built = quantizable.mobilenet_v2(weights=None, quantize=False, num_classes=CLASSES, width_mult=width)
        else:  # ReLU6, as the class by itself has it
            built = quantizable.QuantizableMobileNetV2(CLASSES, width, block=quantizable.QuantizableInvertedResidual)
        built.train(is_qat)
        if is_fused:
            built.fuse_model(is_qat=is_qat)
        observer = quantization.QConfig(quantization.default_observer, quantization.default_weight_observer)
        built.qconfig = quantization.get_default_qat_qconfig("qnnpack") if is_qat else observer
        return built

    return {
        "unfused": network(0.35, is_fused=False),
        "unfused_observed": quantization.prepare(network(0.35, is_fused=False)),
        "unfused_prepared": quantization.prepare_qat(network(0.35, is_fused=False, is_qat=True)),
        "relu6_observed": quantization.prepare(network(0.35, is_fused=False, activation="relu6")),
        "relu6_prepared": quantization.prepare_qat(network(0.35, is_fused=False, is_qat=True, activation="relu6")),
        "folded": network(0.35, is_fused=True),
        "folded_observed": quantization.prepare(network(1.4, is_fused=True)),
        "fused": network(0.35, is_fused=True, is_qat=True),
        "prepared": quantization.prepare_qat(network(0.75, is_fused=True, is_qat=True)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "torchvision.npz")
    parser.add_argument("--quantization", type=Path, default=HERE / "torchvision_quantization.npz")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        restart_with(REQUIREMENTS)
    from download import wheel  # it reads pictures, for which OpenCV is needed

    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        with zipfile.ZipFile(wheel(f"torchvision=={VERSION}", folder)) as archive:
            archive.extractall(folder / "torchvision")
        packages = ["torchvision" + part for part in ("", ".models", ".ops", ".models.quantization")]
        packages_without_their_init(folder / "torchvision", *packages)
        stand_in_for("torchvision.transforms")
        network = importlib.import_module("torchvision.models.mobilenetv2")
        quantizable = importlib.import_module("torchvision.models.quantization.mobilenetv2")
        import torch

        torch.set_num_threads(1)
        cases = [run_torch(network.MobileNetV2(CLASSES, width), f"w{width}") for width in WIDTHS]
        steps = on_the_way_to_eight_bits(quantizable)
        quantization_cases = [run_torch(model, name, gain=GAIN) for name, model in steps.items()]
    runtime = {"torchvision": VERSION, "torch": torch.__version__}
    save(args.output, runtime, cases)
    save(args.quantization, runtime, quantization_cases)


if __name__ == "__main__":
    main()
