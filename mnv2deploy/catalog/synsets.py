"""ImageNet's classes by their WordNet ids, the names of the folders its pictures come in."""

from __future__ import annotations

import functools
from pathlib import Path


@functools.cache
def imagenet_synsets() -> dict[str, int]:
    """The class, 0 to 999, of each WordNet 3.0 id of ILSVRC 2012: ``{"n01440764": 0, ...}``."""
    text = (Path(__file__).parent / "labels" / "imagenet_synsets.txt").read_text(encoding="utf-8")
    return {synset: index for index, synset in enumerate(line for line in text.splitlines() if line[:1] != "#")}
