"""What a picture file says about itself before anything is decoded: format, size, orientation.

Reading the size first is what keeps a decompression bomb from being unpacked. Only the formats named in
`FORMATS` are known; everything else is refused before OpenCV sees it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

FORMATS = ("JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF", "PNM")
UPRIGHT = 1
# SOF0..SOF15 without DHT (C4), JPG (C8) and DAC (CC); ITU T.81, table B.1.
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_BARE_MARKERS = frozenset({0x00, 0x01, *range(0xD0, 0xD9)})
_PNM = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+(\d{1,9})(?:\s|#[^\n]*\n)+(\d{1,9})\s")
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_ORIENTATION, _TIFF_SAMPLES, _TIFF_PLANES, _TIFF_ALPHA = 256, 257, 274, 277, 284, 338


@dataclass(frozen=True, slots=True)
class Header:
    """The beginning of a picture file.

    Attributes:
        format: One of `FORMATS`.
        width: Pixels, as stored.
        height: Pixels, as stored.
        orientation: EXIF orientation 1..8 still to be applied. Always 1 for JPEG and TIFF: OpenCV applies theirs.
        planar: TIFF only: the channels are stored one after the other.
        premultiplied: TIFF only: the colours were multiplied by the alpha.
    """

    format: str
    width: int
    height: int
    orientation: int = UPRIGHT
    planar: bool = False
    premultiplied: bool = False


def identify(data: bytes) -> Header | None:
    """Reads the header of a picture.

    Args:
        data: A whole file.

    Returns:
        The header, or None where the format is not one of `FORMATS`.

    Raises:
        ValueError: the format is known and the header is damaged, or of a kind that OpenCV would read wrongly.
    """
    try:
        return _identify(data)
    except (struct.error, IndexError) as error:
        raise ValueError("the header ends too early") from error


def _identify(data: bytes) -> Header | None:
    if data.startswith(b"\xff\xd8\xff"):
        return _jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return _webp(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return Header("GIF", *struct.unpack_from("<HH", data, 6))
    if data.startswith(b"BM"):
        return _bmp(data)
    if data.startswith((b"II*\0", b"MM\0*")):
        return _tiff(data)
    if found := _PNM.match(data[:4096]):
        return Header("PNM", int(found[1]), int(found[2]))
    return None


def _jpeg(data: bytes) -> Header:
    """Walks the markers to the frame header; bytes between segments are skipped as libjpeg skips them."""
    at = 2
    while (at := data.find(b"\xff", at)) >= 0:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            return Header("JPEG", width, height)
        elif marker in _JPEG_BARE_MARKERS:
            at += 2
        else:
            at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("no frame header")


def _png(data: bytes) -> Header:
    """PNG 3rd edition, section 5: IHDR comes first; eXIf may come before or after the pixels."""
    width, height = struct.unpack_from(">II", data, 16)
    orientation, at = UPRIGHT, 8
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind == b"eXIf":
            orientation = _exif_orientation(data[at + 8 : at + 8 + length])
        at += length + 12
    return Header("PNG", width, height, orientation)


def _webp(data: bytes) -> Header:
    """RFC 9649: a bare VP8 or VP8L picture, or VP8X with the canvas size and a flag that says whether EXIF follows."""
    kind = data[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        return Header("WebP", width, height, _webp_orientation(data) if data[20] & 0x08 else UPRIGHT)
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return Header("WebP", (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
    width, height = struct.unpack_from("<HH", data, 26)
    return Header("WebP", width & 0x3FFF, height & 0x3FFF)


def _webp_orientation(data: bytes) -> int:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        if kind == b"EXIF":
            return _exif_orientation(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    return UPRIGHT


def _bmp(data: bytes) -> Header:
    if struct.unpack_from("<I", data, 14)[0] == 12:
        return Header("BMP", *struct.unpack_from("<HH", data, 18))
    width, height = struct.unpack_from("<ii", data, 18)
    return Header("BMP", abs(width), abs(height))


def _tiff(data: bytes) -> Header:
    """TIFF 6.0. Transparency is refused where OpenCV would read it wrongly: in planes, and in grey pictures."""
    tags = _tiff_tags(data)
    samples = tags.get(_TIFF_SAMPLES, 1)
    planar = tags.get(_TIFF_PLANES) == 2 and samples > 1
    if _TIFF_ALPHA in tags and (planar or samples == 2):
        raise ValueError("a planar or grey TIFF with transparency")
    size = tags.get(_TIFF_WIDTH, 0), tags.get(_TIFF_HEIGHT, 0)
    return Header("TIFF", *size, planar=planar, premultiplied=tags.get(_TIFF_ALPHA) == 1)


def _exif_orientation(exif: bytes) -> int:
    """Orientation out of an EXIF block; damaged EXIF never makes a picture unreadable."""
    try:
        orientation = _tiff_tags(exif.removeprefix(b"Exif\0\0")).get(_TIFF_ORIENTATION, UPRIGHT)
    except struct.error:
        return UPRIGHT
    return orientation if 1 <= orientation <= 8 else UPRIGHT


def _tiff_tags(data: bytes) -> dict[int, int]:
    """The first directory's tags that hold one SHORT or LONG (TIFF 6.0, section 2)."""
    order = "<" if data.startswith(b"II") else ">"
    (directory,) = struct.unpack_from(order + "I", data, 4)
    (count,) = struct.unpack_from(order + "H", data, directory)
    tags = {}
    for at in range(directory + 2, directory + 2 + 12 * count, 12):
        tag, kind, number = struct.unpack_from(order + "HHI", data, at)
        if number == 1 and kind in (3, 4):
            (tags[tag],) = struct.unpack_from(order + ("H" if kind == 3 else "I"), data, at + 8)
    return tags
