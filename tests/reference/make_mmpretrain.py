"""Make mmpretrain.npz: what mmpretrain's MobileNetV2 classifier answers with weights made of its names.

    python make_mmpretrain.py [--output FILE]

Without mmpretrain in this Python the script makes an environment for itself and starts again in it.
"""

import argparse
import importlib.util
from pathlib import Path
from typing import Any

from hollow import stand_in_for
from origin_cases import CLASSES, restart_with, run_torch, save

HERE = Path(__file__).resolve().parent
REQUIREMENTS = [
    *("torch==2.13.0", "numpy==2.4.6", "mmengine==0.10.7", "importlib_metadata==8.5.0"),
    *("rich", "einops", "mat4py", "setuptools"),
]
BARE = ("mmcv-lite==2.1.0", "mmpretrain==1.2.0")
WIDTHS = {0.5: 1280, 1.0: 1280, 1.33: 1702}  # and the channels of the last convolution: int(1280 * 1.33)


def network(width: float, last_channels: int) -> Any:
    import torch
    from mmpretrain.registry import MODELS

    class Logits(torch.nn.Module):
        """Calls the classifier as exporting it does: to the logits."""

        def __init__(self, model: torch.nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.model(x, mode="tensor")

        def state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return self.model.state_dict(*args, **kwargs)

        def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
            return self.model.load_state_dict(*args, **kwargs)

    model = MODELS.build(
        {
            "type": "ImageClassifier",
            "backbone": {"type": "MobileNetV2", "widen_factor": width},
            "neck": {"type": "GlobalAveragePooling"},
            "head": {"type": "LinearClsHead", "num_classes": CLASSES, "in_channels": last_channels},
        }
    )
    return Logits(model)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "mmpretrain.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("mmpretrain") is None:
        restart_with(REQUIREMENTS, BARE)
    stand_in_for("torchvision", "modelindex", "mmcv.ops", "mmcv._ext")
    import mmpretrain
    import torch
    from mmpretrain.utils import register_all_modules

    register_all_modules()
    torch.set_num_threads(1)
    cases = [run_torch(network(width, last), f"w{width}") for width, last in WIDTHS.items()]
    save(args.output, {"mmpretrain": mmpretrain.__version__, "torch": torch.__version__}, cases)


if __name__ == "__main__":
    main()
