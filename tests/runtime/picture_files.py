"""Builds picture files byte by byte, from the formats' specifications: no files and no second library needed."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]

COLOURS = {"R": (255, 0, 0), "G": (0, 255, 0), "B": (0, 0, 255), "W": (255, 255, 255)}


def quadrants(letters: str, height: int = 32, width: int = 48) -> Image:
    """A picture of four flat colours: top left, top right, bottom left, bottom right."""
    image = np.empty((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = COLOURS[letters[0]]
    image[: height // 2, width // 2 :] = COLOURS[letters[1]]
    image[height // 2 :, : width // 2] = COLOURS[letters[2]]
    image[height // 2 :, width // 2 :] = COLOURS[letters[3]]
    return image


def letters_of(image: Image) -> str:
    """The nearest letters at the middles of the four quadrants."""
    height, width = image.shape[:2]
    spots = [image[y, x].astype(int) for y in (height // 4, height * 3 // 4) for x in (width // 4, width * 3 // 4)]
    return "".join(min(COLOURS, key=lambda c: int(np.abs(spot - COLOURS[c]).sum())) for spot in spots)


def encode(image: NDArray[np.uint8] | NDArray[np.uint16], suffix: str, *parameters: int) -> bytes:
    """An RGB, RGBA or grey picture in a format that OpenCV writes."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR if image.shape[2] == 3 else cv2.COLOR_RGBA2BGRA)
    done, data = cv2.imencode(suffix, image, list(parameters))
    assert done
    return data.tobytes()


def exif(orientation: int, order: str = "<") -> bytes:
    """A TIFF header and one directory with tag 0x0112."""
    mark = b"II" if order == "<" else b"MM"
    return mark + struct.pack(order + "HIHHHIHHI", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def chunk(kind: bytes, body: bytes) -> bytes:
    """A PNG chunk."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, depth: int, colour: int, rows: bytes, *between: bytes) -> bytes:
    """A PNG of raw rows (filter bytes included), with more chunks between IHDR and IDAT."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(between) + pixels + chunk(b"IEND", b"")


def png_with(data: bytes, extra: bytes) -> bytes:
    """A PNG with a chunk more, right after IHDR."""
    return data[:33] + extra + data[33:]


def jpeg_with(data: bytes, segment: bytes) -> bytes:
    """A JPEG with bytes more, right after SOI."""
    return data[:2] + segment + data[2:]


def jpeg_exif(orientation: int, order: str = "<") -> bytes:
    body = b"Exif\0\0" + exif(orientation, order)
    return b"\xff\xe1" + struct.pack(">H", len(body) + 2) + body


def webp_with_exif(data: bytes, width: int, height: int, block: bytes) -> bytes:
    """Turns a simple WebP into an extended one with an EXIF chunk (RFC 9649, section 2.7)."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    extended = b"VP8X" + struct.pack("<I", 10) + b"\x08\0\0\0" + size
    padding = b"\0" * (len(block) % 2)
    body = b"WEBP" + extended + data[12:] + b"EXIF" + struct.pack("<I", len(block)) + block + padding
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(
    image: NDArray[np.uint8] | NDArray[np.uint16], planar: bool = False, extra: dict[int, int] | None = None
) -> bytes:
    """An uncompressed little-endian TIFF of one strip (a plane), with more SHORT tags."""
    height, width, samples = image.shape
    planes = [image[:, :, c] for c in range(samples)] if planar else [image]
    strips = [np.ascontiguousarray(plane).astype(image.dtype.newbyteorder("<")).tobytes() for plane in planes]
    bits = struct.pack(f"<{samples}H", *[8 * image.dtype.itemsize] * samples)
    offsets = np.cumsum([8, *map(len, strips)]).tolist()
    arrays = offsets[-1]
    offset_array = struct.pack(f"<{len(strips)}I", *offsets[:-1])
    count_array = struct.pack(f"<{len(strips)}I", *map(len, strips))
    at_offsets = arrays + len(bits)
    at_counts = at_offsets + len(offset_array)
    directory = at_counts + len(count_array)
    many = len(strips) > 1
    tags = {256: (4, 1, width), 257: (4, 1, height), 258: (3, samples, arrays), 259: (3, 1, 1), 262: (3, 1, 2)}
    tags |= {273: (4, len(strips), at_offsets if many else 8), 277: (3, 1, samples), 278: (4, 1, height)}
    tags |= {279: (4, len(strips), at_counts if many else len(strips[0])), 284: (3, 1, 2 if planar else 1)}
    tags |= {tag: (3, 1, value) for tag, value in (extra or {}).items()}
    entries = b"".join(struct.pack("<HHII", tag, *entry) for tag, entry in sorted(tags.items()))
    end = struct.pack("<H", len(tags)) + entries + struct.pack("<I", 0)
    return b"II*\0" + struct.pack("<I", directory) + b"".join(strips) + bits + offset_array + count_array + end
