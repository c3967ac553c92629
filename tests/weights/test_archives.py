from __future__ import annotations

import gzip
import io
import stat
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web_server import file_of, make_tar, make_zip

from mnv2deploy.errors import DownloadError
from mnv2deploy.weights.archives import unpack

DATA = bytes(range(256)) * 40
OTHER = b"somebody else's"


def make_plain_tar(members: dict[str, bytes]) -> bytes:
    return gzip.decompress(make_tar(members))


def zip_entry(name: str, mode: int) -> bytes:
    buffer = io.BytesIO()
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(info, DATA)
    return buffer.getvalue()


def tar_entry(name: str, kind: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        real = tarfile.TarInfo("real")
        real.size = len(DATA)
        archive.addfile(real, io.BytesIO(DATA))
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, "real"
        archive.addfile(info)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "into"
    path.mkdir()
    return path


def listing(path: Path) -> list[str]:
    return sorted(str(entry.relative_to(path)) for entry in path.rglob("*"))


@pytest.mark.parametrize("make", [make_zip, make_tar, make_plain_tar])
def test_takes_the_named_members_and_nothing_else(
    make: Callable[[dict[str, bytes]], bytes], tmp_path: Path, folder: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make({"pkg/setup.py": b"boom", "pkg/data/b": OTHER, "pkg/data/a": DATA, "../evil": b"x"}))
    unpack(archive, [file_of(DATA, "a.bin", "pkg/data/a"), file_of(OTHER, "b.bin", "pkg/data/b")], folder)
    assert listing(folder) == ["a.bin", "b.bin"]
    assert (folder / "a.bin").read_bytes() == DATA
    assert (folder / "b.bin").read_bytes() == OTHER
    assert listing(tmp_path) == ["archive", "into", "into/a.bin", "into/b.bin"]


@pytest.mark.parametrize("member", ["../evil", "a/../../evil", "/etc/evil", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_refuses_members_that_lead_outside(
    make: Callable[[dict[str, bytes]], bytes], member: str, tmp_path: Path, folder: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make({member: DATA}))
    with pytest.raises(DownloadError, match="leads outside"):
        unpack(archive, [file_of(DATA, "a.bin", member)], folder)
    assert listing(tmp_path) == ["archive", "into"]


@pytest.mark.parametrize("name", ["../evil", "sub/evil", "/evil"])
def test_refuses_a_target_name_with_a_folder_in_it(name: str, tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make_zip({"a": DATA}))
    with pytest.raises(DownloadError, match="not a plain file name"):
        unpack(archive, [file_of(DATA, name, "a")], folder)
    assert listing(tmp_path) == ["archive", "into"]


@pytest.mark.parametrize(
    "archive_bytes",
    [
        pytest.param(zip_entry("member", stat.S_IFLNK | 0o777), id="zip symlink"),
        pytest.param(zip_entry("member", stat.S_IFIFO | 0o644), id="zip fifo"),
        pytest.param(zip_entry("member", stat.S_IFDIR | 0o755), id="zip folder"),
        pytest.param(tar_entry("member", tarfile.SYMTYPE), id="tar symlink"),
        pytest.param(tar_entry("member", tarfile.LNKTYPE), id="tar hard link"),
        pytest.param(tar_entry("member", tarfile.CHRTYPE), id="tar device"),
        pytest.param(tar_entry("member", tarfile.FIFOTYPE), id="tar fifo"),
        pytest.param(tar_entry("member", tarfile.DIRTYPE), id="tar folder"),
    ],
)
def test_refuses_what_is_not_a_regular_file(archive_bytes: bytes, tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(archive_bytes)
    # The link's target has the very bytes the card wants: only the kind of entry is wrong.
    with pytest.raises(DownloadError, match="member is not a regular file"):
        unpack(archive, [file_of(DATA, "a.bin", "member")], folder)
    assert listing(folder) == []


@pytest.mark.parametrize("make", [make_zip, make_tar])
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(DATA + b"!", "larger than the 10240 bytes", id="one byte more"),
        pytest.param(DATA[:-1], "ends after 10239 of 10240 bytes", id="one byte less"),
        pytest.param(DATA[::-1], "wrong sha256: got .*, wanted", id="other bytes"),
    ],
)
def test_leaves_nothing_when_a_member_is_not_what_the_card_declares(
    make: Callable[[dict[str, bytes]], bytes], content: bytes, reason: str, tmp_path: Path, folder: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make({"a": content}))
    with pytest.raises(DownloadError, match=reason):
        unpack(archive, [file_of(DATA, "a.bin", "a")], folder)
    assert listing(folder) == []


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_stops_a_bomb_before_it_is_unpacked(
    make: Callable[[dict[str, bytes]], bytes], tmp_path: Path, folder: Path
) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(make({"a": bytes(200 << 20)}))
    tracemalloc.start()
    try:
        with pytest.raises(DownloadError, match="larger than"):
            unpack(archive, [file_of(DATA, "a.bin", "a")], folder)
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert listing(folder) == []


def test_does_not_believe_a_zip_that_understates_a_size(tmp_path: Path, folder: Path) -> None:
    content = make_zip({"a": bytes(1 << 20)})
    lying = content.replace(struct.pack("<L", 1 << 20), struct.pack("<L", len(DATA)))
    assert lying != content
    archive = tmp_path / "archive"
    archive.write_bytes(lying)
    with pytest.raises(DownloadError):
        unpack(archive, [file_of(bytes(len(DATA)), "a.bin", "a")], folder)
    assert listing(folder) == []


def test_does_not_read_a_huge_tar_header_into_memory(tmp_path: Path, folder: Path) -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    archive = tmp_path / "archive"
    archive.write_bytes(gzip.compress(header.tobuf() + bytes(1 << 20)))
    with pytest.raises(DownloadError, match="a header claims 1073741824 bytes"):
        unpack(archive, [file_of(DATA, "a.bin", "a")], folder)


@pytest.mark.parametrize("make", [make_zip, make_tar])
def test_names_the_member_that_is_missing(
    make: Callable[[dict[str, bytes]], bytes], tmp_path: Path, folder: Path
) -> None:
    archive = tmp_path / "some.whl"
    archive.write_bytes(make({"b": OTHER}))
    with pytest.raises(DownloadError, match=r"some\.whl has no member pkg/a\."):
        unpack(archive, [file_of(DATA, "a.bin", "pkg/a")], folder)


def test_refuses_compressions_it_cannot_undo_in_small_steps(tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "archive"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_LZMA) as opened:
        opened.writestr("a", DATA)
    with pytest.raises(DownloadError, match="compressed in a way"):
        unpack(archive, [file_of(DATA, "a.bin", "a")], folder)


@pytest.mark.parametrize("content", [b"", b"PK", b"<html>not found</html>", b"\x1f\x8b", make_zip({"a": DATA})[:-30]])
def test_refuses_what_is_no_archive(content: bytes, tmp_path: Path, folder: Path) -> None:
    archive = tmp_path / "archive"
    archive.write_bytes(content)
    with pytest.raises(DownloadError, match=r"not a zip or tar archive, or is damaged|has no member"):
        unpack(archive, [file_of(DATA, "a.bin", "a")], folder)
    assert listing(folder) == []


GOOD = {"zip": make_zip({"b": OTHER, "a": DATA}), "tar": make_tar({"b": OTHER, "a": DATA})}
GOOD["plain tar"] = gzip.decompress(GOOD["tar"])


@pytest.mark.parametrize("kind", list(GOOD))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_archive_gives_the_right_bytes_or_a_download_error(
    kind: str, data: st.DataObject, tmp_path: Path, folder: Path
) -> None:
    content = bytearray(GOOD[kind])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    archive = tmp_path / "archive"
    archive.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
    try:
        unpack(archive, [file_of(DATA, "a.bin", "a")], folder)
    except DownloadError:
        assert listing(folder) == []
    else:
        assert (folder / "a.bin").read_bytes() == DATA
        (folder / "a.bin").unlink()
