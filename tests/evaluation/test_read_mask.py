"""Masks are read as indices, whatever the palette and the depth; damage is never taken for a class."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from mnv2deploy.errors import InputError
from mnv2deploy.evaluation.mask_png import read_mask
from mnv2deploy.media.masks import encode_mask_png

SHAPES = st.tuples(st.integers(1, 20), st.integers(1, 20))


def palette_png(indices: np.ndarray, bits: int, **options: object) -> bytes:
    """As Pillow writes it; every colour of the palette is the same, so that only the indices tell pixels apart."""
    picture = Image.frombytes("P", indices.shape[::-1], indices.tobytes())
    picture.putpalette([7, 7, 7] * 2**bits)
    data = io.BytesIO()
    picture.save(data, "PNG", bits=bits, **options)
    return data.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_the_indices_of_a_palette_are_read_at_every_depth(bits: int, tmp_path: Path) -> None:
    indices = np.random.default_rng(0).integers(0, 2**bits, (33, 45), dtype=np.uint8)
    data = palette_png(indices, bits)
    assert data[24:26] == bytes([bits, 3])  # depth, and a palette
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), indices)


@pytest.mark.parametrize("index", [1, 3])  # of index 1 the chunk is two bytes long, as that of a grey picture
def test_transparency_changes_nothing(index: int, tmp_path: Path) -> None:
    indices = np.arange(12, dtype=np.uint8).reshape(3, 4)
    data = palette_png(indices, 8, transparency=index)
    assert b"tRNS" in data
    (tmp_path / "a.png").write_bytes(data)
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), indices)


def test_interlaced_rows_come_back_in_order(tmp_path: Path) -> None:
    """Adam7 by hand, for no library here writes it: of 2 x 2 pixels, passes 1, 6 and 7 hold a row each."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 2, 2, 8, 3, 0, 0, 1))
    pixels = zlib.compress(b"\0\x01" + b"\0\x02" + b"\0\x03\x04")
    data = b"\x89PNG\r\n\x1a\n" + header + chunk(b"PLTE", bytes(15)) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data)
    assert read_mask(tmp_path / "a.png").tolist() == [[1, 2], [3, 4]]


@settings(max_examples=30, derandomize=True)
@given(arrays.arrays(st.sampled_from([np.uint8, np.uint16]), SHAPES))
def test_every_mask_this_program_writes_comes_back(tmp_path_factory: pytest.TempPathFactory, mask: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "written.png"
    path.write_bytes(encode_mask_png(mask, {1: (255, 0, 0), 2: (255, 0, 0)}))
    read = read_mask(path)
    assert read.dtype == mask.dtype
    np.testing.assert_array_equal(read, mask)


@pytest.mark.parametrize("mode", ["L", "I;16"])
def test_grey_pixels_are_their_values(mode: str, tmp_path: Path) -> None:
    dtype = np.uint8 if mode == "L" else np.uint16
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (9, 7), dtype=dtype, endpoint=True)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png"), values)


def test_grey_of_one_bit_is_black_and_white_as_pillow_has_it(tmp_path: Path) -> None:
    values = np.array([[True, False, True]])
    Image.fromarray(values).save(tmp_path / "a.png")
    assert read_mask(tmp_path / "a.png").tolist() == [[255, 0, 255]]


def test_damage_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    data = palette_png(np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8), 8)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(InputError, match="a.png"):
            read_mask(path)
    for place in (data.index(b"IDAT") + 20, data.index(b"IEND") - 5):  # in the pixels, in their checksum
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(InputError, match="damaged"):
            read_mask(path)


@pytest.mark.parametrize(
    ("save", "says"),
    [
        (lambda path: Image.new("RGB", (4, 4)).save(path, "PNG"), "has colours"),
        (lambda path: Image.new("RGBA", (4, 4)).save(path, "PNG"), "has colours"),
        (lambda path: Image.new("LA", (4, 4)).save(path, "PNG"), "has colours"),
        (lambda path: Image.new("L", (4, 4)).save(path, "JPEG"), "not a PNG"),
        (lambda path: path.mkdir(), "cannot be read"),
        (lambda path: None, "does not exist"),
        (lambda path: path.write_bytes(bomb()), "200 million"),
    ],
)
def test_what_is_no_mask_is_named(save, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save(path)
    with pytest.raises(InputError, match=says) as caught:
        read_mask(path)
    assert str(path) in str(caught.value)


def bomb() -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
