"""The panels of the report that compare errors: with the baselines, and by the number of labels."""

from collections.abc import Sequence

import numpy as np

from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import images
from tf_landmarks.report.elements import Charts, LandmarkError, Measures, Panel, Scores, Verdict
from tf_landmarks.report.formats import listed, or_dash, quantity
from tf_landmarks.visualize import charts

_AXIS = "error (NME), %"
# Columns of the table, by their keys in metrics.json; rivals follow.
_COLUMNS = {
    "nme_percent": "this model",
    "mean_shape_nme_percent": "mean shape",
    "untrained_nme_percent": "untrained",
}
_MODEL = "this model"
_OUTLIER = 2.0  # a draw this many times as far off as the middle one is named
_NOTICED = 0.02  # a share by which an error grows that is no matter of rounding
_SMALLEST = 0.1  # a bar fills its place at this error, percent, if all are smaller


def score(model: ExportedModel, result: Result) -> Panel:
    """Shows the errors of all landmarks and of each, beside those of the baselines."""
    metrics, protocol = result.metrics, result.metrics["protocol"]
    errors = {"this model": metrics["nme_percent"], **baseline_errors(metrics)}
    bars = charts.bars(errors, tuple(metrics["nme_interval_percent"]), _AXIS)
    label = ", ".join(f"{name} {error:.1f} %" for name, error in errors.items())
    return Panel(
        "Score",
        "The error (NME) is the mean distance between predicted and annotated points in percent of "
        f"{_unit(protocol['normalizer'])}: the model has learned something useful where its bar is "
        "clearly shorter than that of the mean shape, which looks at no image, that of the network before "
        "training, and those of rivals that learn from the same labels without any other image.",
        (
            Scores(
                chart=images.chart(bars, f"Bar chart of the errors: {label}"),
                num_landmarks=model.num_landmarks,
                protocol=protocol,
                fit=_fit(protocol),
                columns=(*_COLUMNS.values(), *(rival["title"] for rival in _rivals(metrics))),
                rows=_rows(metrics),
            ),
        ),
    )


def pck(model: ExportedModel, result: Result) -> Panel | None:
    """Shows the shares of points within a length, where they are asked for."""
    found = result.metrics.get("pck")
    if not found:
        return None
    words = (
        "Percentage of correct keypoints (PCK): the share of labelled points that are predicted within a share of "
        f"{_unit(found['normalizer'])}, of each landmark and as a mean over landmarks."
    )
    if "birds_percent" in found:
        words += (
            f" As published for birds (Cheng et al. 2021): {or_dash(found['birds_percent'])} %."
        )
    columns, rows = pck_rows(result.metrics)
    table = Measures(columns, tuple((name, *map(or_dash, cells)) for name, cells in rows))
    return Panel("Correct keypoints", words, (table,) if columns else ())


def confidence(model: ExportedModel, result: Result) -> Panel | None:
    """Shows the error by the model's confidence, where it names its points itself."""
    words = confidence_words(result.metrics)
    if not words:
        return None
    bins = result.metrics["confidence"]["bins"]
    label = ", ".join(f"{b['confidence']:.2f}: {b['error_percent']:.1f} %" for b in bins)
    line = [b["confidence"] for b in bins], [b["error_percent"] for b in bins]
    chart = charts.curves({"error": line}, _AXIS, "confidence")
    return Panel(
        "Confidence",
        f"{words} A model is not asked to be right about itself: take a threshold from here, not from another model.",
        (Charts((images.chart(chart, f"Error by confidence: {label}"),)),),
    )


def confidence_words(metrics: dict) -> str:
    """Returns what the confidence tells of the error, in a sentence; empty where it is not of the points measured."""
    found = metrics.get("confidence")
    if not found or len(found["bins"]) < 2:
        return ""
    first, last = found["bins"][0], found["bins"][-1]
    correlation = found["rank_correlation"]
    said = "" if correlation is None else f" (rank correlation {correlation:.2f})"
    words = (
        f"Of the least sure 1/{len(found['bins'])} of the points (confidence {first['confidence']:.2f}) the error is "
        f"{first['error_percent']:.1f} %, of the surest ({last['confidence']:.2f}) {last['error_percent']:.1f} %{said}."
    )
    if "calibration_error_percent" not in found:
        return words
    return (
        f"{words} As the probability of an error of at most {found['tolerance_percent']:g} %, confidence is "
        f"{found['calibration_error_percent']:.1f} % off on average."
    )


def pck_rows(metrics: dict) -> tuple[tuple[str, ...], list[tuple[str, list[float | None]]]]:
    """Returns thresholds as columns, and rows: landmarks, all of them, and who they are compared with; percent.

    Args:
        metrics: As in metrics.json, with `pck`.
    """
    found = metrics["pck"]["thresholds"]
    rows = [
        (name, [scores["per_landmark"][name] for scores in found.values()])
        for name in metrics["per_landmark"]
    ]
    others = {
        "mean": "percent",
        "mean shape": "mean_shape_percent",
        "untrained": "untrained_percent",
        **{name: f"{name}_percent" for name in metrics["rivals"]},
    }
    rows += [(name, [scores[key] for scores in found.values()]) for name, key in others.items()]
    return tuple(f"PCK@{threshold}" for threshold in found), rows


def few_labels(model: ExportedModel, result: Result) -> Panel | None:
    """Shows the error by the number of labelled images."""
    few = [row for row in result.metrics["few_labels"] if row["mean"] is not None]
    if not few:
        return None
    counts, means, spreads = ([row[key] for row in few] for key in ("n", "mean", "std"))
    series = {_MODEL: (counts, means, spreads)}
    for rival in _rivals(result.metrics):
        known = [row for row in rival["few_labels"] if row["mean"] is not None]
        if len(known) > 1:
            series[rival["title"]] = tuple([r[k] for r in known] for k in ("n", "mean", "std"))
    levels = {
        name: error for name, error in baseline_errors(result.metrics).items() if name not in series
    }
    figure = charts.means_with_spread(series, levels, "labelled images", _AXIS)
    label = ", ".join(f"{n}: {mean:.1f} %" for n, mean in zip(counts, means, strict=True))
    return Panel(
        "Number of labels",
        "The error when the linear regressor is fitted on fewer labelled images (mean and standard "
        "deviation of random draws), beside rivals with the same images and baselines with all labels: "
        "look for how many labels the model saves, and for where its curve flattens, for annotating more "
        "images than that brings little. " + " ".join(curve_remarks(few)),
        (Charts((images.chart(figure, f"Error by number of labelled images: {label}"),)),),
    )


def baseline_errors(metrics: dict) -> dict[str, float]:
    """Returns the errors of the baselines by their names, percent.

    Args:
        metrics: As in metrics.json.
    """
    return {
        "mean shape": metrics["mean_shape_nme_percent"],
        "untrained network": metrics["untrained_nme_percent"],
        **{rival["title"]: rival["nme_percent"] for rival in _rivals(metrics)},
    }


def verdict(error: float, high: float, baselines: dict[str, float]) -> Verdict:
    """Compares in words; what is inside the interval is not called better.

    Args:
        error: Of the model, percent.
        high: Upper end of its interval.
        baselines: Their errors, see `baseline_errors`.
    """
    beaten = [f"the {name}" for name, value in baselines.items() if value > high]
    others = [f"the {name}" for name, value in baselines.items() if value <= high]
    if not others:
        best = min(baselines, key=baselines.__getitem__)
        less = 100 * (1 - error / baselines[best])
        return Verdict(
            f"Better than all that it is compared with: {less:.0f} % less error than the {best}.",
            "",
        )
    if not beaten:
        return Verdict("", f"Not clearly better than {listed(others, 'or')}.")
    return Verdict(
        f"Better than {listed(beaten, 'and')}, but",
        f"not clearly better than {listed(others, 'or')}.",
    )


def drawn(metrics: dict) -> str:
    """Returns what the interval was drawn over, in words."""
    count, images = metrics["num_groups"], metrics["protocol"]["num_test"]
    if count == images:
        return quantity(count, "test image")
    return f"{quantity(count, 'group')} of neighbouring test images"


def typical(metrics: dict) -> str:
    """Returns what a mean hides: the middle, how many are near, how many are the wrong way round."""
    shares = ", ".join(
        f"{or_dash(share)} % of the points within {limit} %"
        for limit, share in metrics["within_percent"].items()
    )
    words = f"Median {or_dash(metrics['median_percent'])} %; {shares}."
    if metrics["num_reversed"]:
        count = quantity(metrics["num_reversed"], "test image")
        words += (
            f" In {count} of {metrics['protocol']['num_test']} the object looks reversed, head for tail or "
            "left for right."
        )
    return words


def curve_remarks(few: Sequence[dict]) -> list[str]:
    """Returns what the means of a curve over the number of labels hide, a sentence each.

    Args:
        few: Its scores by growing n, as in metrics.json.
    """
    known = [row for row in few if row["mean"] is not None]
    lines = []
    for row in known:
        middle, worst = np.median(row["draws"]), max(row["draws"])
        if len(row["draws"]) > 2 and worst > _OUTLIER * middle:
            lines.append(
                f"With {quantity(row['n'], 'label')}, one draw is {worst:.1f} % off and the middle one {middle:.1f} %: "
                "the mean is of that draw more than of the others."
            )
    if known:
        best, last = min(known, key=lambda row: row["mean"]), known[-1]
        if last["mean"] > best["mean"] + max(best["std"], _NOTICED * best["mean"]):
            lines.append(
                f"More labels made it worse: {best['mean']:.1f} % with {best['n']}, {last['mean']:.1f} % with "
                f"{last['n']}. See whether those added are labelled alike, and show what the test images show."
            )
    return lines


def warnings(protocol: dict) -> list[str]:
    """Returns what stands between a reader and the scores, a sentence each."""
    reasons = {
        "num_trained_on": ("test image", "also seen in training, without labels"),
        "num_skipped": ("test image", "left out: a point of the unit of length is not annotated"),
        "num_unreadable": ("annotated image", "left out: the file cannot be read"),
    }
    return [
        f"{quantity(protocol[key], noun)} {reason}."
        for key, (noun, reason) in reasons.items()
        if protocol[key]
    ]


def _unit(normalizer: str) -> str:
    if normalizer == "edge":
        return "the side of the network's input"
    if normalizer == "box":
        return "the longer side of what an image's labelled points span"
    first, second = normalizer.split(",")
    return f"the distance from {first.strip()} to {second.strip()}"


def _fit(protocol: dict) -> str:
    if protocol["fit"] == "nothing":
        return "nothing fitted"
    if protocol["fit"] != "closed":
        return "by gradient over warped images"
    ridge, chosen = protocol["ridge"], protocol["ridge_chosen"]
    if ridge != "auto":
        return f"ridge {ridge}"
    ends = " to ".join(f"{float(f'{value:.1g}'):g}" for value in chosen[:: max(1, len(chosen) - 1)])
    return f"ridge chosen by cross-validation over blocks of neighbours ({ends})"


def _rivals(metrics: dict) -> list[dict]:
    return list(metrics["rivals"].values())


def _rows(metrics: dict) -> tuple[LandmarkError, ...]:
    rivals = _rivals(metrics)
    ordered = sorted(
        (
            (name, [row[k] for k in _COLUMNS] + [rival["per_landmark"][name] for rival in rivals])
            for name, row in metrics["per_landmark"].items()
        ),
        key=lambda item: (item[1][0] is None, item[1][0]),
    )
    measured = [errors[0] for _, errors in ordered if errors[0] is not None]
    notes = {0: "best", len(measured) - 1: "worst"} if len(measured) > 1 else {}
    largest = max(*measured, _SMALLEST)
    return tuple(
        LandmarkError(
            name=name,
            note=notes.get(place, ""),
            errors=tuple(or_dash(error) for error in errors),
            share=(errors[0] or 0) / largest,
        )
        for place, (name, errors) in enumerate(ordered)
    )
