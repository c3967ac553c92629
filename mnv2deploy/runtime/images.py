"""Pictures: from a file's bytes to RGB pixels."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from cv2.typing import MatLike
from numpy.typing import NDArray

from mnv2deploy.errors import InputError, UsageError
from mnv2deploy.runtime.headers import FORMATS, Header, identify

Image = NDArray[np.uint8]

# The largest camera phones take 199.8 megapixels; decoded to 8-bit RGB that is 600 MB.
MAX_PIXELS = 200_000_000
# OpenCV counts the bytes it decodes in a signed 32-bit integer.
MAX_FILE_BYTES = 2**31 - 1


def read(path: Path) -> Image:
    """Reads a picture file.

    Args:
        path: A file in one of `headers.FORMATS`.

    Returns:
        `(H, W, 3)` uint8 RGB; see `decode`.

    Raises:
        InputError: the file is missing, is not a file, or is not a picture that can be decoded.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not a picture; name the pictures in it.")
        if path.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{path} is larger than 2 GB; make the picture smaller first.")
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; check the spelling.") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    return decode(data, str(path))


def as_image(picture: object) -> Image:
    """Takes a picture from a caller: its file, or its pixels.

    Args:
        picture: A path, or an `(H, W, 3)` uint8 RGB array.

    Raises:
        UsageError: neither; of another shape or type.
        InputError: the file is not a picture that can be read.
    """
    if isinstance(picture, str | Path):
        return read(Path(picture))
    if not isinstance(picture, np.ndarray):
        raise UsageError(
            f"A picture is a path or an (H, W, 3) uint8 RGB array, not {type(picture).__name__}; "
            "for a PIL image give np.asarray(image.convert('RGB'))."
        )
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
        raise UsageError(f"A picture is an (H, W, 3) uint8 RGB array; this one is {picture.shape} {picture.dtype}.")
    return np.ascontiguousarray(picture)


def decode(data: bytes, name: str) -> Image:
    """Decodes a picture as a person would see it on a white page.

    The EXIF orientation is applied; of an animation or a multi-page file the first picture is taken; 16-bit samples
    are scaled to 8; transparent parts are composited over white; grey, palette and CMYK become RGB. Colour profiles
    are ignored.

    Args:
        data: A whole file in one of `headers.FORMATS`.
        name: What to call it in messages.

    Returns:
        `(H, W, 3)` uint8 RGB, C-contiguous.

    Raises:
        InputError: it is empty, of an unknown format, truncated, damaged or larger than `MAX_PIXELS`.
    """
    if not data:
        raise InputError(f"{name} is empty; get the file again.")
    try:
        header = identify(data)
    except ValueError as error:
        raise _undecodable(name) from error
    if header is None:
        known = ", ".join(FORMATS)
        raise InputError(f"{name} is not a picture in a format that can be read ({known}); convert it to JPEG or PNG.")
    if header.width * header.height > MAX_PIXELS:
        raise InputError(
            f"{name} has {header.width} x {header.height} pixels and at most {MAX_PIXELS // 10**6} million are read; "
            "make it smaller first."
        )
    return _decode(data, header, name)


def _decode(data: bytes, header: Header, name: str) -> Image:
    # A JPEG has neither transparency nor more than 8 bits here: OpenCV turns it into upright RGB in one go.
    # A planar TIFF must take the same way: as it is, OpenCV takes its planes for pixels.
    straight = header.format == "JPEG" or header.planar
    flags = cv2.IMREAD_COLOR_RGB if straight else cv2.IMREAD_UNCHANGED
    try:
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise _undecodable(name) from error
    # The stubs say that imdecode always answers; it gives None for what it cannot decode.
    if pixels is None:  # type: ignore[redundant-expr,unused-ignore]
        raise _undecodable(name)
    if straight:
        return np.asarray(pixels, np.uint8)
    if pixels.dtype not in (np.uint8, np.uint16):
        raise InputError(f"{name} holds {pixels.dtype} samples; save it with 8 or 16 unsigned bits a sample.")
    # Eight-bit TIFF comes out of libtiff with its colours multiplied by the alpha, whatever the file holds.
    premultiplied = header.premultiplied or (header.format == "TIFF" and pixels.dtype == np.uint8)
    return _upright(_to_rgb(pixels, premultiplied), header.orientation)


def _undecodable(name: str) -> InputError:
    return InputError(
        f"{name} is truncated, damaged or of an unusual kind and cannot be decoded; get it again or convert it to PNG."
    )


def _to_rgb(pixels: MatLike, premultiplied: bool) -> Image:
    """Grey, BGR or BGRA in 8 or 16 bits as OpenCV hands it over -> `(H, W, 3)` uint8 RGB."""
    eight_bit = pixels if pixels.dtype == np.uint8 else cv2.convertScaleAbs(pixels, alpha=255 / 65535)
    if eight_bit.ndim == 2:
        return np.asarray(cv2.cvtColor(eight_bit, cv2.COLOR_GRAY2RGB), np.uint8)
    if eight_bit.shape[2] == 3:
        return np.asarray(cv2.cvtColor(eight_bit, cv2.COLOR_BGR2RGB), np.uint8)
    colour = cv2.cvtColor(eight_bit, cv2.COLOR_BGRA2RGB)
    alpha = cv2.cvtColor(cv2.extractChannel(eight_bit, 3), cv2.COLOR_GRAY2RGB)
    if not premultiplied:
        colour = cv2.multiply(colour, alpha, dst=colour, scale=1 / 255)
    # What the picture lets through is white: 255 - alpha.
    return np.asarray(cv2.add(colour, cv2.bitwise_not(alpha), dst=colour), np.uint8)


def _upright(image: Image, orientation: int) -> Image:
    """Undoes an EXIF orientation (EXIF 2.32, tag 0x0112); 5..8 lie on their side."""
    if orientation >= 5:
        image = np.asarray(cv2.transpose(image), np.uint8)
    flip = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}.get(orientation)
    return image if flip is None else np.asarray(cv2.flip(image, flip), np.uint8)
