"""Make timm.npz: what timm's mobilenetv2 networks answer with weights made of their names.

    python make_timm.py [--output FILE]

Without timm in this Python the script makes an environment for itself and starts again in it. It downloads no weights.
"""

import argparse
import importlib.util
from pathlib import Path

from hollow import stand_in_for
from origin_cases import CLASSES, restart_with, run_torch, save

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["torch==2.13.0", "numpy==2.4.6", "pillow", "pyyaml", "huggingface_hub", "safetensors"]
MODELS = ("mobilenetv2_050", "mobilenetv2_110d", "mobilenetv2_120d", "mobilenetv2_140")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "timm.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("timm") is None:
        restart_with(REQUIREMENTS, bare=("timm==1.0.29",))
    stand_in_for("torchvision")
    import timm
    import torch

    torch.set_num_threads(1)
    cases = [run_torch(timm.create_model(name, num_classes=CLASSES), name) for name in MODELS]
    save(args.output, {"timm": timm.__version__, "torch": torch.__version__}, cases)


if __name__ == "__main__":
    main()
