"""Pictures: what is drawn, and what goes onto the page with it."""

import base64
import io
import itertools
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from fvlib.clustering import METHOD_NAMES
from lab import plots
from lab.recipes import experiments_of, looks_of, rows_of

RECIPES = Path(__file__).parents[2] / "data" / "recipes.toml"
LOOKS = looks_of(RECIPES, "table1") | looks_of(RECIPES, "table1_peers")
mpl.use("Agg")


@pytest.fixture
def page(monkeypatch):
    """What is displayed, as (kind, data, metadata)."""
    shown = []

    def display(thing, metadata=None, raw=False):
        if raw:
            shown.append(("bundle", thing, metadata))
            return
        for kind in ("png", "jpeg", "markdown"):
            found = getattr(thing, f"_repr_{kind}_", lambda: None)()
            if found is not None:
                data, metadata = found if isinstance(found, tuple) else (found, {})
                shown.append((kind, data, metadata))
                return
        data, metadata = thing._repr_mimebundle_()
        shown.append(("bundle", data, metadata))

    monkeypatch.setattr("IPython.display.display", display)
    return shown


@pytest.fixture
def axes():
    import matplotlib.pyplot as plt

    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


def test_show_puts_picture_alt_text_and_caption_on_the_page(page, capsys, axes):
    """The numbers are the picture's text: compared by nbval, seen by those without pictures."""
    plots.show(
        axes.figure, "A caption.", "what it shows", count=3, mean_value=0.12345, some=np.arange(3)
    )
    (_, picture, metadata), (_, caption, _) = page
    assert metadata == {"image/png": {"alt": "what it shows"}}
    assert Image.open(io.BytesIO(base64.b64decode(picture["image/png"]))).format == "PNG"
    assert picture["text/plain"] == "count: 3\nmean value: 0.123\nsome: [0, 1, 2]"
    assert caption == "*A caption.*"
    assert capsys.readouterr().out == ""


def test_strips_show_types_and_clusters(axes):
    plots.type_strip(axes, [0, 1, 2, 3])
    assert [text.get_text() for text in axes.texts] == list("TDKB")
    axes.clear()
    plots.cluster_strip(axes, [0, 0, 2, -1], "cumulative")
    assert [text.get_text() for text in axes.texts] == ["0", "2"]
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert [(round(s.x0, 6), round(s.x1, 6)) for s in spans] == [(-0.5, 1.5), (1.5, 2.5)]
    assert axes.get_ylabel() == "cumulative"


def test_a_row_has_its_colour_at_its_cost(axes):
    assert LOOKS["cumulative-16-keep"].entity == "cumulative"
    accuracies = {"tsm-8": [90.0], "cumulative-8-keep": [81.0, 83.0]}
    plots.field(axes, {"tsm-8": 10.0, "cumulative-8-keep": 90.0}, accuracies, LOOKS, low=60.0)
    means = [line for line in axes.lines if line.get_markersize() == 7]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in means] == [(10, 90), (90, 82)]
    assert [line.get_markerfacecolor() for line in means] == [plots.COLOURS["tsm"], "none"]
    assert (axes.get_xlim()[0], axes.get_ylim()[0]) == (0, 60)


def test_what_a_row_looks_like_is_in_its_recipe_and_not_in_its_name(tmp_path):
    for experiment in experiments_of(RECIPES):
        looks = looks_of(RECIPES, experiment)
        assert list(looks) == rows_of(RECIPES, experiment)
    looks = looks_of(RECIPES, "table4")
    assert looks["ucf101-tsm-8-fold2"].entity == "tsm"
    assert (looks["hmdb51-dof"].entity, looks["hmdb51-dof"].images) == ("dynamic", "all")
    keep = LOOKS["cumulative-16-keep"]
    assert (keep.label, keep.hollow, keep.images) == ("cumulative keep", True, 16)
    assert {row: LOOKS[row].entity for row in ("tsn-8", "trn-8", "random-8", "tsm-32")} == {
        **{"tsn-8": "tsn", "trn-8": "trn", "random-8": "random", "tsm-32": "tsm"},
    }
    renamed = RECIPES.read_text("utf-8").replace("slope-8 =", "tsm-like =")
    (tmp_path / "recipes.toml").write_text(renamed)
    assert looks_of(tmp_path / "recipes.toml", "table1")["tsm-like"] == LOOKS["slope-8"]
    (tmp_path / "recipes.toml").write_text(renamed.replace("colour =", "color =", 1))
    with pytest.raises(ValueError, match=r"looks\.paper\.color; did you mean colour"):
        looks_of(tmp_path / "recipes.toml", "table1")


def test_the_picture_of_the_method_has_all_frames_and_an_average_of_each_cluster():
    """Each stands where it belongs: frames in their order, averages from left to right."""
    film = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((6, 8, 3), np.uint8)
    x = np.random.default_rng(0).standard_normal((5, 2, 3, 4))
    fig = plots.method(film, x, np.array([0, 0, 1, 1, 1]), film[:2])
    shown = [(image.get_extent()[0], image.get_array()) for image in fig.axes[0].images]
    frames = sorted((left, int(a[0, 0, 0])) for left, a in shown if a.shape == (6, 8, 3))
    assert [value for _, value in frames] == [0, 0, 1, 2, 1, 3, 4]  # averages 0 and 1 between them
    assert sum(a.shape == (3, 4) for _, a in shown) == 5
    heights = np.array([bar.get_height() for bar in fig.axes[0].patches])
    changed = ((x[1:] > 0) != (x[:-1] > 0)).sum((1, 2, 3))
    assert heights / heights.max() == pytest.approx(changed / changed.max())


def test_names_of_close_rows_stand_one_below_the_other(axes):
    rows = {"tsm-8": [90.0, 94.0], "uniform-8": [92.0], "slope-8": [30.0], "stm-8": [91.0]}
    costs = {"tsm-8": 10.0, "uniform-8": 10.2, "slope-8": 10.1, "stm-8": 60.0}
    plots.field(axes, costs, rows, LOOKS)
    names = {text.get_text(): text.get_position() for text in axes.texts}
    assert names["slope-8"][1] == 30
    assert abs(names["tsm-8"][1] - names["uniform-8"][1]) > 5
    assert names["stm-8"] == (pytest.approx(60, abs=3), 91)
    assert len({names[row][0] for row in ("tsm-8", "uniform-8", "slope-8")}) == 1
    means = [line.get_ydata()[0] for line in axes.lines if line.get_markersize() == 7]
    assert sorted(means) == [30, 91, 92, 92]
    assert axes.get_xlim()[0] == axes.get_ylim()[0] == 0


def test_ranges_of_clips_and_the_median_of_each_seed(axes):
    scores = {"a": np.arange(101.0)[None], "b": np.array([[1.0, 2.0, np.nan], [5.0, 6.0, 7.0]])}
    plots.ranges(axes, scores, {"a": {"color": "red"}, "b": {"color": "blue", "marker": "o"}})
    ends, half, medians = axes.lines[:3]
    assert list(ends.get_ydata()) == [5, 95]
    assert list(half.get_ydata()) == [25, 75]
    assert list(medians.get_ydata()) == [50]
    across, up = axes.lines[5].get_data()
    assert list(up) == [1.5, 6]
    assert np.mean(across) == pytest.approx(1)
    assert [text.get_text() for text in axes.get_xticklabels()] == ["a", "b"]


def luminance(colour):
    linear = [
        ((c + 0.055) / 1.055) ** 2.4 if c > 0.04 else c / 12.92 for c in mpl.colors.to_rgb(colour)
    ]
    return np.dot(linear, (0.2126, 0.7152, 0.0722))


def test_the_tones_of_neighbouring_clusters_differ_in_brightness_too():
    bright, dark = map(luminance, plots.TONES)
    assert (bright + 0.05) / (dark + 0.05) > 2


# What people see who have no cones for long, middle or short waves: Machado et al. (2009), table 1,
# severity 1, for linear RGB. And what everyone sees.
SEEN = {
    "all cones": np.eye(3),
    "no long": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}
RGB_TO_XYZ = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]


def lab(colour, seen):
    """CIE L*a*b* of a colour as somebody sees it: a distance of 2.3 is just noticed."""
    rgb = np.array(mpl.colors.to_rgb(colour))
    linear = np.where(rgb > 0.04045, ((rgb + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = RGB_TO_XYZ @ np.clip(np.array(SEEN[seen]) @ linear, 0, 1)
    x, y, z = np.cbrt(np.maximum(xyz / np.sum(RGB_TO_XYZ, 1), 0.008856))
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def test_lab_is_that_of_the_textbook():
    assert lab("white", "all cones") == pytest.approx([100, 0, 0], abs=0.01)
    assert lab("red", "all cones") == pytest.approx([53.24, 80.09, 67.20], abs=0.05)
    for seen in SEEN:  # a grey is a grey for everyone
        assert lab("#808080", seen)[1:] == pytest.approx([0, 0], abs=0.1)


@pytest.mark.parametrize("seen", SEEN)
def test_everyone_can_tell_the_colours_apart(seen):
    names = ["paper", *METHOD_NAMES, "tsm"]  # side by side in most figures
    shown = {name: plots.COLOURS[name] for name in names}
    kinds = dict(zip(plots.TYPES, plots.TYPE_COLOURS, strict=True))
    for colours in (shown, kinds, dict(zip("ab", plots.TONES, strict=True))):
        for (one, first), (other, second) in itertools.combinations(colours.items(), 2):
            distance = np.linalg.norm(lab(first, seen) - lab(second, seen))
            assert distance > 10, f"{one} and {other}: {distance:.1f}"


def test_colours_that_somebody_confuses_have_other_markers():
    pairs = itertools.combinations(plots.COLOURS, 2)
    for one, other in pairs:
        first, second = plots.COLOURS[one], plots.COLOURS[other]
        nearest = min(np.linalg.norm(lab(first, seen) - lab(second, seen)) for seen in SEEN)
        if nearest < 10:
            assert plots.MARKERS[one] != plots.MARKERS[other], (one, other)
