"""How our modules are called in Hugging Face's MobileNetV2, and how the cases of its reference are."""

from dataclasses import dataclass

HEAD = {"pool": "conv_pool", "branch": "conv_aspp", "project": "conv_projection"}
BLOCK = {"expand": "expand_1x1", "depthwise": "conv_3x3", "project": "reduce_1x1"}
LAYER = {"conv": "convolution", "bn": "normalization"}
TENSORS = {"conv": ("weight",), "bn": ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}
BLOCKS = 17


def hf_name(name: str) -> str:
    """Translate `backbone.blocks.3.expand.conv.weight` to `mobilenet_v2.layer.2.expand_1x1.convolution.weight`.

    HF's stem holds our stem and our first block, which does not expand; our block I is its layer I - 1.
    """
    match name.split("."):
        case ["backbone", "stem", layer, tensor]:
            return f"mobilenet_v2.conv_stem.first_conv.{LAYER[layer]}.{tensor}"
        case ["backbone", "blocks", "0", part, layer, tensor]:
            return f"mobilenet_v2.conv_stem.{BLOCK[part]}.{LAYER[layer]}.{tensor}"
        case ["backbone", "blocks", index, part, layer, tensor]:
            return f"mobilenet_v2.layer.{int(index) - 1}.{BLOCK[part]}.{LAYER[layer]}.{tensor}"
        case ["backbone", "last", layer, tensor]:
            return f"mobilenet_v2.conv_1x1.{LAYER[layer]}.{tensor}"
        case ["classifier", tensor]:
            return name
        case ["head", "classifier", tensor]:
            return f"segmentation_head.classifier.convolution.{tensor}"
        case ["head", part, layer, tensor]:
            return f"segmentation_head.{HEAD[part]}.{LAYER[layer]}.{tensor}"
    raise ValueError(f"{name} is not the name of a tensor of ours.")


def our_names(task: str) -> list[str]:
    """List our names of all tensors of HF's model for `classification` or `segmentation`.

    HF's segmentation model has `backbone.last` too, and does not use it.
    """
    modules = ["backbone.stem"]
    for index in range(BLOCKS):
        modules += [f"backbone.blocks.{index}.{part}" for part in BLOCK if index or part != "expand"]
    modules.append("backbone.last")
    if task == "segmentation":
        modules += [f"head.{part}" for part in HEAD]
    names = [f"{module}.{layer}.{tensor}" for module in modules for layer in LAYER for tensor in TENSORS[layer]]
    classifier = "head.classifier" if task == "segmentation" else "classifier"
    return [*names, f"{classifier}.weight", f"{classifier}.bias"]


@dataclass(frozen=True)
class Case:
    """One network and one input; `key` is the name of its output in the reference."""

    task: str  # classification or segmentation
    width_multiplier: float
    output_stride: int
    padding: str  # tf or torch
    last_channels: int  # 0 in segmentation, where HF's `conv_1x1` exists but leads nowhere
    height: int
    width: int

    @property
    def key(self) -> str:
        """Spell the case: `segmentation/w0.35/os8/tf/last0/65x97`."""
        return (
            f"{self.task}/w{self.width_multiplier}/os{self.output_stride}/{self.padding}/last{self.last_channels}/"
            f"{self.height}x{self.width}"
        )


def parse_case(key: str) -> Case:
    """Read a `Case.key`."""
    task, width_multiplier, output_stride, padding, last_channels, size = key.split("/")
    height, width = size.split("x")
    return Case(
        task,
        float(width_multiplier.removeprefix("w")),
        int(output_stride.removeprefix("os")),
        padding,
        int(last_channels.removeprefix("last")),
        int(height),
        int(width),
    )
