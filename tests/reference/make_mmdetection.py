"""Make mmdetection.npz: what mmdetection's ssdlite_mobilenetv2 answers with weights made of their names.

    python make_mmdetection.py [--output FILE]

Without mmdetection in this Python (3.11) the script makes an environment for itself and starts again in it. It
downloads no weights. The network and its decoding run in float64, so that only the test's own rounding is left to
tolerate.

mmcv-lite has no compiled operators. Of them the detector needs `batched_nms` alone, for its last step; the one below
stands in for it, in plain torch. Everything before it, the clipped boxes and their scores, and what follows, is
mmdetection's own code.
"""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REQUIREMENTS = [
    *("torch==2.13.0", "numpy==2.4.6", "scipy==1.17.1", "opencv-python==5.0.0.93"),
    *("mmengine==0.10.7", "terminaltables==3.1.10", "six", "tqdm"),
]
WITHOUT_DEPENDENCIES = ["mmcv-lite==2.1.0", "mmdet==3.3.0"]
CONFIG = "ssd/ssdlite_mobilenetv2-scratch_8xb24-600e_coco.py"
SIZES = ((320, 320), (320, 256))
CANDIDATES = (1000, 30)  # a feature map: the configuration's, and so few that it tells
STEP = 23  # of the anchors' rows one in so many is kept; it divides no feature map's number of anchors


def restart_with_mmdetection() -> None:
    """Run this very command in a new environment that has mmdetection."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        install = [python, "-m", "pip", "install", "-q"]
        subprocess.run([*install, *REQUIREMENTS], check=True)
        subprocess.run([*install, "--no-deps", *WITHOUT_DEPENDENCIES], check=True)
        raise SystemExit(subprocess.run([python, __file__, *sys.argv[1:]], check=False).returncode)


def batched_nms(boxes: Any, scores: Any, classes: Any, nms_cfg: dict[str, Any], class_agnostic: bool = False) -> Any:
    """Suppress per class, one box at a time: mmcv.ops.batched_nms (2.1.0) for `type="nms"`, by its documentation.

    Returns:
        The boxes kept with their scores, (K, 5), and their indices, by falling score.
    """
    import torch

    settings = dict(nms_cfg)
    threshold = settings.pop("iou_threshold")
    if settings.pop("type") != "nms" or settings or class_agnostic:
        raise NotImplementedError(nms_cfg)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(dim=1)
    left = scores.argsort(descending=True, stable=True)
    kept = []
    while len(left):
        best, left = left[0], left[1:]
        kept.append(best)
        low = torch.maximum(boxes[left, :2], boxes[best, :2])
        high = torch.minimum(boxes[left, 2:], boxes[best, 2:])
        common = (high - low).clamp(min=0).prod(dim=1)
        overlap = common / (sizes[left] + sizes[best] - common)
        left = left[(overlap <= threshold) | (classes[left] != classes[best])]
    kept = torch.stack(kept)
    return torch.cat([boxes[kept], scores[kept, None]], dim=1), kept


def build() -> Any:
    """Build the network of mmdetection's own configuration, and fill every tensor of it by its name."""
    import mmdet
    import torch
    from deterministic_weights import detector_weight
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope("mmdet")
    config = Config.fromfile(Path(mmdet.__file__).parent / ".mim" / "configs" / CONFIG)
    model = MODELS.build(config.model).eval()
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    state = {name: torch.from_numpy(detector_weight(name, shape)) for name, shape in shapes.items()}
    model.load_state_dict(state, strict=True)
    # mmdetection 3.3.0 asks every head for its loss before it decodes, and SSDHead has none: an AttributeError there.
    model.bbox_head.loss_cls = None
    return config, model.double()


def raw_outputs(model: Any, x: Any) -> tuple[Any, Any]:
    """Class scores (A, 81) and box outputs (A, 4), in the order mmdetection flattens them for its own decoding."""
    import torch

    scores, boxes = model.bbox_head(model.extract_feat(x))
    return tuple(
        torch.cat([level.permute(0, 2, 3, 1).reshape(-1, columns) for level in levels])
        for levels, columns in ((scores, model.bbox_head.cls_out_channels), (boxes, 4))
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "mmdetection.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("mmdet") is None:
        restart_with_mmdetection()
    from hollow import stand_in_for

    stand_in_for("mmcv.ops", "pycocotools", "shapely")
    import mmcv.ops

    mmcv.ops.batched_nms = batched_nms
    import mmdet
    import mmengine
    import numpy as np
    import torch
    from deterministic_weights import photo, picture, uniform
    from mmdet.datasets import CocoDataset
    from mmdet.registry import TRANSFORMS

    config, model = build()
    meta: dict[str, Any] = {
        "runtime": {package.__name__: package.__version__ for package in (mmdet, mmengine, torch, np)},
        "step": STEP,
        "classes": CocoDataset.METAINFO["classes"],
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "shapes": {name: list(tensor.shape) for name, tensor in model.state_dict().items()},
    }
    arrays = {}
    for height, width in SIZES:
        with torch.inference_mode():
            found = raw_outputs(model, torch.from_numpy(picture(1, height, width)).double())
        for name, values in zip(("logits", "encodings"), found, strict=True):
            key = f"{height}x{width}/{name}"
            arrays[key] = values[::STEP].numpy().astype(np.float32)
            arrays[f"{key}/shape"] = np.array(values.shape, np.int32)
            arrays[f"{key}/range"] = np.array([values.min(), values.max()])
            print(f"{key}: {tuple(values.shape)}, {values.min():.3f} to {values.max():.3f}")

    grids = [(20, 20), (10, 10), (5, 5), (3, 3), (2, 2), (1, 1)]
    anchors = torch.cat(model.bbox_head.prior_generator.grid_priors(grids, dtype=torch.float64, device="cpu"))
    arrays["anchors"] = anchors.numpy().astype(np.float32)

    # The whole of its test: the picture resized by its pipeline, normalised by its preprocessor, found by its head.
    resized = {"img": photo()[:, :, ::-1].copy(), "img_shape": photo().shape[:2], "ori_shape": photo().shape[:2]}
    for step in config.test_pipeline[1:]:  # the first reads a file
        if step["type"] != "LoadAnnotations":
            resized = TRANSFORMS.build(step)(resized)
    data = model.data_preprocessor({"inputs": [resized["inputs"]], "data_samples": [resized["data_samples"]]})
    arrays["input"] = data["inputs"].numpy().astype(np.float32).ravel()[::STEP]
    for nms_pre in CANDIDATES:
        model.bbox_head.test_cfg.nms_pre = nms_pre
        with torch.inference_mode():
            answer = model.predict(data["inputs"].double(), data["data_samples"], rescale=True)[0].pred_instances
        arrays[f"{nms_pre}/boxes"] = answer.bboxes.numpy()
        arrays[f"{nms_pre}/scores"] = scores = answer.scores.numpy()
        arrays[f"{nms_pre}/labels"] = labels = answer.labels.numpy().astype(np.int32)
        print(
            f"nms_pre {nms_pre}: {len(scores)} boxes of {len(set(labels.tolist()))} classes, {scores[0]:.3f} to ",
            end="",
        )
        print(f"{scores[-1]:.3f}, least gap {-np.diff(scores).max():.1e}")

    # Encodings far beyond what any training makes, so that sizes are limited and boxes end at the border.
    wild = uniform("encodings", (len(anchors[::STEP]), 4), -40, 40)
    decoded = model.bbox_head.bbox_coder.decode(anchors[::STEP], torch.from_numpy(wild).double(), max_shape=(320, 320))
    arrays["decoded"] = decoded.numpy()
    arrays["meta"] = np.array(json.dumps(meta, sort_keys=True))
    np.savez_compressed(args.output, **arrays)  # numpy dates every member 1980, so equal arrays give equal bytes
    print(f"{args.output}: {args.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
