"""Plots and their parts as models and text, without a server: the empty chart, sections, spark lines, columns."""

from __future__ import annotations

import base64
import json
import math

import numpy as np
import pytest
from bokeh.models import MultiLine, Plot
from cloister.viewer.chart_sections import describe_metric, group_metrics
from cloister.viewer.curve_columns import list_column, nonfinite_places, number_json, pack_column
from cloister.viewer.hardware_sections import group_hardware
from cloister.viewer.plots import LineColumns, chart_document, line_chart
from cloister.viewer.sparks import spark_area, spark_path


def find_lines(plot: Plot) -> MultiLine:
    [renderer] = [renderer for renderer in plot.renderers if renderer.name == "lines"]
    return renderer.data_source.data


def test_the_empty_chart_names_every_model_that_the_browser_drives() -> None:
    text = json.dumps(chart_document(line_chart()))

    for name in ("x_axis", "y_axis", "y_grid", "last_tick", "raw_source", "lines_source", "ends_source", "gaps_source"):
        assert f'"{name}"' in text


def test_the_empty_chart_holds_no_code_that_would_need_eval() -> None:
    assert "CustomJS" not in json.dumps(chart_document(line_chart()))


def test_two_empty_charts_differ_in_nothing_but_ids() -> None:
    first, second = chart_document(line_chart()), chart_document(line_chart())

    def without_ids(document: object) -> str:
        return "".join(part for part in json.dumps(document).split('"') if not part[1:].isdigit())

    assert without_ids(first) == without_ids(second)


def test_lines_given_in_python_are_drawn_as_given() -> None:
    x, y = np.array([0.0, 1.0, 2.0]), np.array([1.0, math.nan, 3.0])
    data = find_lines(line_chart([LineColumns(x, y, "#2238b8", dash=[5, 3])]))

    assert data["xs"][0] is x
    assert data["color"] == ["#2238b8"]
    assert data["dash"] == [[5, 3]]


def test_many_points_are_drawn_by_webgl() -> None:
    assert line_chart(backend="webgl").output_backend == "webgl"
    assert line_chart().output_backend == "canvas"


def test_sections_are_prefixes_with_validation_before_training() -> None:
    sections = group_metrics(["train/loss", "val/acc", "zeta/x", "loss", "alpha/y", "system/cpu.percent", "/odd"])

    assert [section.name for section in sections] == ["val", "train", "alpha", "zeta", "metrics"]
    assert [chart.metric for chart in sections[-1].charts] == ["loss", "/odd"]


def test_schedules_come_last_in_their_section_and_are_not_smoothed() -> None:
    [section] = group_metrics(["train/lr", "train/grad_norm", "train/acc", "train/loss"])

    assert [chart.metric for chart in section.charts] == ["train/loss", "train/acc", "train/grad_norm", "train/lr"]
    assert [chart.smooth for chart in section.charts] == [True, True, True, False]


@pytest.mark.parametrize(
    ("name", "scale", "ceiling", "better"),
    [
        ("val/loss", "log", None, "lower"),
        ("val/mae", "linear", None, "lower"),
        ("val/acc", "linear", 1.0, "higher"),
        ("val/acc_top5", "linear", 1.0, "higher"),
        ("val/recall@10", "linear", 1.0, "higher"),
        ("glossary", "linear", None, None),
        ("accumulated", "linear", None, None),
    ],
)
def test_a_metric_is_drawn_by_what_its_name_says(
    name: str, scale: str, ceiling: float | None, better: str | None
) -> None:
    spec = describe_metric(name)

    assert (spec.scale, spec.ceiling, spec.better) == (scale, ceiling, better)


def test_hardware_is_grouped_with_gpus_first_and_in_units_that_people_read() -> None:
    sections = group_hardware(["system/cpu.percent", "system/gpu.10.power", "system/gpu.2.memory.used", "system/new.x"])

    assert [section.name for section in sections] == ["GPU 2", "GPU 10", "CPU", "Other"]
    memory = sections[0].charts[0]
    assert (memory.title, memory.unit, memory.divisor, memory.from_zero) == ("GPU 2 memory", "GiB", 2.0**30, True)
    assert sections[2].charts[0].ceiling == 100


def test_a_spark_line_breaks_where_a_value_is_missing() -> None:
    path = spark_path(np.arange(5.0), np.array([0.0, 1.0, math.nan, 1.0, 0.0]))

    assert path.count("M") == 2
    assert path.count("L") == 2
    assert spark_area(path) == ""


def test_a_spark_line_fills_its_box_and_stays_inside() -> None:
    path = spark_path(np.arange(3.0), np.array([-5.0, 100.0, 3.0]))

    numbers = [float(word) for word in path.replace("M", " ").replace("L", " ").split()]
    assert min(numbers[0::2]) >= 0
    assert max(numbers[0::2]) <= 64
    assert min(numbers[1::2]) == pytest.approx(1.5)
    assert max(numbers[1::2]) == pytest.approx(16.5)


@pytest.mark.parametrize("values", [[], [1.0], [math.nan, math.nan], [1.0, math.inf]])
def test_fewer_than_two_finite_points_make_no_spark_line(values: list[float]) -> None:
    assert spark_path(np.arange(float(len(values))), np.array(values)) == ""


def test_a_constant_metric_has_a_level_spark_line() -> None:
    assert spark_path(np.arange(2.0), np.array([0.3, 0.3])) == "M1.5 9.0L62.5 9.0"


def test_packed_columns_come_back_bit_for_bit() -> None:
    values = np.array([0.1, -0.0, math.nan, math.inf, 5e-324])

    assert base64.b64decode(pack_column(values)) == values.astype("<f8").tobytes()


def test_listed_columns_have_null_where_json_has_no_number() -> None:
    values = np.array([1.5, math.nan, math.inf, -math.inf])

    assert list_column(values) == [1.5, None, None, None]
    assert nonfinite_places(values) == {"nan": [1], "inf": [2], "-inf": [3]}


def test_a_single_number_that_json_cannot_hold_is_named() -> None:
    assert [number_json(value) for value in (None, 1.5, math.nan, -math.inf)] == [None, 1.5, "NaN", "-Infinity"]
