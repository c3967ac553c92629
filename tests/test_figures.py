"""Figures in files."""

import re

import numpy as np
import pytest
from matplotlib.figure import Figure

from mnv2deploy.errors import MissingDependencyError, UsageError
from mnv2deploy.figures import check_figure, write_figure


@pytest.mark.parametrize("name", ["plot.jpg", "plot", "nowhere/plot.svg", "plot.csv"])
def test_a_picture_that_could_not_be_written_is_refused_beforehand(name, tmp_path):
    with pytest.raises(UsageError, match=r"--plot .*plot"):
        check_figure(tmp_path / name, "--plot")


def test_without_matplotlib_only_drawings_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    check_figure(tmp_path / "table.csv", "--confusion", (".csv", ".svg"))
    with pytest.raises(MissingDependencyError, match=r"mnv2deploy\[plot\]"):
        check_figure(tmp_path / "table.svg", "--confusion", (".csv", ".svg"))


def test_the_last_bit_of_a_coordinate_changes_no_byte(tmp_path):
    """As it comes out of the layout's matrix products, it depends on where in memory they were done."""

    def draw(left):
        figure = Figure()
        axes = figure.add_axes((left, 0.1, 0.8, 0.8))
        axes.plot([0, 1, 2], marker="o")
        return figure

    write_figure(lambda: draw(0.1), tmp_path / "one.svg")
    write_figure(lambda: draw(np.nextafter(0.1, 1)), tmp_path / "two.svg")
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert svg == (tmp_path / "two.svg").read_text(encoding="utf-8")
    made = set(re.findall(r'id="([^"]+)"', svg))
    used = set(re.findall(r'(?:url\(|href=")#(\w+)', svg))
    assert used
    assert used <= made  # numbering broke no reference
