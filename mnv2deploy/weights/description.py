"""What a checkpoint says of itself: the network it is the weights of, and what else stands in its files."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mnv2deploy.catalog.cards import InputSize
from mnv2deploy.catalog.network_specs import BackboneSpec, ClassifierSpec, NetworkSpec
from mnv2deploy.contract import Preprocessing
from mnv2deploy.errors import CheckpointError
from mnv2deploy.weights.widths import Layer, describe_backbone

Shapes = Mapping[str, tuple[int, ...]]

LAYER_TENSORS = ("conv.weight", "bn.weight", "bn.bias", "bn.running_mean", "bn.running_var")


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What is known of a checkpoint before it is built. What is None its origin leaves open, or does not say.

    Attributes:
        network: Everything its tensors and its framework determine.
        input: Of the network, where the file says.
        preprocessing: For the whole of it: resize, colour, mean and std.
        labels: Names of the columns of the logits, in order.
        activation: What turns the logits into probabilities; of one output it is always ``softmax``, see
            ``is_single``.
        is_single: Whether its classifier has one output, of a sigmoid: the network gets two columns, 0 and that one,
            whose softmax is that sigmoid's answer for either class.
        align_corners: Of a segmenter: how its logits are upsampled.
        scales_itself: Whether mean and std stand in the network itself, so that no others will do.
        sides: What the input's sides have to be a multiple of; None where the network is its own at ``input`` alone.
        is_assumed: Whether ``preprocessing`` is only what the origin's own programs do: the file does not say.
        is_stride_open: Whether nothing in the file shows the backbone's output stride.
    """

    network: NetworkSpec
    input: InputSize | None = None
    preprocessing: Preprocessing | None = None
    labels: tuple[str, ...] | None = None
    activation: Literal["softmax", "sigmoid"] | None = None
    is_single: bool = False
    align_corners: bool | None = None
    scales_itself: bool = False
    sides: int | None = 1
    is_assumed: bool = False
    is_stride_open: bool = False


def backbone_keys(blocks: int, *, last: bool) -> list[str]:
    """The names our state dict has for a backbone, without the counters of batches, in the order its layers run.

    Args:
        blocks: How many bottlenecks; 17 in the paper.
        last: Whether it has the last 1x1 convolution.
    """
    return [f"{layer}.{tensor}" for layer in _layers(blocks, last=last) for tensor in LAYER_TENSORS]


def _layers(blocks: int, *, last: bool) -> Iterator[str]:
    yield "backbone.stem"
    for index in range(blocks):
        yield from (
            f"backbone.blocks.{index}.{part}"
            for part in ("expand", "depthwise", "project")
            if index or part != "expand"
        )
    if last:
        yield "backbone.last"


def require_names(names: Iterable[str], shapes: Collection[str], where: str, *, ignored: Iterable[str] = ()) -> None:
    """Checks that a checkpoint has the tensors of its network and no others.

    Args:
        names: What it should have, in the order of the layers.
        shapes: What it has.
        where: File name, for messages.
        ignored: What it may have besides.

    Raises:
        CheckpointError: naming the first three that are missing, or that there is no place for.
    """
    expected = list(names)
    if missing := [name for name in expected if name not in shapes]:
        raise CheckpointError(f"{where} lacks {_first_of(missing)}.")
    known = {*expected, *ignored}
    if extra := [name for name in shapes if name not in known and not name.endswith("num_batches_tracked")]:
        raise CheckpointError(f"{where} has tensors the network has no place for: {_first_of(extra)}.")


def _first_of(names: Sequence[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def require_one_layer(backbone: Collection[str], shapes: Shapes, where: str) -> None:
    """Checks that behind a whole backbone stands one linear layer.

    Args:
        backbone: What its tensors are called; where one of them is missing, nothing is said of the head.
        shapes: What the checkpoint has.
        where: File name, for messages.

    Raises:
        CheckpointError: there is none, or more than one; named.
    """
    if not set(backbone) <= set(shapes):
        return
    layers = [name for name in shapes if len(shapes[name]) == 2 and name not in backbone]
    if not layers:
        raise CheckpointError(f"{where} has no classifier: it is a backbone alone. Save the whole model.")
    if len(layers) > 1:
        raise CheckpointError(
            f"{where} has a head of several layers ({_first_of(layers)}), which is not supported: one linear layer is."
        )


def describe_classifier(
    name_of: Callable[[str], str],
    shapes: Shapes,
    where: str,
    *,
    padding: Literal["tf", "torch"],
    batch_norm_eps: float,
    blocks: int = 17,
    output_stride: int = 32,
) -> Description:
    """The classifier a torch checkpoint holds, whatever it calls its tensors; a single output as two columns.

    Args:
        name_of: The checkpoint's name of one of our tensors.
        shapes: Of its tensors, by its names.
        where: File name, for messages.
        padding: Of the framework.
        batch_norm_eps: Of the framework.
        blocks: How many bottlenecks it has.
        output_stride: Where it is not 32.

    Raises:
        CheckpointError: tensors are missing or too many, or their shapes are no MobileNetV2's; named.
    """
    keys = [name_of(key) for key in backbone_keys(blocks, last=True)]
    require_one_layer(keys, shapes, where)
    require_names([*keys, name_of("classifier.weight"), name_of("classifier.bias")], shapes, where)

    def layer(module: str) -> Layer:
        return out_channels(shapes, name_of(f"backbone.{module}.conv.weight"), where)

    backbone = describe_backbone(
        layer("stem"),
        [layer(f"blocks.{index}.project") for index in range(blocks)],
        layer("last"),
        where,
        padding=padding,
        batch_norm_eps=batch_norm_eps,
        output_stride=output_stride,
    )
    columns = out_channels(shapes, name_of("classifier.bias"), where).channels
    return of_classifier(backbone, columns)


def of_classifier(
    backbone: BackboneSpec, outputs: int, activation: Literal["softmax", "sigmoid"] | None = None
) -> Description:
    """What is known of a classifier of so many outputs: of one as two columns, see `Description.is_single`."""
    network = ClassifierSpec(architecture="mobilenet_v2", backbone=backbone, columns=max(outputs, 2))
    return Description(network=network, activation="softmax" if outputs == 1 else activation, is_single=outputs == 1)


def out_channels(shapes: Shapes, name: str, where: str, axis: int = 0) -> Layer:
    """The output channels of a tensor, along ``axis``.

    Raises:
        CheckpointError: it has none.
    """
    if not shapes[name] or shapes[name][axis] < 1:
        raise CheckpointError(f"{where}: {name} has the shape {shapes[name]}, which is no layer's.")
    return Layer(name, shapes[name][axis])
