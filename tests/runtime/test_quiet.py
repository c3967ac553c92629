from __future__ import annotations

import contextlib
import os
import threading

import cv2
import numpy as np
import pytest
from picture_files import chunk, encode, png, png_with, quadrants

from mnv2deploy.errors import InputError
from mnv2deploy.runtime.images import decode

JPEG = encode(quadrants("RGBW"), ".jpg")
PNG = encode(quadrants("RGBW"), ".png")

# Each makes OpenCV, libpng or libjpeg print.
NOISY = {
    "libjpeg": JPEG[:20] + b"junk" + JPEG[20:],
    "libpng warning": png_with(PNG, chunk(b"iCCP", b"x\0\0junk")),
    "libpng error": png(4, 4, 8, 2, b"\x09" * 52),
    "opencv": b"GIF89a" + b"\xff" * 40,
}


@pytest.mark.parametrize("kind", NOISY)
def test_keeps_the_decoders_noise_off_the_terminal(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    cv2.imdecode(np.frombuffer(NOISY[kind], np.uint8), cv2.IMREAD_UNCHANGED)
    assert capfd.readouterr().err, "this file no longer makes any noise; find another"
    with contextlib.suppress(InputError):
        decode(NOISY[kind], "x")
    assert capfd.readouterr().err == ""
    os.write(2, b"still there")
    assert capfd.readouterr().err == "still there"


def test_passes_on_what_other_threads_write_to_stderr_meanwhile(capfd: pytest.CaptureFixture[str]) -> None:
    done = threading.Event()

    def keep_decoding() -> None:
        while not done.is_set():
            decode(NOISY["libjpeg"], "x")

    threads = [threading.Thread(target=keep_decoding) for _ in range(3)]
    for thread in threads:
        thread.start()
    written = [f"line {number}" for number in range(500)]
    for line in written:
        os.write(2, f"{line}\n".encode())
    done.set()
    for thread in threads:
        thread.join()
    # All of it, unmixed; a line caught late may come after one that was not caught.
    assert sorted(capfd.readouterr().err.splitlines()) == sorted(written)
