"""Make huggingface.npz: what transformers' MobileNetV2 answers with weights made of its own names, and its config.json.

    python make_huggingface.py [--output FILE]

Without transformers in this Python the script makes an environment for itself and starts again in it.
"""

import argparse
import importlib.util
import json
from pathlib import Path

from origin_cases import CLASSES, restart_with, run_torch, save

HERE = Path(__file__).resolve().parent
REQUIREMENTS = ["transformers==5.23.0", "torch==2.13.0", "numpy==2.4.6"]
# Task, and the settings of its config.json that are not transformers' defaults.
NETWORKS = {
    "classifier": ("classification", {"depth_multiplier": 1.0}),
    "narrow": ("classification", {"depth_multiplier": 0.75, "finegrained_output": False, "tf_padding": False}),
    "dense": ("classification", {"depth_multiplier": 0.35, "output_stride": 16, "layer_norm_eps": 1e-5}),
    "segmenter": ("segmentation", {"depth_multiplier": 0.5, "output_stride": 8}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=HERE / "huggingface.npz")
    args = parser.parse_args()
    if importlib.util.find_spec("transformers") is None:
        restart_with(REQUIREMENTS)
    import torch
    import transformers
    from transformers import MobileNetV2Config, MobileNetV2ForImageClassification, MobileNetV2ForSemanticSegmentation

    torch.set_num_threads(1)
    labels = {column: f"kind {column}" for column in range(CLASSES)}
    cases = []
    for name, (task, settings) in NETWORKS.items():
        config = MobileNetV2Config(num_labels=CLASSES, id2label=labels, **settings)
        kind = MobileNetV2ForImageClassification if task == "classification" else MobileNetV2ForSemanticSegmentation
        cases.append(run_torch(kind(config), name, {"config": json.loads(config.to_json_string(use_diff=False))}))
    save(args.output, {"transformers": transformers.__version__, "torch": torch.__version__}, cases)


if __name__ == "__main__":
    main()
