"""A card a person would write for a checkpoint of his own."""

from __future__ import annotations

import json
from pathlib import Path

from mnv2deploy.catalog.cards import Card, load_card
from mnv2deploy.weights.description import Description


def own_card(
    folder: Path, form: str, description: Description, size: tuple[int, int], labels: list[str], **changes: str
) -> Card:
    """Writes and reads a card, and the label file beside it.

    Args:
        folder: Where.
        form: ``weights.format``.
        description: What is built.
        size: Height and width of the input.
        labels: Names of the columns.
        changes: Lines of the backbone to replace, by key.
    """
    network = description.network
    backbone = {
        "width_multiplier": network.backbone.width_multiplier,
        "output_stride": network.backbone.output_stride,
        "padding": json.dumps(network.backbone.padding),
        "batch_norm_eps": network.backbone.batch_norm_eps,
        "activation": json.dumps(network.backbone.activation),
        "depth_multiplier": network.backbone.depth_multiplier,
        "stem_channels": network.backbone.stem_channels,
        "last_channels": network.backbone.last_channels,
        "channel_divisor": network.backbone.channel_divisor,
        **changes,
    }
    activation = description.activation or "softmax"
    is_segmenter = network.architecture == "deeplabv3"
    lines = [
        'title = "Mine"\ndescription = "Mine."\npaper = "-"',
        f'[network]\narchitecture = "{network.architecture}"\ncolumns = {network.columns}',
        "head_batch_norm_eps = 1e-5" if is_segmenter else "",
        "[network.backbone]",
        *(f"{key} = {value}" for key, value in backbone.items() if value is not None),
        f"[input]\nheight = {size[0]}\nwidth = {size[1]}",
        '[preprocessing]\nresize = "stretch"\ninterpolation = "antialias"\ncolour = "rgb"',
        "mean = [127.5, 127.5, 127.5]\nstd = [127.5, 127.5, 127.5]",
        '[decoding]\ntask = "segment"\nalign_corners = true'
        if is_segmenter
        else f'[decoding]\ntask = "classify"\nactivation = "{activation}"',
        '[labels]\ndataset = "my-labels"\ncolumn_offset = 0',
        f'[weights]\nformat = "{form}"\nlicence = "MIT"\norigin = "trained by us"',
    ]
    (folder / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    text = "".join(f"{column} = {json.dumps(name)}\n" for column, name in enumerate(labels))
    (folder / "my-labels.toml").write_text(text, encoding="utf-8")
    return load_card(str(folder / "mine.toml"))
