"""Make mmsegmentation.npz: what mmsegmentation's M-V2-D8 segmenters answer with weights made of their names.

    python make_mmsegmentation.py [--output FILE]

Without mmsegmentation in this Python (3.11) the script makes an environment for itself and starts again in it. It
downloads no weights. The networks run in float64, so that only the test's own rounding is left to tolerate.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import types
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = [
    *("torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1"),
    *("mmengine==0.10.7", "ftfy==6.3.1", "regex", "prettytable"),
]
WITHOUT_DEPENDENCIES = ["mmcv-lite==2.1.0", "mmsegmentation==1.2.2"]
HEADS = ("fcn", "pspnet", "deeplabv3", "deeplabv3plus")
# Its names of the trainings; and of every so manieth logit the reference keeps one.
TRAININGS = {
    "cityscapes": ("4xb2-80k_cityscapes-512x1024", 7),
    "ade20k": ("4xb4-160k_ade20k-512x512", 23),
}
# On a grid of 16 x 16 PSPNet's 3 and 6 regions do not divide a side; on 12 x 40 the widest dilation, 36, reaches over.
SIZES = ((128, 128), (96, 320))
MASKS_OF = "cityscapes"  # at the size of the input


def restart_with_mmsegmentation() -> None:
    """Run this very command in a new environment that has mmsegmentation."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, *REQUIREMENTS], check=True)
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
        raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode)


class _NoOperators(types.ModuleType):
    """Stands in for mmcv's compiled operators, which mmcv-lite has not and these networks do not need."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def build(head: str, training: str) -> Any:
    """Build the network of mmsegmentation's own configuration, and fill every tensor of it by its name."""
    import mmseg
    import torch
    from deterministic_weights import weight
    from mmengine.config import Config
    from mmengine.model.utils import revert_sync_batchnorm
    from mmengine.registry import init_default_scope
    from mmseg.models import build_segmentor

    init_default_scope("mmseg")
    configs = Path(mmseg.__file__).parent / ".mim" / "configs" / "mobilenet_v2"
    config = Config.fromfile(configs / f"mobilenet-v2-d8_{head}_{training}.py")
    model = revert_sync_batchnorm(build_segmentor(config.model)).eval()  # made for many GPUs; the same numbers
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    model.load_state_dict({name: torch.from_numpy(weight(name, shape)) for name, shape in shapes.items()}, strict=True)
    return model.double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "mmsegmentation.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("mmseg") is None:
        restart_with_mmsegmentation()
    sys.modules["mmcv.ops"] = _NoOperators("mmcv.ops")
    import mmengine
    import mmseg
    import numpy as np
    import torch
    from deterministic_weights import picture
    from mmseg.utils import get_classes, get_palette

    runtime = {package.__name__: package.__version__ for package in (mmseg, mmengine, torch, np)}
    meta: dict[str, Any] = {"runtime": runtime}
    arrays = {}
    for name, (training, step) in TRAININGS.items():
        meta[name] = {"step": step, "classes": get_classes(name), "palette": get_palette(name)}
        for head in HEADS:
            case = f"{head}-{name}"
            model = build(head, training)
            meta[case] = {
                "shapes": {key: list(tensor.shape) for key, tensor in model.state_dict().items()},
                "parameters": sum(
                    parameter.numel()
                    for key, parameter in model.named_parameters()
                    if not key.startswith("auxiliary_head.")
                ),
            }
            for height, width in SIZES:
                x = torch.from_numpy(picture(1, height, width)).double()
                with torch.inference_mode():
                    logits = model.decode_head(model.extract_feat(x))
                    shape = {"img_shape": (height, width), "ori_shape": (height, width), "pad_shape": (height, width)}
                    mask = model.encode_decode(x, [shape]).argmax(dim=1)[0].numpy().astype(np.uint8)
                key = f"{case}/{height}x{width}"
                found = logits.numpy()
                arrays[f"{key}/logits"] = found.ravel()[::step].astype(np.float32)
                arrays[f"{key}/shape"] = np.array(found.shape, np.int32)
                arrays[f"{key}/range"] = np.array([found.min(), found.max()])
                if name == MASKS_OF:
                    arrays[f"{key}/mask"] = mask
                print(f"{key}: {found.shape}, {found.min():.3f} to {found.max():.3f}, {len(np.unique(mask))} classes")
    arrays["meta"] = np.array(json.dumps(meta, sort_keys=True))
    np.savez_compressed(args.output, **arrays)  # numpy dates every member 1980, so equal arrays give equal bytes
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
