"""Calibration pictures as the float graph takes them, prepared by the artifact's own contract."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.contract import Contract
from mnv2deploy.quantization.graph import Floats
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import Tensor, prepare

Image = NDArray[np.uint8]


def byte_contract(contract: Contract) -> Contract:
    """The same model reading a picture's own bytes: the graph normalizes, the contract only resizes.

    A pad value between two whole numbers goes to the even one, half a grey level away.
    """
    preprocessing = contract.preprocessing
    pad = preprocessing.pad_value
    return dataclasses.replace(
        contract,
        input=dataclasses.replace(contract.input, layout="NHWC", dtype="uint8"),
        preprocessing=dataclasses.replace(
            preprocessing,
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            pad_value=None if pad is None else float(np.clip(np.rint(pad), 0, 255)),
        ),
    )


class Inputs:
    """Pictures that can be gone through again and again, prepared each time or, where they are few, once.

    Args:
        pictures: Files.
        contract: Of the graph to be run.
        zero_point: Of a graph whose normalization is folded in: what is taken from every byte; None of others.
        kept: Whether the prepared pictures stay in memory (a quarter of a float tensor each).
    """

    def __init__(
        self, pictures: Sequence[Path], contract: Contract, zero_point: int | None, *, kept: bool = False
    ) -> None:
        self.pictures = list(pictures)
        self.contract = byte_contract(contract) if zero_point is not None else contract
        self.zero_point = zero_point
        self._prepared: list[Tensor] | None = None
        if kept:
            self._prepared = [self._prepare(images.read(picture)) for picture in self.pictures]

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Floats]:
        if self._prepared is not None:
            yield from map(self.to_float, self._prepared)
        else:
            for picture in self.pictures:
                yield self.of(images.read(picture))

    def of(self, image: Image) -> Floats:
        """(1, 3, H, W) float32: what the float graph is given for a picture (H, W, 3)."""
        return self.to_float(self._prepare(image))

    def to_float(self, prepared: Tensor) -> Floats:
        """A prepared tensor as the float graph reads it."""
        if self.zero_point is None:
            return np.asarray(prepared, np.float32)
        planes = np.ascontiguousarray(prepared.transpose(0, 3, 1, 2), np.float32)
        planes -= np.float32(self.zero_point)
        return planes

    def _prepare(self, image: Image) -> Tensor:
        return prepare(image, self.contract.input, self.contract.preprocessing)


def evenly(pictures: Sequence[Path], count: int) -> list[Path]:
    """So many of them at equal distances; all where there are no more."""
    if len(pictures) <= count:
        return list(pictures)
    return [pictures[index * len(pictures) // count] for index in range(count)]
