"""Real weights, real pictures: fetched once into a cache, built once a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import Browser
from byte_inputs import BytePair, make_pair
from chromium import NoChromiumError, find_chromium
from devtools import DevTools
from filelock import FileLock

from mnv2deploy.catalog.cards import card_names, load_card
from mnv2deploy.catalog.photos import load_photos
from mnv2deploy.weights.fetch import Fetched, fetch

REPOSITORY = Path(__file__).parent.parent

if (worker := os.environ.get("PYTEST_XDIST_WORKER")) and hasattr(os, "sched_setaffinity"):
    # A processor for each: two networks that both want all of them are slower together than one after the other.
    processors = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {processors[int(worker.removeprefix("gw")) % len(processors)]})


@pytest.fixture(scope="session", autouse=True)
def cache() -> Path:
    """The cache of this run and the next, outside the user's own."""
    folder = Path(os.environ.setdefault("MNV2DEPLOY_CACHE", str(REPOSITORY / "build" / "cache")))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def photos(cache: Path) -> dict[str, Path]:
    """The sample photos by file name."""
    return dict(fetch(load_photos("sample-photos")[0]).files)


@pytest.fixture(scope="session")
def coco_weights(cache: Path) -> Fetched:
    return fetch(load_card("ssdlite-coco").download)


@pytest.fixture(scope="session")
def pedestrian_weights(cache: Path) -> Fetched:
    return fetch(load_card("ssdlite-pedestrian").download)


@pytest.fixture(scope="session")
def deeplab_weights(cache: Path) -> Fetched:
    return fetch(load_card("deeplabv3-voc").download)


@pytest.fixture(scope="session")
def classifier_weights(cache: Path) -> Fetched:
    return fetch(load_card("mobilenet-v2").download)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory, photos: dict[str, Path], worker_id: str) -> dict[str, Path]:
    """The artifact of every model whose weights can be fetched, exported by this code, once for all processes of a run.

    Those people have to get by hand are in tests/networks/test_mmsegmentation.py and test_mmdetection.py.
    """
    from mnv2deploy.cli.artifact import cached_artifact
    from mnv2deploy.export.artifact import export
    from mnv2deploy.files import write_atomically

    folder = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        folder = folder.parent  # every worker has a folder of its own in it
    folder /= "artifacts"
    folder.mkdir(exist_ok=True)
    cards = [card for card in map(load_card, card_names()) if card.download.sources]
    made = {card.name: folder / f"{card.name}.onnx" for card in cards}
    # The other process begins at the other end; whoever comes second to a card waits for it.
    for card in cards if worker_id in ("master", "gw0") else reversed(cards):
        with FileLock(folder / f"{card.name}.lock"):
            if not made[card.name].exists():
                export(card, made[card.name])
                kept = cached_artifact(card.name)  # where commands that are given no file find it
                kept.parent.mkdir(parents=True, exist_ok=True)
                write_atomically(kept, made[card.name].read_bytes())
    return made


@pytest.fixture(scope="session")
def byte_artifacts(artifacts: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, BytePair]:
    """Of a model of each task: one network that takes normalised floats, and again one that takes a picture's bytes."""
    folder = tmp_path_factory.mktemp("bytes")
    return {name: make_pair(artifacts[name], folder) for name in ("mobilenet-v2", "ssdlite-coco", "deeplabv3-voc")}


@pytest.fixture(scope="session")
def coco_artifact(artifacts: dict[str, Path]) -> Path:
    return artifacts["ssdlite-coco"]


@pytest.fixture(scope="session")
def browser(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A headless Chromium (see chromium.py); tests that use it are marked ``network``: it may be fetched."""
    try:
        chromium = find_chromium()
    except NoChromiumError as reason:
        pytest.skip(str(reason))
    with DevTools(chromium, tmp_path_factory.mktemp("browser")) as devtools:
        yield Browser(devtools)


def run_cli(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Runs ``mnv2deploy`` as a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "mnv2deploy", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        timeout=300,
        check=False,
    )


@pytest.fixture(scope="session")
def cli():
    return run_cli


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of labelled pictures ``MNV2DEPLOY_DATA`` names."""
    folder = os.environ.get("MNV2DEPLOY_DATA")
    if not folder:
        pytest.skip("MNV2DEPLOY_DATA is not set: no labelled pictures to measure on")
    return Path(folder)
