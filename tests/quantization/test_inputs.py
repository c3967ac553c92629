from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import pytest

from mnv2deploy.contract import METADATA_KEY, Contract, parse_contract
from mnv2deploy.quantization.inputs import Inputs, byte_contract, evenly
from mnv2deploy.runtime import images
from mnv2deploy.runtime.preprocessing import prepare

NAMES = ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc")


def contract_of(artifact: Path) -> Contract:
    held = next(entry.value for entry in onnx.load(artifact).metadata_props if entry.key == METADATA_KEY)
    return parse_contract(held, str(artifact))


@pytest.mark.parametrize("name", NAMES)
def test_bytes_and_floats_are_the_same_picture(name: str, artifacts: dict[str, Path], photos: dict[str, Path]) -> None:
    contract = contract_of(artifacts[name])
    paths = [photos["astronaut.png"], photos["coffee.png"]]
    mean, std = (
        np.reshape(values, (1, 3, 1, 1)) for values in (contract.preprocessing.mean, contract.preprocessing.std)
    )
    for normalized, centred in zip(Inputs(paths, contract, None), Inputs(paths, contract, 117), strict=True):
        assert normalized.dtype == centred.dtype == np.float32
        assert normalized.shape == centred.shape == (1, 3, contract.input.height, contract.input.width)
        assert centred.flags.c_contiguous
        np.testing.assert_array_equal(centred, np.rint(centred))
        # half a grey level where a byte contract rounds the padding
        assert np.abs(normalized * std + mean - (centred + 117)).max() <= 0.5 + 1e-3
        assert (np.abs(normalized * std + mean - (centred + 117)) < 1e-3).mean() > 0.6


def test_the_float_tensor_is_what_the_artifact_is_run_on(artifacts: dict[str, Path], photos: dict[str, Path]) -> None:
    contract = contract_of(artifacts["mobilenet-v2"])
    path = photos["chelsea.png"]
    (found,) = Inputs([path], contract, None)
    np.testing.assert_array_equal(found, prepare(images.read(path), contract.input, contract.preprocessing))


@pytest.mark.parametrize("zero_point", [None, 117])
def test_kept_or_read_again_it_is_the_same(
    zero_point: int | None, artifacts: dict[str, Path], photos: dict[str, Path]
) -> None:
    contract = contract_of(artifacts["mobilenet-v2"])
    paths = [photos["astronaut.png"], photos["chelsea.png"]]
    kept, streamed = (Inputs(paths, contract, zero_point, kept=value) for value in (True, False))
    for _ in range(2):  # more than once
        assert len(list(kept)) == len(list(streamed)) == len(kept) == 2
        for a, b, path in zip(kept, streamed, paths, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, streamed.of(images.read(path)))


def test_changing_a_kept_picture_changes_nothing_the_next_time(
    artifacts: dict[str, Path], photos: dict[str, Path]
) -> None:
    kept = Inputs([photos["astronaut.png"]], contract_of(artifacts["mobilenet-v2"]), 117, kept=True)
    first = next(iter(kept))
    before = first.copy()
    first += 1
    np.testing.assert_array_equal(next(iter(kept)), before)


def test_a_contract_of_bytes_only_resizes(artifacts: dict[str, Path]) -> None:
    contract = contract_of(artifacts["deeplabv3-voc"])
    found = byte_contract(contract)
    assert (found.input.layout, found.input.dtype) == ("NHWC", "uint8")
    assert (found.preprocessing.mean, found.preprocessing.std) == ((0, 0, 0), (1, 1, 1))
    same = {"mean", "std", "pad_value"}
    for field in dataclasses.fields(contract.preprocessing):
        if field.name not in same:
            assert getattr(found.preprocessing, field.name) == getattr(contract.preprocessing, field.name)
    assert (found.input.height, found.input.width) == (contract.input.height, contract.input.width)
    assert parse_contract(found.to_json(), "bytes") == found


@pytest.mark.parametrize(("pad", "whole"), [(127.5, 128.0), (126.5, 126.0), (-3.0, 0.0), (300.0, 255.0), (0.0, 0.0)])
def test_padding_becomes_a_byte(pad: float, whole: float, artifacts: dict[str, Path]) -> None:
    contract = contract_of(artifacts["deeplabv3-voc"])
    contract = dataclasses.replace(contract, preprocessing=dataclasses.replace(contract.preprocessing, pad_value=pad))
    assert byte_contract(contract).preprocessing.pad_value == whole


def test_where_nothing_is_padded_nothing_is_in_bytes(artifacts: dict[str, Path]) -> None:
    assert byte_contract(contract_of(artifacts["mobilenet-v2"])).preprocessing.pad_value is None


def test_pictures_are_chosen_at_equal_distances() -> None:
    paths = [Path(f"{index}.png") for index in range(10)]
    assert evenly(paths, 5) == paths[::2]
    assert evenly(paths, 10) == evenly(paths, 99) == paths
    assert evenly(paths, 1) == paths[:1]
    chosen = evenly(paths, 7)
    assert len(set(chosen)) == 7
    assert chosen == sorted(chosen, key=paths.index)
