"""Masks read as what they are: class ids, never colours."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mnv2deploy.errors import InputError
from mnv2deploy.media.masks import PNG_SIGNATURE, png_chunk
from mnv2deploy.runtime.images import MAX_PIXELS

Mask = NDArray[np.uint8] | NDArray[np.uint16]

_GREY, _PALETTE = 0, 3


def read_mask(path: Path) -> Mask:
    """Reads a mask whose pixel values are class ids: a grey PNG, or one with a palette, whose indices are the values.

    OpenCV answers a palette's colours, from which the indices cannot always be told: two may share a colour. So it is
    shown the same file with another word in its header, "grey" instead of "palette", and answers the indices.

    Args:
        path: A PNG file (W3C PNG, third edition).

    Returns:
        (H, W) uint8, or uint16 if the file has 16 bits a pixel.

    Raises:
        InputError: it is missing, damaged, no PNG, or has colours.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    if not data.startswith(PNG_SIGNATURE):
        raise InputError(f"{path} is not a PNG; masks have to be, because other formats change pixel values.")
    try:
        pixels = _decode(data)
    except (struct.error, zlib.error, cv2.error, EOFError) as error:
        raise InputError(f"{path} is a truncated or damaged PNG; get the file again.") from error
    except ValueError as error:
        raise InputError(f"{path} {error}.") from error
    return pixels


def _decode(data: bytes) -> Mask:
    """Raises ValueError with the end of a sentence for what is no mask, EOFError for what is incomplete."""
    chunks = list(_chunks(data))
    if not chunks or chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        raise EOFError
    width, height, depth, kind, *rest = struct.unpack(">IIBBBBB", chunks[0][1])
    if kind not in (_GREY, _PALETTE):
        raise ValueError("has colours; a mask's pixel values are class ids, in grey or in the indices of a palette")
    if width * height > MAX_PIXELS:
        raise ValueError(f"has {width} x {height} pixels and at most {MAX_PIXELS // 10**6} million are read")
    grey = struct.pack(">IIBBBBB", width, height, depth, _GREY, *rest)
    pieces = [
        PNG_SIGNATURE,
        png_chunk(b"IHDR", grey),
        *(png_chunk(*one) for one in chunks if one[0] in (b"IDAT", b"IEND")),
    ]
    pixels = cv2.imdecode(np.frombuffer(b"".join(pieces), np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.shape != (height, width):  # type: ignore[redundant-expr,unused-ignore]
        raise EOFError
    if pixels.dtype == np.uint16:
        return np.asarray(pixels, np.uint16)
    if kind == _PALETTE and depth < 8:  # grey of few bits is brightness, stretched to 0..255; indices are not
        return np.asarray(pixels // np.uint8(255 // (2**depth - 1)), np.uint8)
    return np.asarray(pixels, np.uint8)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk up to the end.

    Raises:
        EOFError: the file ends within a chunk, or a chunk's checksum is wrong.
    """
    at = len(PNG_SIGNATURE)
    while at < len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        content = data[at + 8 : at + 8 + length]
        (checksum,) = struct.unpack_from(">I", data, at + 8 + length)
        if checksum != zlib.crc32(content, zlib.crc32(kind)):
            raise EOFError
        yield kind, content
        if kind == b"IEND":
            return
        at += length + 12
