"""The panels of the report that compare errors: with the baselines, and by the number of labels."""

from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import images
from tf_landmarks.report.elements import Charts, LandmarkError, Panel, Scores, Verdict
from tf_landmarks.report.formats import or_dash, quantity
from tf_landmarks.visualize import charts

_AXIS = "error (NME), %"
# Columns of the table, by their keys in metrics.json.
_COLUMNS = {
    "nme_percent": "this model",
    "mean_shape_nme_percent": "mean shape",
    "untrained_nme_percent": "untrained",
}
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
        "clearly shorter than that of the mean shape, which looks at no image, and that of the network "
        "before training.",
        (
            Scores(
                chart=images.chart(bars, f"Bar chart of the errors: {label}"),
                num_landmarks=model.num_landmarks,
                protocol=protocol,
                fit=_fit(protocol),
                columns=tuple(_COLUMNS.values()),
                rows=_rows(metrics["per_landmark"]),
            ),
        ),
    )


def few_labels(model: ExportedModel, result: Result) -> Panel | None:
    """Shows the error by the number of labelled images."""
    few = [row for row in result.metrics["few_labels"] if row["mean"] is not None]
    if not few:
        return None
    counts, means, spreads = ([row[key] for row in few] for key in ("n", "mean", "std"))
    figure = charts.means_with_spread(
        {"": (counts, means, spreads)}, baseline_errors(result.metrics), "labelled images", _AXIS
    )
    label = ", ".join(f"{n}: {mean:.1f} %" for n, mean in zip(counts, means, strict=True))
    return Panel(
        "Number of labels",
        "The error when the linear regressor is fitted on fewer labelled images (mean and standard "
        "deviation of random draws), beside the baselines with all labels: look for where the curve "
        "flattens, for annotating more images than that brings little.",
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
        less = 100 * (1 - error / min(baselines.values()))
        return Verdict(
            f"Better than both baselines: {less:.0f} % less error than the stronger one.", ""
        )
    if not beaten:
        return Verdict("", f"Not clearly better than {' or '.join(others)}.")
    return Verdict(f"Better than {beaten[0]}, but", f"not clearly better than {others[0]}.")


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
    first, second = normalizer.split(",")
    return f"the distance from {first.strip()} to {second.strip()}"


def _fit(protocol: dict) -> str:
    if protocol["fit"] != "closed":
        return "by gradient over warped images"
    ridge, chosen = protocol["ridge"], protocol["ridge_chosen"]
    if ridge != "auto":
        return f"ridge {ridge}"
    ends = " to ".join(f"{value:.1g}" for value in chosen[:: max(1, len(chosen) - 1)])
    return f"ridge chosen by cross-validation over blocks of neighbours ({ends})"


def _rows(per_landmark: dict[str, dict]) -> tuple[LandmarkError, ...]:
    ordered = sorted(
        ((name, [row[key] for key in _COLUMNS]) for name, row in per_landmark.items()),
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
