"""Make segmentation_metrics.json: what mmsegmentation and torchmetrics say masks are worth.

    mnv2deploy evaluate deeplabv3-voc DATA/voc/val --save-predictions PREDICTIONS
    python make_segmentation_metrics.py PREDICTIONS DATA/voc/val/masks [--output FILE]

Without mmsegmentation in this Python (3.11) the script makes an environment for itself and starts again in it. Only
numbers and hashes are kept, no mask.
"""

import argparse
import hashlib
import importlib.util
import json
import math
import subprocess
import sys
import tempfile
import types
import venv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = [
    *("torch==2.13.0", "numpy==2.4.6", "torchmetrics==1.9.0", "pillow==12.0.0"),
    *("mmengine==0.10.7", "ftfy==6.3.1", "regex", "prettytable"),
]
WITHOUT_DEPENDENCIES = ["mmcv-lite==2.1.0", "mmsegmentation==1.2.2"]
VOC_CLASSES, IGNORED = 21, 255


def restart_with_peers() -> None:
    """Run this very command in a new environment that has the peers."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, *REQUIREMENTS], check=True)
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
        raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode)


class _NoOperators(types.ModuleType):
    """Stands in for mmcv's compiled operators, which mmcv-lite has not and metrics do not need."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


def by_mmseg(pairs: Iterable[tuple[Any, Any]], classes: int) -> dict[str, Any]:
    """Its IoUMetric; the counts are added in float64, where mmseg rounds them to float32."""
    import torch

    sys.modules["mmcv.ops"] = _NoOperators("mmcv.ops")
    from mmseg.evaluation.metrics.iou_metric import IoUMetric

    counts = [
        IoUMetric.intersect_and_union(torch.from_numpy(answer), torch.from_numpy(truth), classes, IGNORED)
        for truth, answer in pairs
    ]
    totals = [sum(count.double() for count in column) for column in zip(*counts, strict=True)]
    found = IoUMetric.total_area_to_metrics(*totals)
    return {
        "mean_iou": _mean(found["IoU"]),
        "pixel_accuracy": float(found["aAcc"]),
        "mean_accuracy": _mean(found["Acc"]),
        "iou": [None if math.isnan(value) else value for value in found["IoU"].tolist()],
    }


def _mean(values: Any) -> float:
    """As IoUMetric.compute_metrics takes it, but not rounded to four digits."""
    import numpy as np

    return float(np.nanmean(values))


def by_torchmetrics(pairs: Iterable[tuple[Any, Any]], classes: int) -> dict[str, float]:
    """Its Jaccard index, macro and micro, and accuracy."""
    import torch
    from torchmetrics.classification import MulticlassAccuracy, MulticlassJaccardIndex

    metrics = {
        "mean_iou": MulticlassJaccardIndex(classes, average="macro", ignore_index=IGNORED),
        "pixel_accuracy": MulticlassAccuracy(classes, average="micro", ignore_index=IGNORED),
    }
    for truth, answer in pairs:
        for metric in metrics.values():
            metric.update(torch.from_numpy(answer).long().flatten(), torch.from_numpy(truth).long().flatten())
    return {name: float(metric.compute()) for name, metric in metrics.items()}


def digest(masks: Iterable[Any]) -> str:
    """Of sizes and pixels, in order."""
    found = hashlib.sha256()
    for mask in masks:
        found.update(f"{mask.shape} ".encode() + mask.tobytes())
    return found.hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("predictions", type=Path)
    parser.add_argument("masks", type=Path)
    parser.add_argument("--output", type=Path, default=HERE / "segmentation_metrics.json")
    args = parser.parse_args()
    if importlib.util.find_spec("mmseg") is None or importlib.util.find_spec("torchmetrics") is None:
        restart_with_peers()
    import mmseg
    import numpy as np
    import torch
    import torchmetrics
    from made_masks import CLASSES, made_masks
    from PIL import Image

    files = sorted(args.masks.glob("*.png"))
    truths = [np.array(Image.open(file)) for file in files]
    answers = [np.array(Image.open(args.predictions / file.name)) for file in files]
    cases = {"made": (list(made_masks()), CLASSES), "voc_val": (list(zip(truths, answers, strict=True)), VOC_CLASSES)}
    document: dict[str, Any] = {
        "runtime": {package.__name__: package.__version__ for package in (mmseg, torchmetrics, torch, np)}
    }
    for name, (pairs, classes) in cases.items():
        document[name] = {
            "pictures": len(pairs),
            "truths_sha256": digest(truth for truth, _ in pairs),
            "answers_sha256": digest(answer for _, answer in pairs),
            "mmseg": by_mmseg(pairs, classes),
            "torchmetrics": by_torchmetrics(pairs, classes),
        }
    args.output.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(args.output.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
