"""Tests of the R@1 curves and of the training curves."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import same_color, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gnnreloc.plotting import plot_recall_over_tiou, plot_training
from gnnreloc.plotting.style import VERMILLION

ROWS = {
    "chance": {0.5: 0.16, 0.7: 0.06, 0.9: 0.01},
    "random_proposal": {0.5: 0.2, 0.7: 0.12, 0.9: 0.05},
    "longest_proposal": {0.5: 0.3, 0.7: 0.2, 0.9: 0.1},
    "whole_reference": {0.5: 0.25, 0.7: 0.15, 0.9: 0.08},
    "oracle": {0.5: 0.96, 0.7: 0.88, 0.9: 0.58},
    "training_free": {0.5: 0.4, 0.7: 0.31, 0.9: 0.2},
    "khop_n1_k1": {0.5: 0.5, 0.7: 0.4, 0.9: 0.21},
    "wrong_class_query": {0.5: 0.22, 0.7: 0.13, 0.9: 0.06},
    "dynamic_tuned": {0.9: 0.25, 0.5: 0.6, 0.7: 0.5},
}
CONTENT_FREE = ["chance", "random proposal", "longest proposal", "whole reference", "oracle"]


def lines_of(axes: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in axes.lines}


def panels_of(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(loc="left"): axes for axes in figure.axes}


def test_recall_lines_hold_the_input_in_order_of_the_thresholds() -> None:
    figure = plot_recall_over_tiou(ROWS, highlight="dynamic_tuned", title="split 0")
    lines = lines_of(figure.axes[0])
    assert len(lines) == len(ROWS)
    for name, row in ROWS.items():
        line = lines[name.replace("_", " ")]
        assert list(line.get_xdata()) == [0.5, 0.7, 0.9]
        assert list(line.get_ydata()) == [row[0.5], row[0.7], row[0.9]]
    assert figure.get_suptitle() == "split 0"
    assert list(figure.axes[0].get_xticks()) == [0.5, 0.7, 0.9]


def test_legend_runs_from_the_best_row_to_the_worst() -> None:
    legend = plot_recall_over_tiou(ROWS, highlight=None).axes[0].get_legend()
    assert legend is not None
    names = [text.get_text() for text in legend.get_texts()]
    means = [np.mean(list(ROWS[name.replace(" ", "_")].values())) for name in names]
    assert len(names) == len(ROWS)
    assert means == sorted(means, reverse=True)


def test_own_run_is_thickest_and_bold_and_content_free_rows_are_grey_and_dashed() -> None:
    axes = plot_recall_over_tiou(ROWS, highlight="dynamic_tuned").axes[0]
    lines = lines_of(axes)
    own = lines.pop("dynamic tuned")
    assert same_color(own.get_color(), VERMILLION)
    assert all(own.get_linewidth() > line.get_linewidth() for line in lines.values())
    assert all(own.get_zorder() > line.get_zorder() for line in lines.values())
    for name, line in lines.items():
        red, green, blue = to_rgb(line.get_color())
        assert (red == green == blue) == (name in CONTENT_FREE)
        assert line.is_dashed() == (name in CONTENT_FREE or name == "wrong class query")
    legend = axes.get_legend()
    assert legend is not None
    bold = [text.get_text() for text in legend.get_texts() if text.get_fontweight() == "bold"]
    assert bold == ["dynamic tuned"]


def test_no_two_of_many_rows_look_the_same() -> None:
    rows = {f"system_{i}": {0.5: i / 40} for i in range(20)} | ROWS
    looks = {
        (line.get_color(), line.get_marker(), line.get_linewidth())
        for line in plot_recall_over_tiou(rows, highlight="dynamic_tuned").axes[0].lines
    }
    assert len(looks) == len(rows)


def test_no_line_or_label_leaves_the_figure() -> None:
    figure = plot_recall_over_tiou(ROWS, highlight="dynamic_tuned", title="title")
    figure.draw_without_rendering()
    box, page = figure.get_tightbbox(), figure.bbox_inches
    assert page.x0 <= box.x0 <= box.x1 <= page.x1
    assert page.y0 <= box.y0 <= box.y1 <= page.y1


@pytest.mark.parametrize(
    ("rows", "highlight", "message"),
    [
        ({}, None, "rows: there are none"),
        ({"chance": {}}, None, "row 'chance': there are no thresholds"),
        ({"chance": {0.5: 16.0}}, None, r"row 'chance'.*\[0, 1\]"),
        ({"chance": {0.5: float("nan")}}, None, "row 'chance'.*nan"),
        ({"chance": {0.5: 0.1}}, "dynamic", "highlight: 'dynamic'"),
    ],
)
def test_bad_rows_are_named(
    rows: dict[str, dict[float, float]], highlight: str | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_recall_over_tiou(rows, highlight=highlight)


BANDS = {
    "chance": {0.5: (-0.04, 0.36), 0.7: (0.05, 0.07), 0.9: (0.01, 0.01)},
    "dynamic_tuned": {0.9: (0.2, 0.3), 0.5: (0.55, 0.65), 0.7: (0.4, 0.6)},
}


def test_bands_lie_around_their_lines_and_inside_the_unit_interval() -> None:
    axes = plot_recall_over_tiou(ROWS, highlight="dynamic_tuned", bands=BANDS).axes[0]
    shades = {to_rgb(shade.get_facecolor()[0][:3]): shade for shade in axes.collections}
    assert len(shades) == 2
    edges = {
        "dynamic tuned": [(0.5, 0.55, 0.65), (0.7, 0.4, 0.6), (0.9, 0.2, 0.3)],
        "chance": [(0.5, 0.0, 0.36), (0.7, 0.05, 0.07), (0.9, 0.01, 0.01)],
    }
    for name, wanted in edges.items():
        shade = shades[to_rgb(lines_of(axes)[name].get_color())]
        corners = {(float(x), float(y)) for x, y in shade.get_paths()[0].vertices}
        assert corners == {(x, y) for x, low, high in wanted for y in (low, high)}
    assert len(axes.lines) == len(ROWS)


def test_the_axis_reaches_the_top_of_the_highest_band() -> None:
    row = {"khop_n1_k1": {0.5: 0.5, 0.7: 0.4}}
    wide = {"khop_n1_k1": {0.5: (0.1, 0.9), 0.7: (0.2, 0.6)}}
    without = plot_recall_over_tiou(row, highlight=None).axes[0]
    assert without.get_ylim()[1] < 0.9
    assert plot_recall_over_tiou(row, highlight=None, bands=wide).axes[0].get_ylim()[1] >= 0.9


@pytest.mark.parametrize(
    ("bands", "message"),
    [
        ({"sst": BANDS["chance"]}, "band 'sst' is of none of the rows"),
        ({"chance": {0.5: (0.1, 0.2)}}, r"band 'chance': at \[0.5\], wanted .*0.7"),
        ({"chance": BANDS["chance"] | {0.7: (0.3, 0.2)}}, "band 'chance': low above high"),
        ({"chance": BANDS["chance"] | {0.7: (float("nan"), 0.2)}}, "band 'chance'.*nan"),
    ],
)
def test_bad_bands_are_named(
    bands: dict[str, dict[float, tuple[float, float]]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        plot_recall_over_tiou(ROWS, highlight=None, bands=bands)


def training_log(epochs: int) -> pd.DataFrame:
    epoch = np.arange(1, epochs + 1)
    return pd.DataFrame(
        {
            "epoch": epoch,
            "seconds": 2.0 * epoch,
            "loss": 1.0 / epoch,
            "ranking": 0.5 / epoch,
            "sparsity": 0.001 / epoch,
            "regression": np.nan,
            "lr": 1e-3,
            "validation_r1_mean": np.where(epoch % 2 == 0, epoch / 100.0, np.nan),
            "note": "text",
        }
    )


def test_training_panels_hold_their_columns_without_gaps() -> None:
    panels = panels_of(plot_training(training_log(6)))
    assert list(panels) == ["loss", "validation", "learning rate"]
    assert list(lines_of(panels["loss"])) == ["loss", "ranking", "sparsity"]
    loss = lines_of(panels["loss"])["loss"]
    assert list(loss.get_xdata()) == [1, 2, 3, 4, 5, 6]
    np.testing.assert_allclose(loss.get_ydata(), [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 6])
    (validation,) = panels["validation"].lines
    assert list(validation.get_xdata()) == [2, 4, 6]
    np.testing.assert_allclose(validation.get_ydata(), [0.02, 0.04, 0.06])
    assert panels["validation"].get_ylabel() == "r1 mean"
    assert list(panels["learning rate"].lines[0].get_ydata()) == [1e-3] * 6


def test_absent_panels_are_left_out() -> None:
    assert list(panels_of(plot_training(training_log(3)[["epoch", "loss"]]))) == ["loss"]


def test_losses_of_very_different_size_get_a_logarithmic_axis() -> None:
    log = training_log(4)
    assert panels_of(plot_training(log))["loss"].get_yscale() == "log"
    assert panels_of(plot_training(log.drop(columns="sparsity")))["loss"].get_yscale() == "linear"
    log["ranking"] = -1.0
    assert panels_of(plot_training(log))["loss"].get_yscale() == "linear"


def test_a_single_epoch_is_visible() -> None:
    figure = plot_training(training_log(1))
    figure.draw_without_rendering()
    assert all(line.get_marker() == "o" for axes in figure.axes for line in axes.lines)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (pd.DataFrame({"loss": [1.0]}), "no column 'epoch'.*loss"),
        (pd.DataFrame({"epoch": [], "loss": []}), "no rows"),
        (pd.DataFrame({"epoch": [1], "seconds": [2.0]}), "no column to draw.*seconds"),
    ],
)
def test_bad_logs_are_named(log: pd.DataFrame, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        plot_training(log)
