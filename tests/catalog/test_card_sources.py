"""Addresses and hashes: how a source is written, and what is refused. (Pictures' sources: tests/media.)"""

from __future__ import annotations

from typing import Any

import pytest

from mnv2deploy.catalog.sources import Source, SourceFile, parse_download, parse_source
from mnv2deploy.errors import ModelError

ONE, TWO = "1" * 64, "2" * 64
FILES: dict[str, Any] = {"a.bin": {"sha256": ONE, "size": 3}}
PAIR: dict[str, Any] = {**FILES, "b.bin": {"sha256": TWO, "size": 4}}


@pytest.mark.parametrize(
    ("url", "files", "members", "scheme", "address"),
    [
        ("https://host/a.bin", FILES, ["a.bin"], "https", "https://host/a.bin"),
        ("https://host/folder/", PAIR, ["a.bin", "b.bin"], "https", "https://host/folder/"),
        ("http://host/x.zip!deep/y.bin", FILES, ["deep/y.bin"], "http", "http://host/x.zip"),
        ("pypi:pack==1.0!data/", PAIR, ["data/a.bin", "data/b.bin"], "pypi", "pack==1.0"),
        ("npm:@scope/pack@1.0!package/z.json", FILES, ["package/z.json"], "npm", "@scope/pack@1.0"),
        ("file:/tmp/a.bin", FILES, ["a.bin"], "file", "/tmp/a.bin"),  # noqa: S108 - nothing is written
        ("file:/tmp/x.tar.gz!in/", FILES, ["in/a.bin"], "file", "/tmp/x.tar.gz"),  # noqa: S108
    ],
)
def test_address_and_members(url: str, files: dict[str, Any], members: list[str], scheme: str, address: str) -> None:
    source = parse_source({"url": url, "files": files, "sha256": TWO, "size": 9}, "card.toml")
    assert [file.member for file in source.files] == members
    assert [file.name for file in source.files] == list(files)
    assert (source.scheme, source.address, source.is_archive) == (scheme, address, "!" in url)
    assert (source.sha256, source.size) == (TWO, 9)


def test_hash_and_size_of_the_archive_may_be_left_out() -> None:
    source = parse_source({"url": "pypi:pack==1.0!data/", "files": PAIR}, "card.toml")
    files = (SourceFile("a.bin", "data/a.bin", ONE, 3), SourceFile("b.bin", "data/b.bin", TWO, 4))
    assert source == Source("pypi:pack==1.0", files, is_archive=True, sha256=None, size=7)


def entry(**changes: object) -> dict[str, Any]:
    return {"files": {"a.bin": {**FILES["a.bin"], **changes}}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"url": "ftp://host/a"}, "unknown scheme 'ftp', wanted one of https, http, pypi, npm, file"),
        ({"url": "a.bin"}, "unknown scheme 'a.bin'"),
        ({"url": 5}, "unknown scheme '5'"),
        ({"url": None}, "lacks the key 'url'"),
        ({"url": "pypi:pack==1.0"}, "needs '!member'"),
        ({"url": "npm:pack@1.0"}, "needs '!member'"),
        ({"url": "npm:pack@1.0!"}, "needs '!member'"),
        ({"url": "https://host/x.zip!"}, "needs '!member'"),
        ({"url": "pypi:pack==1.0!data/a.bin", "files": PAIR}, "names one member but lists 2 files"),
        ({"files": None}, "lacks the key 'files'"),
        ({"files": {}}, "no files listed"),
        ({"files": ["a.bin"]}, "malformed"),
        ({"files": {"a.bin": ONE}}, "malformed"),
        ({"files": {"../a.bin": FILES["a.bin"]}}, "'../a.bin' is not a plain file name"),
        ({"files": {"c:a.bin": FILES["a.bin"]}}, "is not a plain file name"),
        ({"files": {"d\\a.bin": FILES["a.bin"]}}, "is not a plain file name"),
        ({"files": {"": FILES["a.bin"]}}, "is not a plain file name"),
        ({"files": {"..": FILES["a.bin"]}}, "is not a plain file name"),
        ({"files": {"a.bin": {"size": 3}}}, "lacks the key 'sha256'"),
        ({"files": {"a.bin": {"sha256": ONE}}}, "lacks the key 'size'"),
        (entry(sha256="1" * 63), "is not a sha256"),
        (entry(sha256="G" * 64), "is not a sha256"),
        (entry(sha256=f"{ONE}\n"), "is not a sha256"),
        (entry(sha256=5), "5 is not a sha256"),
        (entry(size="3"), "size '3' is not a number of bytes"),
        (entry(size=-3), "size -3 is not"),
        (entry(size=True), "size True is not"),
        (entry(size=float("inf")), "size inf is not"),
        (entry(member="x"), "unknown key member"),
        ({"sha256": "abc"}, "'abc' is not a sha256"),
        ({"sha265": ONE}, "unknown key sha265"),  # else the archive would go unchecked
        ({"size": 1.5}, "size 1.5 is not"),
    ],
)
def test_mistake_in_a_source_is_said(changes: dict[str, object], message: str) -> None:
    table = {"url": "https://host/a.bin", "files": FILES, **changes}
    with pytest.raises(ModelError, match=message) as caught:
        parse_source({key: value for key, value in table.items() if value is not None}, "card.toml")
    assert str(caught.value).startswith("card.toml: ")


def test_sources_keep_their_order() -> None:
    urls = ["https://b/a.bin", "https://a/a.bin"]
    download = parse_download("thing", [{"url": url, "files": FILES} for url in urls], "card.toml")
    assert (download.name, [source.url for source in download.sources]) == ("thing", urls)


@pytest.mark.parametrize("tables", [[], {}, "https://host/a.bin", 5, None, ["https://host/a.bin"], [None]])
def test_sources_that_are_no_list_of_tables_are_refused(tables: Any) -> None:
    with pytest.raises(ModelError, match=r"^card\.toml: "):
        parse_download("thing", tables, "card.toml")
