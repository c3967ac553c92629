"""Masks as PNG files whose pixel values are the class ids."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mnv2deploy.media.drawing import Colour

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _PALETTE = 0, 3


def encode_mask_png(mask: NDArray[np.uint8] | NDArray[np.uint16], palette: Mapping[int, Colour]) -> bytes:
    """Encodes a mask as VOC's own masks are: an indexed PNG, the class ids its indices.

    Every viewer shows the palette's colours; Pillow reads the ids back (mode ``P``). OpenCV can only write and read the
    colours: ``cv2.imread(path, cv2.IMREAD_UNCHANGED)`` answers BGR of the palette, not ids. A uint16 mask, of a model
    with more than 256 classes, becomes a 16-bit grey PNG, which has no palette; Pillow (mode ``I;16``) and OpenCV read
    its ids back.

    The form depends on the mask's type and not on the ids in it, so that all masks of a model are alike. The bytes
    depend on the arguments and the version of zlib only.

    Args:
        mask: (H, W) class ids.
        palette: RGB of each class id; ids it does not have are black. Not used for uint16.

    Returns:
        A PNG file (W3C PNG, third edition).
    """
    if mask.dtype == np.uint16:
        return _png(mask.shape, 16, _GREY, b"", np.ascontiguousarray(mask, ">u2").view(np.uint8))
    colours = np.zeros((max(int(mask.max()), *palette, 0) + 1, 3), np.uint8)
    for class_id, colour in palette.items():
        colours[class_id] = colour
    return _png(mask.shape, 8, _PALETTE, png_chunk(b"PLTE", colours.tobytes()), mask.astype(np.uint8, copy=False))


def _png(shape: tuple[int, ...], depth: int, kind: int, palette: bytes, rows: NDArray[np.uint8]) -> bytes:
    """The chunks. Rows are not filtered, a 0 in front of each says: on real masks, filter Up makes a quarter more."""
    height, width = shape
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    pixels = zlib.compress(np.pad(rows, ((0, 0), (1, 0))).tobytes(), level=9)
    return PNG_SIGNATURE + png_chunk(b"IHDR", header) + palette + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    """One chunk of a PNG file: length, kind, content, checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
