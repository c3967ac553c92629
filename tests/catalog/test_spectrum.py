"""The published sizes, as data, as a table and as a picture."""

import itertools
import json
import sys
import xml.etree.ElementTree as ET

import cv2
import pytest

from mnv2deploy.catalog.spectrum import load_spectrum
from mnv2deploy.catalog.spectrum_plot import plot_spectrum
from mnv2deploy.errors import MissingDependencyError, ModelError, UsageError

SIZES = load_spectrum()
WIDTHS = (1.4, 1.3, 1.0, 0.75, 0.5, 0.35)


def test_all_sizes_the_authors_trained_are_there_with_a_source():
    fine = itertools.product((1.0, 0.75, 0.5, 0.35), (224, 192, 160, 128, 96))
    assert [(size.width_multiplier, size.resolution) for size in SIZES] == [(1.4, 224), (1.3, 224), *fine]
    assert all("slim/nets/mobilenet/README.md" in size.source for size in SIZES)


def test_a_larger_input_costs_more_and_sees_more():
    for larger, smaller in itertools.pairwise(SIZES):
        if larger.width_multiplier == smaller.width_multiplier:
            assert larger.top1 > smaller.top1
            assert larger.top5 > smaller.top5
            # Multiply-adds grow with the area; whole millions are cut off, hence the one more.
            area = (larger.resolution / smaller.resolution) ** 2
            assert larger.multiply_adds_millions == pytest.approx(
                area * smaller.multiply_adds_millions, rel=0.03, abs=3
            )
            assert larger.parameters_millions == smaller.parameters_millions
    assert all(size.top1 < size.top5 < 100 for size in SIZES)


@pytest.mark.parametrize(
    "text",
    [
        "sizes = []",
        'sizes = [{ source = "a" }]\n[sources]\n',
        'sizes = [{ source = "a" }]\n[sources]\na = "b"',
        "sources = 5",
    ],
)
def test_a_mistake_in_the_table_is_said_with_its_file(text, tmp_path):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ModelError, match=r"mine\.toml"):
        load_spectrum(tmp_path / "mine.toml")


def test_the_table_and_its_json(cli):
    header, *lines, source = cli("models", "--spectrum").stdout.splitlines()
    assert header.split() == ["WIDTH", "RESOLUTION", "TOP-1", "TOP-5", "MULTIPLY-ADDS", "PARAMETERS"]
    assert lines[2].split() == ["1.0", "224", "71.8", "91.0", "300", "M", "3.47", "M"]
    assert len(lines) == 22
    assert source.startswith("Source: tensorflow/models")
    document = json.loads(cli("models", "--spectrum", "--json").stdout)
    assert [entry["top1"] for entry in document["spectrum"]] == [size.top1 for size in SIZES]


def test_a_plot_of_nothing_is_refused(cli, tmp_path):
    done = cli("models", "--plot", tmp_path / "a.svg")
    assert done.returncode == 2
    assert "--spectrum" in done.stderr
    assert not (tmp_path / "a.svg").exists()


@pytest.mark.parametrize("ending", ["svg", "png"])
def test_the_picture_is_the_same_every_time(ending, cli, tmp_path):
    pictures = [tmp_path / f"{name}.{ending}" for name in "ab"]
    for picture in pictures:
        done = cli("models", "--spectrum", "--plot", picture)
        assert done.returncode == 0, done.stderr
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_the_svg_is_one_and_names_every_width(tmp_path):
    plot_spectrum(SIZES, tmp_path / "a.svg")
    root = ET.fromstring((tmp_path / "a.svg").read_text())  # noqa: S314 - we wrote it
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    words = {text.text for text in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {str(width) for width in WIDTHS} <= words
    assert {f"{side} x {side}" for side in (224, 192, 160, 128, 96)} <= words
    # 22 points and the 5 of the legend; the axes' ticks are other shapes.
    markers = [use for use in root.iter("{http://www.w3.org/2000/svg}use") if "stroke: #" in use.get("style", "")]
    coloured = [use for use in markers if "#000000" not in use.get("style")]
    assert len(coloured) == len(SIZES) + 5


def test_the_png_is_one_and_shows_every_width(tmp_path):
    plot_spectrum(SIZES, tmp_path / "a.png")
    picture = cv2.imread(str(tmp_path / "a.png"))
    assert picture.shape == (750, 1200, 3)
    first_colours = [(0xB4, 0x77, 0x1F), (0x0E, 0x7F, 0xFF), (0x2C, 0xA0, 0x2C)]  # BGR of matplotlib's cycle
    assert all((picture == colour).all(axis=2).sum() > 50 for colour in first_colours)


def test_the_users_own_style_changes_nothing(tmp_path):
    import matplotlib

    plot_spectrum(SIZES, tmp_path / "a.svg")
    with matplotlib.rc_context({"lines.linewidth": 9, "axes.facecolor": "black"}):
        plot_spectrum(SIZES, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"\.svg or \.png"):
        plot_spectrum(SIZES, tmp_path / "a.pdf")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'mnv2deploy\[plot\]'"):
        plot_spectrum(SIZES, tmp_path / "a.svg")
    assert not list(tmp_path.iterdir())
