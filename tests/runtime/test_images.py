from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from picture_files import (
    chunk,
    encode,
    exif,
    jpeg_exif,
    jpeg_with,
    letters_of,
    png,
    png_with,
    quadrants,
    tiff,
    webp_with_exif,
)

from mnv2deploy.errors import InputError
from mnv2deploy.runtime.images import MAX_PIXELS, decode, read

PICTURE = quadrants("RGBW")
JPEG = encode(PICTURE, ".jpg")
PNG = encode(PICTURE, ".png")
WEBP = encode(PICTURE, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101)

# How each EXIF orientation stores a picture whose quadrants are seen as RGBW, and whether it lies on its side;
# worked out by hand from EXIF 2.32: the value says where the first row and the first column are seen.
STORED = {1: "RGBW", 2: "GRWB", 3: "WBGR", 4: "BWRG", 5: "RBGW", 6: "GWRB", 7: "WGBR", 8: "BRWG"}


def stored(orientation: int) -> np.ndarray:
    return quadrants(STORED[orientation], *((48, 32) if orientation >= 5 else (32, 48)))


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", "Exif.webp", ".tif"])
def test_shows_every_exif_orientation_upright(suffix: str, order: str, orientation: int) -> None:
    image = stored(orientation)
    height, width = image.shape[:2]
    if suffix == ".jpg":
        data = jpeg_with(encode(image, ".jpg"), jpeg_exif(orientation, order))
    elif suffix == ".png":
        data = png_with(encode(image, ".png"), chunk(b"eXIf", exif(orientation, order)))
    elif suffix == ".tif":
        data = tiff(image, extra={274: orientation})
    else:  # Some writers put JPEG's prefix in front.
        block = (b"Exif\0\0" if suffix.startswith("Exif") else b"") + exif(orientation, order)
        data = webp_with_exif(encode(image, ".webp", cv2.IMWRITE_WEBP_QUALITY, 101), width, height, block)
    seen = decode(data, "x")
    assert seen.shape == (32, 48, 3)
    assert letters_of(seen) == "RGBW"


def rows(*lines: bytes) -> bytes:
    return b"".join(b"\0" + line for line in lines)


PALETTE = chunk(b"PLTE", bytes([255, 0, 0, 0, 0, 255]))
SEEN = {
    # 8-bit files come out as they are
    "png": (PNG, PICTURE),
    "webp": (WEBP, PICTURE),
    "bmp": (encode(PICTURE, ".bmp"), PICTURE),
    "tiff": (tiff(PICTURE), PICTURE),
    "ppm": (encode(PICTURE, ".ppm"), PICTURE),
    "ppm with a comment": (b"P6\n# by hand\n1 1\n255\n\x01\x02\x03", [[[1, 2, 3]]]),
    "one pixel": (png(1, 1, 8, 2, rows(b"\x01\x02\x03")), [[[1, 2, 3]]]),
    # 16 bits: 257 * v is v, and the halves are rounded, not cut off: 0x01ff is 1.99
    "grey 16-bit": (png(2, 1, 16, 0, rows(struct.pack(">HH", 257 * 200, 0x01FF))), [[[200] * 3, [2] * 3]]),
    "rgb 16-bit": (png(1, 1, 16, 2, rows(struct.pack(">HHH", 257, 0x80FF, 65535))), [[[1, 128, 255]]]),
    "tiff 16-bit": (tiff(PICTURE.astype(np.uint16) * 257), PICTURE),
    "planar tiff": (tiff(PICTURE, planar=True), PICTURE),
    "planar tiff 16-bit": (tiff(PICTURE.astype(np.uint16) * 257, planar=True), PICTURE),
    # grey, one bit, palette
    "grey": (png(2, 1, 8, 0, rows(b"\x00\xc8")), [[[0] * 3, [200] * 3]]),
    "one bit": (png(2, 1, 1, 0, rows(b"\x40")), [[[0] * 3, [255] * 3]]),
    "palette": (png(2, 1, 8, 3, rows(b"\x00\x01"), PALETTE), [[[255, 0, 0], [0, 0, 255]]]),
    # transparency is looked at on a white page
    "rgba": (png(3, 1, 8, 6, rows(b"\x00\x00\x00\x00" b"\xff\x00\x00\x80" b"\x01\x02\x03\xff")),
             [[[255] * 3, [255, 127, 127], [1, 2, 3]]]),
    "rgba 16-bit": (png(1, 1, 16, 6, rows(struct.pack(">HHHH", 0, 65535, 0, 257 * 51))), [[[204, 255, 204]]]),
    "grey with alpha": (png(2, 1, 8, 4, rows(b"\x00\x00\x64\xff")), [[[255] * 3, [100] * 3]]),
    "transparent palette entry": (png(2, 1, 8, 3, rows(b"\x00\x01"), PALETTE, chunk(b"tRNS", b"\x00")),
                                  [[[255] * 3, [0, 0, 255]]]),
    "transparent colour": (png(2, 1, 8, 2, rows(b"\x01\x02\x03\x04\x05\x06"), chunk(b"tRNS", b"\0\x01\0\x02\0\x03")),
                           [[[255] * 3, [4, 5, 6]]]),
    "rgba tiff": (tiff(np.array([[[200, 100, 0, 51]]], np.uint8), extra={338: 2}), [[[244, 224, 204]]]),
    "premultiplied tiff": (tiff(np.array([[[40, 20, 0, 51]]], np.uint8), extra={338: 1}), [[[244, 224, 204]]]),
    "rgba tiff 16-bit": (tiff(np.array([[[200, 100, 0, 51]]], np.uint16) * 257, extra={338: 2}), [[[244, 224, 204]]]),
    "premultiplied tiff 16-bit": (tiff(np.array([[[40, 20, 0, 51]]], np.uint16) * 257, extra={338: 1}),
                                  [[[244, 224, 204]]]),
}  # fmt: skip


@pytest.mark.parametrize("kind", SEEN)
def test_sees_what_a_person_sees(kind: str) -> None:
    data, expected = SEEN[kind]
    image = decode(data, kind)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, np.array(expected))


def gif(*frames: int) -> bytes:
    """1x1 frames out of a red and blue palette; LZW: clear, the index, end, in 3-bit codes."""
    head = b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + bytes([255, 0, 0, 0, 0, 255])
    image = b"".join(
        b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + bytes([2, 2, 0b01000100 | index << 3, 0b1, 0]) for index in frames
    )
    return head + image + b";"


def test_takes_the_first_frame_of_an_animation() -> None:
    np.testing.assert_array_equal(decode(gif(1, 0), "x"), [[[0, 0, 255]]])


@pytest.mark.parametrize(
    ("data", "tolerance"),
    [
        (encode(PICTURE, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1), 5),
        (JPEG + b"\0" * 100, 5),  # trailing zeros, as some cameras leave
        (JPEG + b"junk" * 100, 5),
        (JPEG[:20] + b"junk" + JPEG[20:], 5),  # between segments; libjpeg skips it and warns
        (jpeg_with(JPEG, b"\xff\xff\xff"), 5),  # fill bytes
        (jpeg_with(JPEG, jpeg_exif(9)), 5),  # an orientation that does not exist
        (png_with(PNG, chunk(b"eXIf", b"MM\0*\xff\xff\xff\xff")), 0),  # EXIF that points nowhere
        (png_with(PNG, chunk(b"eXIf", b"")), 0),
        (png_with(PNG, chunk(b"eXIf", exif(9))), 0),
        (PNG + b"junk", 0),
    ],
)
def test_accepts_what_is_merely_odd(data: bytes, tolerance: int) -> None:
    assert np.abs(decode(data, "x").astype(int) - PICTURE).mean() <= tolerance


def test_decodes_long_thin_pictures() -> None:
    assert decode(encode(np.zeros((3, 2000, 3), np.uint8), ".jpg"), "x").shape == (3, 2000, 3)


# A minimal file of each format that claims a size.
CLAIMS = {
    "PNG": lambda w, h: png(w, h, 8, 2, b""),
    "JPEG": lambda w, h: JPEG[: (at := JPEG.index(b"\xff\xc0") + 5)] + struct.pack(">HH", h, w) + JPEG[at + 4 :],
    "GIF": lambda w, h: b"GIF89a" + struct.pack("<HH", w, h) + gif(0)[10:],
    "BMP": lambda w, h: b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, w, -h) + b"\0" * 40,
    "OS/2 BMP": lambda w, h: b"BM" + b"\0" * 12 + struct.pack("<IHH", 12, w, h) + b"\0" * 40,
    "TIFF": lambda w, h: b"MM\0*" + struct.pack(">IHHHIIHHII", 8, 2, 256, 4, 1, w, 257, 4, 1, h) + b"\0" * 4,
    "PNM": lambda w, h: b"P6 %d %d 255\n" % (w, h),
    "WebP VP8X": lambda w, h: webp_with_exif(WEBP, w, h, exif(1)),
    "WebP VP8L": lambda w, h: WEBP[:21] + struct.pack("<I", (w - 1) | (h - 1) << 14) + WEBP[25:],
    "WebP VP8": lambda w, h: (lossy := encode(PICTURE, ".webp", 64, 80))[:26] + struct.pack("<HH", w, h) + lossy[30:],
}


@pytest.mark.parametrize("kind", CLAIMS)
def test_refuses_a_bomb_by_its_header(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "imdecode", lambda *_: pytest.fail("decoded"))
    assert MAX_PIXELS < 16_000 * 15_000
    with pytest.raises(InputError, match="16000 x 15000 pixels and at most 200 million"):
        decode(CLAIMS[kind](16_000, 15_000), "x")


def test_refuses_a_real_bomb_without_unpacking_it() -> None:
    resource = pytest.importorskip("resource", reason="needs getrusage")
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(bytes(7501 * 1000)) for _ in range(60)) + packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 1, 0, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError, match="60000 x 60000"):
        decode(bomb, "bomb.png")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000  # KiB; one byte a pixel would be 3.6 GB


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "x is empty"),
        (b"hello, world\n", "format that can be read"),
        (b"\0\0\0\x20ftypavif" + b"\0" * 40, "format that can be read"),
        (b"\xff\xd8\xff", "truncated, damaged"),
        (JPEG[:200], "truncated, damaged"),
        (b"\x89PNG\r\n\x1a\n", "truncated, damaged"),
        (b"GIF89a", "truncated, damaged"),
        (b"BM", "truncated, damaged"),
        (b"II*\0\xff\xff\xff\x7f", "truncated, damaged"),
        (png(0, 0, 8, 2, b""), "truncated, damaged"),
        (png_with(PNG, b"\0" * 40), "truncated, damaged"),
        (encode(np.zeros((2, 2), np.float32), ".tif"), "holds float32 samples"),
        (tiff(np.zeros((2, 2, 4), np.uint8), planar=True, extra={338: 2}), "unusual kind"),
    ],
)
def test_refuses_what_is_no_picture_in_one_sentence(data: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as refused:
        decode(data, "x")
    assert str(refused.value).startswith("x ")
    assert str(refused.value).endswith(".")
    assert "\n" not in str(refused.value)


NOISE = np.random.default_rng(7).integers(0, 256, (40, 60, 3), np.uint8)
WHOLE = {
    "jpg": encode(NOISE, ".jpg"),
    "progressive": encode(NOISE, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    **{suffix: encode(NOISE, "." + suffix) for suffix in ("png", "webp", "bmp", "tif", "ppm", "gif")},
}


@pytest.mark.parametrize("kind", WHOLE)
@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True))
def test_never_answers_part_of_a_truncated_picture(kind: str, share: float) -> None:
    data = WHOLE[kind]
    try:
        image = decode(data[: int(share * len(data))], "x")
    except InputError:
        return
    np.testing.assert_array_equal(image, decode(data, "x"))


@pytest.mark.parametrize("kind", WHOLE)
@settings(deadline=None, max_examples=60)
@given(share=st.floats(0, 1, exclude_max=True), value=st.integers(0, 255))
def test_answers_a_damaged_byte_with_a_picture_or_an_input_error(kind: str, share: float, value: int) -> None:
    data = bytearray(WHOLE[kind])
    data[int(share * len(data))] = value
    try:
        image = decode(bytes(data), "x")
    except InputError:
        return
    assert image.dtype == np.uint8
    assert image.shape[2:] == (3,)


@pytest.mark.parametrize(
    ("name", "message"), [("absent.jpg", "does not exist"), ("folder.jpg", "is a folder"), ("empty.jpg", "is empty")]
)
def test_refuses_a_path_without_a_picture(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(InputError, match=f"{name} {message}"):
        read(tmp_path / name)


def test_reads_a_file_by_its_content_not_its_name(tmp_path: Path) -> None:
    (tmp_path / "grün 犬.jpg").write_bytes(PNG)
    np.testing.assert_array_equal(read(tmp_path / "grün 犬.jpg"), PICTURE)
