"""Make hf_mobilenet_v2.npz: what Hugging Face transformers' MobileNetV2 answers with weights made of their names.

    python make_hf_mobilenet_v2.py [--output FILE]

Without transformers in this Python (3.11 to 3.14) the script makes an environment for itself and starts again in it. It
downloads no weights. The networks run in float64, so that only the test's own rounding is left to tolerate.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["transformers==5.23.0", "torch==2.13.0", "numpy==2.4.6"]
CLASSES, BATCH = 7, 2
WIDTHS = (0.35, 0.75, 1.0, 1.4)
STRIDES = (8, 16, 32)
SIZES = ((64, 64), (65, 97), (75, 102), (96, 96))  # halves stay even; all odd, so the paddings agree; mixed


def restart_with_transformers() -> None:
    """Run this very command in a new environment that has transformers."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        subprocess.run([python, "-m", "pip", "install", "-q", *REQUIREMENTS], check=True)
        raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode)


def networks() -> Iterator[tuple[str, float, int, str, bool]]:
    """List (task, width multiplier, output stride, padding, finegrained_output)."""
    yield from product(("classification", "segmentation"), WIDTHS, STRIDES, ("tf", "torch"), (True,))
    yield from product(("classification",), (0.35, 0.75), (32,), ("tf", "torch"), (False,))


def build(task: str, width_multiplier: float, output_stride: int, padding: str, finegrained: bool) -> Any:
    """Build HF's network and fill every tensor of it by our name."""
    import torch
    from deterministic_weights import weight
    from hf_names import hf_name, our_names
    from transformers import (
        MobileNetV2Config,
        MobileNetV2ForImageClassification,
        MobileNetV2ForSemanticSegmentation,
    )

    config = MobileNetV2Config(
        depth_multiplier=width_multiplier,
        output_stride=output_stride,
        tf_padding=padding == "tf",
        finegrained_output=finegrained,
        num_labels=CLASSES,
    )
    kind = MobileNetV2ForImageClassification if task == "classification" else MobileNetV2ForSemanticSegmentation
    model = kind(config).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    ours = {hf_name(name): name for name in our_names(task)}
    filled = {name: torch.from_numpy(weight(ours[name], shape)) for name, shape in shapes.items()}
    model.load_state_dict(filled, strict=True)
    return model.double()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "hf_mobilenet_v2.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("transformers") is None:
        restart_with_transformers()
    import numpy as np
    import torch
    import transformers
    from deterministic_weights import picture
    from hf_names import Case

    torch.set_num_threads(1)
    runtime = {package.__name__: package.__version__ for package in (transformers, torch, np)}
    meta = {"runtime": runtime, "batch": BATCH, "classes": CLASSES}
    arrays = {"meta": np.array(json.dumps(meta, sort_keys=True))}
    for task, width_multiplier, output_stride, padding, finegrained in networks():
        model = build(task, width_multiplier, output_stride, padding, finegrained)
        classifies = task == "classification"
        last_channels = model.mobilenet_v2.conv_1x1.convolution.out_channels if classifies else 0
        for height, width in SIZES:
            case = Case(task, width_multiplier, output_stride, padding, last_channels, height, width)
            with torch.inference_mode():
                logits = model(torch.from_numpy(picture(BATCH, height, width)).double()).logits.numpy()
            arrays[case.key] = (logits if classifies else logits[:1]).astype(np.float32)
            print(f"{case.key}: {logits.shape}, standard deviation {logits.std():.3f}")
    np.savez_compressed(args.output, **arrays)  # numpy dates every member 1980, so equal arrays give equal bytes
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
