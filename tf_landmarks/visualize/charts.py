"""Small charts as matplotlib figures, without pyplot's global state."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, LogLocator, MaxNLocator, NullLocator

# ColorBrewer's "Dark2" green and orange and a grey: apart for colour-blind people, and in print.
COLORS = ("#1b9e77", "#d95f02", "#707070")
_SERIES_COLORS = (*COLORS[:2], "#7570b3", "#e7298a", "#66a61e", "#666666")
DASHES = ("-", "--", ":")


def bars(
    values: Mapping[str, float], interval: tuple[float, float], axis: str, width: float = 4.6
) -> Figure:
    """Horizontal bars with their values, the first one with its interval.

    Args:
        values: Bars by name, from the top down.
        interval: (low, high) of the first bar.
        axis: Name of the values.
        width: Of the figure, inches.
    """
    figure, axes = _figure(width, 0.75 + 0.36 * len(values))
    rows = np.arange(len(values))
    axes.barh(rows, list(values.values()), 0.62, color=[COLORS[0]] + ["#b0b0b0"] * (len(rows) - 1))
    first = next(iter(values.values()))
    reach = np.abs(np.subtract(interval, first))[:, np.newaxis]
    axes.errorbar([first], [0], xerr=reach, color="black", capsize=4, lw=1.2)
    ends = [max(interval), *list(values.values())[1:]]
    for row, (value, end) in enumerate(zip(values.values(), ends, strict=True)):
        axes.annotate(
            f"{value:.1f}", (end, row), (5, 0), textcoords="offset points", va="center", fontsize=9
        )
    axes.set_yticks(rows, list(values))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, 1.15 * max(ends) or 1)
    axes.set_xlabel(axis)
    axes.tick_params(axis="y", length=0)
    return figure


def curves(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]], title: str, axis: str = "step"
) -> Figure:
    """Lines over a shared axis; logarithmic upwards where all values are positive.

    Args:
        series: (x, y) of each line by name; a legend appears where there are several.
        title: Above the chart.
        axis: Name of x.
    """
    figure, axes = _figure(3.0, 2.2)
    for (name, (x, y)), color, dashes in zip(series.items(), COLORS, DASHES, strict=False):
        axes.plot(x, y, dashes, color=color, label=name, lw=1.4, marker="." if len(x) < 3 else "")
    values = [value for _, y in series.values() for value in y]
    if min(values) > 0:
        axes.set_yscale("log")
        _label_log_axis(axes.yaxis, min(values), max(values), whole=_whole(values))
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(axis)
    if len(series) > 1:
        axes.legend(frameon=False, fontsize=8)
    return figure


def means_with_spread(
    series: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]],
    levels: Mapping[str, float],
    x_axis: str,
    y_axis: str,
) -> Figure:
    """Means with their spread over counts, on a logarithmic axis, beside level lines.

    Args:
        series: (counts, means, standard deviations) of each line by name; named in the legend where
            there are several.
        levels: Heights of the level lines by name.
        x_axis: Name of the counts.
        y_axis: Name of the values.
    """
    figure, axes = _figure(6.4, 3.0)
    _draw_means(axes, series, x_axis)
    for (name, level), color, dashes in zip(
        levels.items(), COLORS[:0:-1], DASHES[1:], strict=False
    ):
        axes.axhline(level, color=color, ls=dashes, lw=1.2, label=f"{name} ({level:.1f})")
    axes.set_ylabel(y_axis)
    if levels or len(series) > 1:
        axes.legend(frameon=False, fontsize=9, loc="best")
    return figure


def panels_of_means(
    panels: Mapping[str, tuple[Mapping[str, tuple[Sequence[int], ...]], str]], x_axis: str
) -> Figure:
    """Several charts of means with their spread, of one legend: who stands in several has one colour in all.

    Args:
        panels: By title, the series (see `means_with_spread`), and the name of their values.
        x_axis: Name of the counts.
    """
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    names = list(dict.fromkeys(name for series, _ in panels.values() for name in series))
    legend = -(-len(names) // columns)
    figure = Figure(figsize=(3.8 * columns, 2.7 * rows + 0.2 * legend), layout="constrained")
    drawn = {}
    for index, (title, (series, y_axis)) in enumerate(panels.items()):
        axes = figure.add_subplot(rows, columns, index + 1)
        _tidy(axes)
        _draw_means(axes, series, x_axis, names)
        axes.set_title(title, fontsize=10)
        axes.set_ylabel(y_axis)
        drawn |= dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(
        [drawn[name] for name in names], names, loc="outside lower center", ncols=columns, frameon=False, fontsize=9
    )  # fmt: skip
    return figure


def _draw_means(
    axes,
    series: Mapping[str, tuple[Sequence[int], Sequence[float], Sequence[float]]],
    x_axis: str,
    names: Sequence[str] = (),
) -> None:
    """Draws lines with error bars over counts on a logarithmic axis; the place in `names` gives a line its colour."""
    is_named = bool(names) or len(series) > 1
    names = names or list(series)
    for name, (x, means, spreads) in series.items():
        place = names.index(name)
        axes.errorbar(
            x, means, spreads, color=_SERIES_COLORS[place % len(_SERIES_COLORS)],
            marker="osD^vPX*"[place % 8], ls=DASHES[place // len(_SERIES_COLORS) % len(DASHES)],
            ms=4, capsize=3, lw=1.4, label=name if is_named else None,
        )  # fmt: skip
    axes.set_xscale("log")
    ticks = _apart(sorted({count for x, _, _ in series.values() for count in x}))
    axes.set_xticks(ticks, [str(count) for count in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, None)
    axes.set_xlabel(x_axis)


def _figure(width: float, height: float):
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    _tidy(axes)
    return figure, axes


def _tidy(axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=9)
    axes.xaxis.label.set_size(9)
    axes.yaxis.label.set_size(9)


def _apart(x: Sequence[int]) -> list[int]:
    """Those of ascending counts whose labels do not run into the next on a logarithmic axis."""
    room = 0.06 * np.log(x[-1] / x[0])
    kept = list(x[-1:])
    for count in reversed(x[:-1]):
        if np.log(kept[0] / count) > room:
            kept.insert(0, count)
    return kept


def _whole(values: Sequence[float]) -> bool:
    return all(float(value).is_integer() for value in values)


def _label_log_axis(axis, low: float, high: float, whole: bool) -> None:
    """Labels as plain numbers, some even where the values span less than a power of ten.

    Args:
        axis: Of the figure.
        low: The smallest value.
        high: The largest one.
        whole: Label only whole numbers.
    """
    if high > 300 * low:
        locator = LogLocator(subs=(1.0,))
    elif high > 8 * low:
        locator = LogLocator(subs=(1.0, 2.0, 5.0))
    elif high > low:
        locator = MaxNLocator(4, integer=whole)
    else:  # around a constant, the axis spans a power of ten, at whose end labels would pile up
        locator = FixedLocator([low])
    axis.set_major_locator(locator)
    axis.set_major_formatter("{x:,g}")
    axis.set_minor_locator(NullLocator())
