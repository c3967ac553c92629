"""A release's report: all of the manifest is on it, nothing it names breaks it, and nothing is fetched."""

from __future__ import annotations

import dataclasses
import re
from html.parser import HTMLParser

import pytest
from browser import PHONE
from manifests import DIGEST, a_file, a_manifest, a_quantized_artifact, an_artifact

from mnv2deploy.artifacts.manifest import Answer, Check, Golden, Layer, Weights
from mnv2deploy.artifacts.report import render_report
from mnv2deploy.artifacts.report_samples import Sample

BAD = "$x$ <script>alert(1)</script> \" ' & {{ 7 * 7 }} {% raw %}"
SAMPLES = [
    Sample("a </script>.jpg", (("fp32", b"\xff\xd8one", 'cat "big" 0.98'), ("int8", b"\xff\xd8two", "dog <b> 0.60"))),
    Sample("same.jpg", (("fp32", b"\xff\xd8three", "cat 0.98"), ("int8", b"\xff\xd8four", "cat 0.97"))),
]
RECIPE = 'model = "small" # </pre><script>&amp;\n'
VOID = {"meta", "link", "img", "br", "rect", "line", "use", "path"}


class _Page(HTMLParser):
    """Reads the page as a browser does, as far as tags that nest go."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = re.sub(r"\s+", " ", " ".join(self.said))

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.said.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def read(manifest, samples=SAMPLES, recipe=RECIPE) -> _Page:
    return _Page(render_report(manifest, samples, recipe))


@pytest.fixture(scope="module")
def text() -> str:
    """The page of the manifest made by hand."""
    return render_report(a_manifest(), SAMPLES, RECIPE)


@pytest.fixture(scope="module")
def page(text) -> _Page:
    return _Page(text)


def test_the_manifest_is_on_the_page(page):
    said = page.text
    for artifact in a_manifest().artifacts:
        assert artifact.name in said
        assert artifact.file.name in said
    for piece in (
        *("MobileNetV2 for <tests>", "Two classes.", "arXiv 1801.04381", "Classification", "All 3 checks passed."),
        *("14.0 MB", "3.6 MB", "3.89 times smaller", "3.5 M parameters", "301 M multiply-adds", "made from fp32"),
        *("85.0 % top-1", "82.0 to 88.0", "84.8 % top-1", "81.0 to 88.0", "0.2 points less", "val <500>, 500 pictures"),
        *("95.0 %", "76.0 to 99.0", "pictures with the same first class", "imagenet-20, 20 pictures", "21.5 dB"),
        *("8.00 ms", "3.20 ms", "2.50 times as fast", "2.40 to 2.60", "Some CPU <2 of 4>"),
        *("float32 32 × 32 , NCHW", "class_logits", "onnxruntime ≥ 1.15", "opset 18"),
        *("stem & first", "31.2 dB", "second", "exact", "classifier", "Gemm"),
        *("golden.png", "cat 0 0.980", "dog </script> 1 0.020", "-1.5 to 2.5", "0.0001 of an output’s range"),
        *("at most 0.0001 of the range 3.3e-06 of the range", "at most 4 MB 3.6 MB", "at least 90 % 95 %"),
        *("3e-05 4e-06 2.1e-06", "4e-05 4e-06 3.3e-06"),
        *("pypi:somewhere==1.0", "Apache-2.0", "weights.pth", "wheel-photos, 128 pictures"),
        *("x86-64, qdq, profile fast, ranges by min-max, weights int8 per channel, activations uint8, seed 11",),
        *("backbone.stem.conv, classifier", "mnv2deploy 0.1.0", "onnx 1.23.2", "torch 2.13.0"),
        *("small.toml", "README.md 1.0 kB", "manifest version 1", RECIPE.strip()),
    ):
        assert piece in said, piece
    digests = [attributes.get("title") for attributes in page.all("code")]
    assert digests.count(DIGEST) >= len(("weights", "recipe", "calibration", "files")) + 5


def test_the_large_numbers_are_of_the_quantized_artifact_beside_the_first(text):
    assert re.findall(r"<dt>(.*?)</dt><dd><b>(.*?)</b>(.*?)</dd></div>", text) == [
        ("Size", "3.6 MB", "3.89 times smaller"),
        ("Time of a picture", "3.20 ms", "2.50 times as fast"),
        ("top-1", "84.8 %", "0.2 points less"),
        ("Agrees with fp32", "95.0 %", "pictures with the same first class"),
        ("Runs in", "≥ 1.15", "onnxruntime, opset 18"),
    ]


def test_no_name_breaks_the_page():
    artifact = a_quantized_artifact(
        file=a_file(BAD),
        layers=(
            Layer(name=BAD, op=BAD, quantized=True, sqnr_db=20.0),
            Layer(name="b", op="c", quantized=False, sqnr_db=3.0),
        ),
        checks=(Check(name=BAD, wanted=1.0, got=None, passed=False),),
    )
    artifact = dataclasses.replace(artifact, name=BAD)
    weights = Weights(source=BAD, licence=BAD, files=((BAD, DIGEST),))
    manifest = a_manifest(
        title=BAD,
        description=BAD,
        paper=BAD,
        name=BAD,
        weights=weights,
        artifacts=(an_artifact(), artifact),
        files=(a_file(BAD),),
    )
    text = render_report(manifest, [Sample(BAD, ((BAD, b"jpeg", BAD),))], BAD)
    page = _Page(text)
    assert re.search(r"<text[^>]*>\$x\$ &lt;script", text)  # in the scatters, which are no templates
    assert page.all("script") == []
    assert page.text.count(BAD) >= 15
    assert f"1 of 2 checks failed: {BAD} of {BAD}." in page.text
    assert any(attributes["alt"].startswith(BAD) for attributes in page.all("img"))


def test_nothing_on_the_page_is_fetched():
    manifest = a_manifest(weights=Weights(source="https://a.test/x.js", licence="MIT", files=()))
    text = render_report(manifest, SAMPLES, "source = 'https://a.test/y.css'")
    page = _Page(text)
    assert "https://a.test/x.js" in page.text  # said, not linked
    for tag, attributes in page.tags:
        assert tag not in ("script", "link", "iframe", "object", "embed", "base", "audio", "video", "image")
        for name in ("href", "src", "srcset", "xlink:href", "poster", "action", "data", "style"):
            assert re.match(r"(#|data:image/jpeg;base64,|[a-z-]+: [^/]*$)|$", attributes.get(name, "")), attributes
    assert "url(" not in re.sub(r"url\(#[\w-]+\)", "", text)
    assert "@import" not in text
    assert any(one.get("http-equiv") == "Content-Security-Policy" for one in page.all("meta"))


def test_ids_are_there_once_and_what_refers_to_one_finds_it(text, page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    referred = re.findall(r'(?:href="|url\()#([\w-]+)', text)
    assert any(one.startswith("scatter2") for one in referred)
    assert set(referred) <= set(ids)


def test_the_same_release_is_the_same_page(text):
    assert text == render_report(a_manifest(), SAMPLES, RECIPE)


def test_figures_take_the_colours_of_the_page(text):
    figures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(figures) == 3
    for figure in figures:
        assert "#000" not in figure
        assert re.findall(r"(?:fill|stroke): #\w+", figure) == []
    assert set(re.findall(r"var\(--(\w+)\)", figures[0])) == {"ink", "soft", "line", "float", "int8", "card"}
    assert all(name in figures[1] for name in (">fp32<", ">int8<"))


def test_a_scatter_says_its_numbers_to_those_who_do_not_see_it(page):
    named = [attributes["aria-label"] for _, attributes in page.tags if attributes.get("role") == "img"]
    assert named[:2] == [
        "fp32: 85.0 % at 8 milliseconds a picture; int8: 84.8 % at 3.2 milliseconds a picture",
        "fp32: 85.0 % at 14 megabytes; int8: 84.8 % at 3.6 megabytes",
    ]


def changed(**values):
    """The release with something not measured of either artifact."""
    manifest = a_manifest()
    return dataclasses.replace(
        manifest, artifacts=tuple(dataclasses.replace(artifact, **values) for artifact in manifest.artifacts)
    )


@pytest.mark.parametrize(
    ("manifest", "sentence", "labels"),
    [
        (changed(accuracy=None), "Accuracy was not measured", ["100.0 % at 8", "100.0 % at 14"]),
        (changed(speed=None), "Speed was not measured, so there is no figure over time", ["85.0 % at 14"]),
        (changed(accuracy=None, agreement=None), "neither accuracy nor agreement was measured", []),
        (changed(agreement=None), "Agreement was not measured", ["85.0 % at 8", "85.0 % at 14"]),
        (a_manifest(artifacts=(an_artifact(),), calibration=None), "no artifact was calibrated", []),
    ],
)
def test_what_was_not_measured_is_left_out_with_a_sentence(manifest, sentence, labels):
    page = read(manifest)
    assert sentence in page.text
    named = [
        attributes["aria-label"] for tag, attributes in page.tags if tag == "div" and attributes.get("role") == "img"
    ]
    assert len(named) == len(labels)
    for said, begun in zip(named, labels, strict=True):
        assert said.startswith(f"fp32: {begun}")


def test_bars_are_as_high_as_their_sqnr_and_layers_kept_in_float_are_marked():
    layers = (
        Layer(name="a", op="Conv", quantized=True, sqnr_db=40.0),
        Layer(name="b", op="Conv", quantized=False, sqnr_db=10.0),
        Layer(name="c", op="Conv", quantized=True, sqnr_db=None),
        Layer(name="d", op="Conv", quantized=True, sqnr_db=-3.0),
    )
    page = read(a_manifest(artifacts=(an_artifact(), a_quantized_artifact(layers=layers))))
    bars = [attributes for attributes in page.all("rect") if attributes.get("class") in ("int8", "float", "exact")]
    assert [(bar["class"], float(bar["height"])) for bar in bars] == [
        ("int8", 100.0),
        ("float", 25.0),
        ("exact", 100.0),
        ("int8", 0.0),
    ]
    assert all(float(bar["y"]) + float(bar["height"]) == 100 for bar in bars)
    assert "b: 10.0 dB, Conv, kept in float32" in page.text
    assert "Noisiest: d (-3.0 dB), b (10.0 dB), a (40.0 dB)" in page.text


def test_a_failed_check_is_said_first():
    failed = Check(name="min_agreement", wanted=99.0, got=95.0, passed=False)
    page = read(a_manifest(artifacts=(an_artifact(), a_quantized_artifact(checks=(failed,)))))
    assert "1 of 2 checks failed: min_agreement of int8." in page.text
    assert "at least 99 % 95 % ✗ failed" in re.sub(r" int8 ", " ", page.text)
    assert [one["class"] for one in page.all("p") if one.get("class", "").startswith("verdict")] == ["verdict bad"]


def test_only_pictures_answered_differently_are_marked(text):
    pictures = re.findall(r"<h3>(.*?)</h3>", text)
    assert "a &lt;/script&gt;.jpg" in pictures[1]
    assert ["answered differently" in title for title in pictures[1:3]] == [True, False]


def test_golden_boxes_and_shares_are_on_the_page():
    boxes = Golden(
        picture="g.png",
        tolerance=0.0,
        outputs=(),
        answers=(Answer(label="cat", class_id=17, score=0.5, box=(1.0, 2.25, 30.0, 4.0)),),
    )
    assert (
        "cat 17 0.500 1.0, 2.2, 30.0, 4.0"
        in read(a_manifest(task="detect", artifacts=(an_artifact(golden=boxes),))).text
    )
    shares = Golden(picture="g.png", tolerance=0.0, outputs=(), answers=(Answer(label="cat", class_id=8, share=0.125),))
    assert "cat 8 12.5 %" in read(a_manifest(task="segment", artifacts=(an_artifact(golden=shares),))).text


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance of ``rgb(r, g, b)``."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


# The page's width with everything unfolded; and of all that has text of its own: its colour, the first background
# behind it that is not clear, and what it is.
LOOKS = """
document.querySelectorAll("details").forEach(one => { one.open = true }),
[document.scrollingElement.scrollWidth, [...document.querySelectorAll("body *")]
    .filter(one => [...one.childNodes].some(child => child.nodeType == Node.TEXT_NODE && child.data.trim()))
    .filter(one => one.checkVisibility() && one.tagName != "title")
    .map(one => {
        const paper = element => getComputedStyle(element).backgroundColor;
        let behind = one;
        while (paper(behind) == "rgba(0, 0, 0, 0)" && behind.parentElement) behind = behind.parentElement;
        const style = getComputedStyle(one);
        return [one.ownerSVGElement ? style.fill : style.color, paper(behind), one.outerHTML.slice(0, 80)];
    })]
"""


@pytest.mark.network
@pytest.mark.parametrize("width", [1280, PHONE])
@pytest.mark.parametrize("dark", [False, True])
def test_in_a_browser_it_asks_for_nothing_fits_and_can_be_read(browser, tmp_path, width, dark):
    path = tmp_path / "report.html"
    long = dataclasses.replace(a_quantized_artifact(), name="n" * 64, file=a_file("f" * 80 + ".onnx"))
    manifest = a_manifest(artifacts=(*a_manifest().artifacts, long))
    path.write_text(render_report(manifest, [], RECIPE + "x" * 500), encoding="utf-8")
    page = browser.open_page(path, width=width, dark=dark, script=LOOKS)
    assert page.console == []
    assert page.requests == []
    unfolded, colours = page.result
    assert max(page.scroll_width, unfolded) <= width
    assert len(colours) > 100
    for ink, paper, element in colours:
        low, high = sorted((luminance(ink), luminance(paper)))
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper, element)
        assert (luminance(ink) > luminance(paper)) == dark, element


# Texts of the figures that lie on another or on a mark, and those that reach out of their figure.
CLASHES = """
[...document.querySelectorAll(".plots svg")].flatMap(svg => {
    const outer = svg.getBoundingClientRect();
    const boxes = [...svg.querySelectorAll("text")].map(one => [one.textContent, one.getBoundingClientRect()]);
    const meet = (a, b) => a.left < b.right && b.left < a.right && a.top + 1 < b.bottom && b.top + 1 < a.bottom;
    const marks = [...svg.querySelectorAll("use")].map(one => ["a mark", one.getBoundingClientRect()])
        .filter(([, box]) => box.width > 4 && box.height > 4);
    const outside = boxes.filter(([, box]) => box.left < outer.left - 1 || box.right > outer.right + 1);
    return [
        ...boxes.flatMap(([said, box], index) => [...boxes.slice(index + 1), ...marks]
            .filter(([, other]) => meet(box, other)).map(([other]) => [said, other])),
        ...(marks.length < 3 ? ["no marks"] : []),
        ...outside.map(([said]) => [said, "out of the figure"]),
    ];
})
"""


@pytest.mark.network
def test_labels_of_a_scatter_do_not_lie_on_each_other(browser, tmp_path):
    def artifact(name, accuracy, milliseconds, size):
        made = a_quantized_artifact() if name.startswith("int8") else an_artifact()
        return dataclasses.replace(
            made,
            name=name,
            file=a_file(f"{name}.onnx", size),
            accuracy=dataclasses.replace(made.accuracy, value=accuracy),
            speed=dataclasses.replace(made.speed, milliseconds=milliseconds),
        )

    manifest = a_manifest(
        artifacts=(
            artifact("fp32", 0.85, 8.0, 14_000_000),
            artifact("uint8", 0.85, 7.9, 14_000_100),
            artifact("end-to-end", 0.849, 8.3, 14_090_000),
            artifact("int8", 0.848, 3.2, 3_600_000),
            artifact("int8-end-to-end", 0.845, 3.4, 3_700_000),
            artifact("int8-" + "n" * 59, 0.838, 3.1, 3_600_000),
            artifact("half", 0.846, 6.2, 7_100_000),
        )
    )
    path = tmp_path / "report.html"
    path.write_text(render_report(manifest, [], RECIPE), encoding="utf-8")
    assert browser.open_page(path, width=PHONE, script=CLASHES).result == []
    assert browser.open_page(path, script=CLASHES).result == []
