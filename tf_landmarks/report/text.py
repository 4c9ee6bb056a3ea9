"""What an evaluation found, as a table to print."""

from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.report import scores
from tf_landmarks.report.formats import or_dash


def table(result: Result) -> list[str]:
    """Returns the scores as lines of text."""
    metrics, protocol = result.metrics, result.metrics["protocol"]
    names = [*metrics["per_landmark"], "all"]
    columns = {
        "model": _column(metrics, "nme_percent"),
        "mean shape": _column(metrics, "mean_shape_nme_percent"),
        "untrained": _column(metrics, "untrained_nme_percent"),
        **{name: _rival_column(rival) for name, rival in metrics["rivals"].items()},
    }
    width = max(12, *(len(name) for name in names))
    low, high = metrics["nme_interval_percent"]
    bias = "with" if protocol["bias"] else "no"
    return [
        _line("error, %", list(columns), width),
        *(
            _line(name, [or_dash(column[row], "{:.2f}") for column in columns.values()], width)
            for row, name in enumerate(names)
        ),
        f"95 % interval of the model's: {low:.2f} to {high:.2f}, over {scores.drawn(metrics)}",
        *_pck(metrics, width),
        *_few_labels(metrics, width),
        *scores.curve_remarks(metrics["few_labels"]),
        scores.typical(metrics),
        *filter(None, [scores.confidence_words(metrics)]),
        f"protocol {protocol['name']}: {bias} bias, ridge {protocol['ridge']}, origin "
        f"{protocol['origin']}, in % of {protocol['normalizer']}; {protocol['num_train']} train, "
        f"{protocol['num_test']} test, {protocol['num_skipped']} of these left out for want of that length, "
        f"{protocol['num_unreadable']} unreadable",
        *_note(protocol),
        *(f"health: {line}" for line in metrics["health"]["warnings"] or ["nothing found wrong"]),
        verdict(metrics),
    ]


def _note(protocol: dict) -> list[str]:
    """What is to be known of rivals of a model that labels taught before this."""
    if protocol["fit"] != "nothing":
        return []
    return [
        f"nothing is fitted to this model; its rivals learned from all {protocol['num_train']} labelled images of "
        f"{protocol['train']}, which may be more than taught it: compare with theirs at its number of labels"
    ]


def verdict(metrics: dict) -> str:
    """Returns the sentence that compares the model with all else, as the report has it."""
    high = metrics["nme_interval_percent"][1]
    said = scores.verdict(metrics["nme_percent"], high, scores.baseline_errors(metrics))
    return " ".join(filter(None, ("verdict:", said.plain, said.doubt)))


def _column(metrics: dict, key: str) -> list[float | None]:
    return [*(row[key] for row in metrics["per_landmark"].values()), metrics[key]]


def _rival_column(rival: dict) -> list[float | None]:
    return [*rival["per_landmark"].values(), rival["nme_percent"]]


def _pck(metrics: dict, width: int) -> list[str]:
    """A row a landmark and one for each that it is compared with, a column a threshold; nothing if not asked for."""
    if "pck" not in metrics:
        return []
    found, (columns, rows) = metrics["pck"], scores.pck_rows(metrics)
    lines = []
    if columns:
        lines = [_line(f"%, of {found['normalizer']}", list(columns), width)]
        lines += [_line(name, [or_dash(v) for v in cells], width) for name, cells in rows]
    if "birds_percent" in found:
        lines.append(f"PCK as published for birds: {or_dash(found['birds_percent'])} %")
    return lines


def _few_labels(metrics: dict, width: int) -> list[str]:
    """A row a learner, a column a number of labels."""
    curves = {"model": metrics["few_labels"]} if metrics["few_labels"] else {}
    curves.update((name, rival["few_labels"]) for name, rival in metrics["rivals"].items())
    counts = sorted({score["n"] for curve in curves.values() for score in curve})
    if not counts:
        return []
    lines = [_line("with n labels", [str(count) for count in counts], width)]
    for name, curve in curves.items():
        means = {score["n"]: score["mean"] for score in curve}
        cells = ["–" if means.get(n) is None else f"{means[n]:.1f}" for n in counts]
        lines.append(_line(name, cells, width))
    return lines


def _line(name: str, cells: list[str], width: int) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>12}" for cell in cells)
