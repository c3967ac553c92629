"""What can be said of a picture before it is measured: that it is there, what it is, how large."""

from __future__ import annotations

from pathlib import Path

from mnv2deploy.errors import InputError
from mnv2deploy.media.sources import PICTURE_SUFFIXES
from mnv2deploy.runtime import images
from mnv2deploy.runtime.headers import Header, identify


def picture_files(folder: Path) -> list[Path]:
    """The pictures directly in a folder, by suffix, sorted; hidden ones are left out.

    Raises:
        InputError: the folder cannot be listed.
    """
    try:
        found = [path for path in folder.iterdir() if path.suffix.lower() in PICTURE_SUFFIXES]
    except OSError as error:
        raise InputError(f"{folder} cannot be listed: {error.strerror}.") from error
    return sorted(path for path in found if not path.name.startswith("."))


def upright_size(path: Path) -> tuple[int, int]:
    """Height and width `images.read` will give a picture, its EXIF orientation applied.

    The header is all that is looked at, but for the few pictures whose header does not tell: those are decoded.

    Raises:
        InputError: there is no picture that can be read.
    """
    try:
        data = path.read_bytes()
        header = identify(data)
    except (OSError, ValueError):
        data, header = b"", None
    if header is None or _has_to_be_decoded(header, data):
        height, width = images.read(path).shape[:2]
        return height, width
    turned = header.orientation >= 5
    return (header.width, header.height) if turned else (header.height, header.width)


def _has_to_be_decoded(header: Header, data: bytes) -> bool:
    """Whether only OpenCV knows the size, for it turns JPEG and TIFF itself, or knows what is wrong with it."""
    turned_by_opencv = header.format == "TIFF" or (header.format == "JPEG" and b"Exif\0\0" in data)
    return turned_by_opencv or not 0 < header.width * header.height <= images.MAX_PIXELS
