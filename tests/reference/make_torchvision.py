"""Make torchvision.npz: what torchvision's MobileNetV2 answers with weights made of its own names.

    python make_torchvision.py [--output FILE] [--work FOLDER]

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

from download import wheel
from hollow import stand_in_for
from origin_cases import CLASSES, restart_with, run_torch, save

HERE = Path(__file__).resolve().parent
VERSION = "0.29.1"
REQUIREMENTS = ["torch==2.13.0", "numpy==2.4.6", "pillow", "opencv-python-headless"]
WIDTHS = (0.35, 1.0, 1.4)


def packages_without_their_init(folder: Path, *names: str) -> None:
    """Make packages importable whose __init__ wants CUDA."""
    for name in names:
        module = types.ModuleType(name)
        module.__path__ = [str(folder.joinpath(*name.split(".")))]
        sys.modules[name] = module


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "torchvision.npz")
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    if importlib.util.find_spec("torch") is None:
        restart_with(REQUIREMENTS)
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.work or Path(temporary)
        with zipfile.ZipFile(wheel(f"torchvision=={VERSION}", folder)) as archive:
            archive.extractall(folder / "torchvision")
        packages_without_their_init(folder / "torchvision", "torchvision", "torchvision.models", "torchvision.ops")
        stand_in_for("torchvision.transforms")
        network = importlib.import_module("torchvision.models.mobilenetv2")
        import torch

        torch.set_num_threads(1)
        cases = [run_torch(network.MobileNetV2(CLASSES, width), f"w{width}") for width in WIDTHS]
    save(args.output, {"torchvision": VERSION, "torch": torch.__version__}, cases)


if __name__ == "__main__":
    main()
