"""The pictures of the results."""

import itertools
import random
import re
from pathlib import Path

import pytest

from mnv2deploy.benchmark.configurations import Configuration, combine
from mnv2deploy.benchmark.measure import Samples
from mnv2deploy.benchmark.plot import label_configurations, plot_runs, plot_stages
from mnv2deploy.benchmark.results import pipeline_results, run_results
from mnv2deploy.runtime import images

NAMES = ["mobilenet-v2", "models/build/ssdlite-coco-with-a-long-path.onnx", "deeplabv3-voc"]
MACHINE = "Example 9000 @ 3.1 GHz, 2 of 64 processors, onnxruntime 1.31.1"


def measured(configurations, stages):
    source = random.Random(0)
    return [
        Samples(
            configuration,
            tuple(
                tuple(tuple(source.lognormvariate(-5 + index, 0.1) for _ in range(stages)) for _ in range(5))
                for _ in range(5)
            ),
            load_seconds=0.04,
            memory_before=None,
            peak_memory=None,
        )
        for index, configuration in enumerate(configurations)
    ]


TWELVE = combine([(name, Path(name)) for name in NAMES], [1, 16], [1, 8], ["cpu"])
ONE, TWO, FOUR = TWELVE[:1], TWELVE[:2], TWELVE[:4]


def draw_runs(configurations, path):
    plot_runs(run_results(measured(configurations, 1)), path, MACHINE)


def draw_stages(configurations, path):
    plot_stages(pipeline_results(measured(configurations, 4)), path, MACHINE)


@pytest.mark.parametrize("draw", [draw_runs, draw_stages])
@pytest.mark.parametrize("configurations", [ONE, TWO, FOUR, TWELVE], ids=["one", "two", "four", "twelve"])
def test_no_writing_touches_other_writing_the_bars_or_the_border(draw, configurations, tmp_path, monkeypatch):
    from matplotlib.axes import Axes
    from matplotlib.text import Annotation, Text

    boxes, borders, frames, legends = {}, set(), {}, {}  # as last drawn: there is a rehearsal
    draw_text, draw_axes = Text.draw, Axes.draw

    def watched_axes(self, renderer, *rest):
        draw_axes(self, renderer, *rest)
        frames[self] = self.bbox.frozen()
        if self.get_legend():
            legends[self] = self.get_legend().get_window_extent(renderer)

    def watched(self, renderer, *rest):
        draw_text(self, renderer, *rest)
        if self.get_visible() and self.get_text():
            boxes[self] = self.get_window_extent(renderer)
            borders.add((renderer.width, renderer.height))

    monkeypatch.setattr(Text, "draw", watched)
    monkeypatch.setattr(Axes, "draw", watched_axes)
    draw(configurations, tmp_path / "plot.png")
    ((width, height),) = borders
    assert len(boxes) > 2 * len(configurations)
    for box in boxes.values():
        assert 0 <= box.x0 < box.x1 <= width
        assert 0 <= box.y0 < box.y1 <= height
    for one, other in itertools.combinations(boxes.values(), 2):
        assert not one.overlaps(other), (one, other)
    assert frames
    for text, box in boxes.items():  # only the bars' values stand among the bars
        assert isinstance(text, Annotation) or not any(box.overlaps(frame) for frame in frames.values()), text
    title = next(box for text, box in boxes.items() if text.get_fontweight() == "bold")
    assert len(legends) == (draw is draw_stages)
    for legend in legends.values():
        assert legend.y1 < title.y0
        assert all(legend.y0 > frame.y1 - 1 for frame in frames.values())


@pytest.mark.parametrize("draw", [draw_runs, draw_stages])
def test_an_svg_says_what_it_shows_and_is_the_same_every_time(draw, tmp_path):
    draw(TWELVE, tmp_path / "one.svg")
    draw(TWELVE, tmp_path / "two.svg")
    svg = (tmp_path / "one.svg").read_text(encoding="utf-8")
    assert svg == (tmp_path / "two.svg").read_text(encoding="utf-8")
    texts = re.findall(r">([^<>\n]+)</(?:text|tspan)>", svg)
    for words in ("mobilenet-v2, 16 threads, batch 8", f"cpu, {MACHINE}"):
        assert words in texts
    first = run_results(measured(TWELVE, 1))[0] if draw is draw_runs else pipeline_results(measured(TWELVE, 4))[0]
    shown = first.p50_ms if draw is draw_runs else first.stages[-1].p50_ms
    assert f"{shown:.3g}" in texts


def test_stages_fill_the_bar_in_their_colours(tmp_path):
    """Four stages of 1, 2, 3 and 4 parts, measured in the pixels of the picture."""
    (configuration,) = ONE
    rounds = (((0.001, 0.002, 0.003, 0.004),) * 5,) * 5
    plot_stages(pipeline_results([Samples(configuration, rounds, 0.04, None, None)]), tmp_path / "plot.png", MACHINE)
    picture = images.read(tmp_path / "plot.png")
    row = picture[int(picture.shape[0] * 0.5)]  # through the only bar
    widths = [
        (abs(row.astype(int) - colour).max(axis=1) < 3).sum()
        for colour in ((0xE0, 0xA8, 0x4E), (0x66, 0xA1, 0x82), (0x44, 0x77, 0xAA), (0x8C, 0x8C, 0x8C))
    ]
    assert [width / sum(widths) for width in widths] == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.01)


def test_labels_tell_what_differs_and_only_that():
    def configuration(model, threads, batch, provider):
        return Configuration(model, Path(model), threads, batch, provider)

    assert label_configurations([configuration("a", 1, 8, "cpu")]) == (["a"], "1 thread, batch 8, cpu")
    labels, common = label_configurations([configuration("a", 1, 8, "cpu"), configuration("b", 2, 8, "cuda")])
    assert labels == ["a, 1 thread, cpu", "b, 2 threads, cuda"]
    assert common == "batch 8"
