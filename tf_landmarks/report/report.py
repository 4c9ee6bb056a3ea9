"""report.html: what an evaluation found, in numbers and pictures, as one file that needs no other.

The page is the panels of `_PANELS`, from the top down. Each takes the model and the result and
returns a piece of HTML, or nothing where it has nothing to show. Words that come from file names or
annotations are escaped by `page`.
"""

import pathlib

import numpy as np

from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.metrics import unsupervised
from tf_landmarks.report import html, panels
from tf_landmarks.visualize import charts

_NOT_LOSSES = ("step", "steps_per_second", "bad_files")
# In front of what a training recorded of its health, see metrics/unsupervised.py.
_HEALTH = "health_"

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<h1>{title}</h1>
{facts}
<nav>{links}</nav>
{sections}
</body>
</html>
"""


def write(path: str, model: ExportedModel, result: Result) -> None:
    """Writes the report.

    Args:
        path: The HTML file.
        model: What was evaluated.
        result: What `landmark_regression.evaluate` returned for it.
    """
    shown = {name: panel(model, result) for name, panel in _PANELS.items()}
    shown = {name: content for name, content in shown.items() if content}
    anchors = {name: name.lower().replace(" ", "-") for name in shown}
    page = _PAGE.format(
        title=html.text(f"Landmarks on {result.test.title or 'test images'}"),
        style=pathlib.Path(__file__).with_suffix(".css").read_text(encoding="utf-8"),
        facts=_facts(model, result),
        links="\n".join(f'<a href="#{anchors[name]}">{name}</a>' for name in shown),
        sections="\n".join(
            f'<section id="{anchors[name]}">\n<h2>{name}</h2>\n{content}\n</section>'
            for name, content in shown.items()
        ),
    )
    # File names may hold bytes that are no text.
    pathlib.Path(path).write_text(page, encoding="utf-8", errors="backslashreplace")


def _facts(model: ExportedModel, result: Result) -> str:
    protocol = result.metrics["protocol"]
    return (
        f'<p class="facts">Method <b>{html.text(model.facts["method"])}</b>, step '
        f"{model.facts['step']:,}, {html.count(model.num_landmarks, 'discovered landmark')}, network "
        f"input {protocol['image_size']}×{protocol['image_size']} pixels; "
        f"{html.count(protocol['num_train'], 'labelled training image')}, "
        f"{html.count(protocol['num_test'], 'test image')}.</p>"
    )


def _scores(model: ExportedModel, result: Result) -> str:
    scores = result.metrics
    low, high = scores["nme_interval_percent"]
    values = {"this model": scores["nme_percent"], **_baselines(scores)}
    chart = charts.bars(values, (low, high), "error (NME), %")
    words = ", ".join(f"{name} {value:.1f} %" for name, value in values.items())
    unit = _unit(scores["protocol"]["normalizer"])
    return "\n".join(
        [
            html.caption(
                "The error (NME) is the mean distance between predicted and annotated points in "
                f"percent of {unit}: the model has learned something useful where its bar is clearly "
                "shorter than that of the mean shape, which looks at no image, and that of the "
                "network before training."
            ),
            f'<p class="headline"><b>{values["this model"]:.1f} %</b> 95 % interval {low:.1f} to '
            f"{high:.1f} %; mean shape {values['mean shape']:.1f} %, untrained network "
            f"{values['untrained network']:.1f} %</p>",
            f"<p>{_verdict(scores['nme_percent'], high, _baselines(scores))}</p>",
            *(f'<p class="warning">{line}</p>' for line in _warnings(scores["protocol"])),
            '<div class="side"><div>',
            html.chart_tag(chart, f"Bar chart of the errors: {words}"),
            "<h3>How this was measured</h3>",
            f"<p>{_protocol(scores['protocol'], model)}</p>",
            f"</div><div>{_score_table(scores['per_landmark'])}</div></div>",
        ]
    )


def _baselines(scores: dict) -> dict[str, float]:
    return {
        "mean shape": scores["mean_shape_nme_percent"],
        "untrained network": scores["untrained_nme_percent"],
    }


def _verdict(error: float, high: float, baselines: dict[str, float]) -> str:
    """Compares in words; what is inside the interval is not called better."""
    others = [f"the {name}" for name, value in baselines.items() if value <= high]
    if not others:
        share = 100 * (1 - error / min(baselines.values()))
        return f"Better than both baselines: {share:.0f} % less error than the stronger one."
    if len(others) == len(baselines):
        return f"<b>Not clearly better than {' or '.join(others)}.</b>"
    beaten = next(name for name, value in baselines.items() if value > high)
    return f"Better than the {beaten}, but <b>not clearly better than {others[0]}</b>."


def _warnings(protocol: dict) -> list[str]:
    reasons = {
        "num_trained_on": ("test image", "also seen in training, without labels"),
        "num_skipped": ("test image", "left out: a point of the unit of length is not annotated"),
        "num_unreadable": ("annotated image", "left out: the file cannot be read"),
    }
    return [
        f"{html.count(protocol[key], noun)} {reason}."
        for key, (noun, reason) in reasons.items()
        if protocol[key]
    ]


def _protocol(protocol: dict, model: ExportedModel) -> str:
    ridge, chosen = protocol["ridge"], protocol["ridge_chosen"]
    if ridge == "auto":
        ridge = f"chosen by cross-validation over blocks of neighbours ({' to '.join(f'{r:.1g}' for r in chosen[:: max(1, len(chosen) - 1)])})"
    how = f"ridge {ridge}" if protocol["fit"] == "closed" else "by gradient over warped images"
    return (
        f"A linear map from the {html.count(model.num_landmarks, 'discovered landmark')} to the "
        f"annotated points was fitted on {html.count(protocol['num_train'], 'labelled image')} "
        f"({html.text(protocol['train'])}) and measured on {protocol['num_test']:,} others "
        f"({html.text(protocol['test'])}); both baselines got the same labels, and the network before "
        f"training such a map of its own. Protocol <b>{html.text(protocol['name'])}</b> "
        f"({html.text(protocol['source'])}): {'with' if protocol['bias'] else 'no'} bias, {how}, "
        f"coordinates from the {protocol['origin'].replace('_', ' ')}. The interval covers "
        "the choice of test images, not the chance in training."
    )


def _score_table(per_landmark: dict[str, dict]) -> str:
    columns = ("nme_percent", "mean_shape_nme_percent", "untrained_nme_percent")
    ordered = sorted(
        ((name, [row[column] for column in columns]) for name, row in per_landmark.items()),
        key=lambda item: (item[1][0] is None, item[1][0]),
    )
    measured = [values[0] for _, values in ordered if values[0] is not None]
    notes = {0: " (best)", len(measured) - 1: " (worst)"} if len(measured) > 1 else {}
    lines = []
    for place, (name, values) in enumerate(ordered):
        cells = "".join(f"<td>{'–' if v is None else f'{v:.1f}'}</td>" for v in values)
        bar = html.bar((values[0] or 0) / max(*measured, 1e-9))
        name = html.text(name) + notes.get(place, "")
        lines.append(f"<tr><th>{name}</th>{cells}<td>{bar}</td></tr>")
    return (
        '<div class="scroll"><table class="scores">\n<thead><tr><th>error in %, best first</th>'
        "<th>this model</th><th>mean shape</th><th>untrained</th><th></th></tr></thead>\n<tbody>"
        + "\n".join(lines)
        + "</tbody>\n</table></div>"
    )


def _losses(model: ExportedModel, result: Result) -> str:
    rows = model.metrics
    figures = []
    names = dict.fromkeys(key.removeprefix("val_") for row in rows for key in row)
    for name in sorted(names, key=lambda name: name != "loss"):
        series = {}
        for key, label in ((name, "training"), (f"val_{name}", "held-out images")):
            points = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
            if points:
                series[label] = tuple(zip(*points, strict=True))
        if name not in _NOT_LOSSES and not name.startswith(_HEALTH):
            chart = charts.curves(series, name)
            figures.append(html.figure(html.chart_tag(chart, f"{name} over the steps of training")))
    words = (
        "The loss and its terms over the steps of training, on logarithmic scales: look for curves "
        "that fall and level out; one that still falls at the end asks for more steps, and held-out "
        "images on which it rises again ask for more images or an earlier end."
    )
    return html.caption(words) + html.tiles(figures, "wide") if figures else ""


def _few_labels(model: ExportedModel, result: Result) -> str:
    few = [score for score in result.metrics["few_labels"] if score["mean"] is not None]
    if not few:
        return ""
    numbers, means, spreads = ([score[key] for score in few] for key in ("n", "mean", "std"))
    chart = charts.means_with_spread(
        {"": (numbers, means, spreads)}, _baselines(result.metrics),
        "labelled images", "error (NME), %",
    )  # fmt: skip
    words = ", ".join(f"{n}: {mean:.1f} %" for n, mean in zip(numbers, means, strict=True))
    return html.caption(
        "The error when the linear map is fitted on fewer labelled images (mean and standard deviation "
        "of random draws), beside the baselines with all labels: look for where the curve flattens, "
        "for annotating more images than that brings little."
    ) + html.figure(html.chart_tag(chart, f"Error by number of labelled images: {words}"))


def _health(model: ExportedModel, result: Result) -> str:
    found = result.metrics["health"]
    confidence = result.confidence.mean(axis=0)
    lags = np.array([np.nan if p["lag"] is None else p["lag"] for p in found["points"]])
    rows = [
        _health_row(k, found["points"][k], confidence[k], _remarks(found, k))
        for k in np.argsort(lags, kind="stable")
    ]
    half = -(-len(rows) // 2) if len(rows) > 8 else len(rows)
    return "\n".join(
        [
            html.caption(
                f"Measured without annotations on {html.count(found['num_images'], 'test image')}, each "
                "also warped in a known way. Trust points that move from image to image and follow the "
                "warp: one that follows exactly misses 0 % of its shift, one that stays misses 100 %. "
                "Confidence says how narrow a point's heatmap is; contrast, how many places of the "
                "image show less than the point's surroundings (half of them, for a point put anywhere)."
            ),
            f"<p>{_health_verdict(found)}</p>",
            *(f'<p class="warning">{html.text(_sentence(w))}</p>' for w in found["warnings"]),
            f"<p>{_generator_words(found)}</p>" if found["shuffle_ratio"] is not None else "",
            '<div class="side">',
            *(f"<div>{_health_table(part)}</div>" for part in (rows[:half], rows[half:]) if part),
            "</div>",
            _health_curves(model),
        ]
    )


def _health_verdict(found: dict) -> str:
    if found["collapsed"]:
        return "<b>Collapsed: there are no landmarks to work with.</b>"
    good = sum(not _remarks(found, k) for k in range(len(found["points"])))
    whole = html.count(len(found["points"]), "landmark")
    return f"<b>{good:,} of {whole}</b> move, follow the object and repeat no other."


def _generator_words(found: dict) -> str:
    return (
        f"Redrawn from its own points and its warp, an image is off by "
        f"{found['reconstruction_percent']:.1f} % of white; with the points of another image the squared "
        f"error is {found['shuffle_ratio']:.1f} times as large (1 means that the generator ignores "
        f"them), with the look of another {found['swap_ratio']:.1f} times."
    )


def _remarks(found: dict, k: int) -> list[str]:
    """What is wrong with a point, in a word each."""
    same = [j for group in found["duplicates"] if k in group for j in group if j != k]
    kinds = [kind.replace("_", " ") for kind in unsupervised.KINDS if k in found[kind]]
    first = same and all(j > k for j in same)  # one of a group is as good as any point
    numbers = ", ".join(map(str, same[:3])) + (" …" if len(same) > 3 else "")
    return kinds[:1] + ([f"same as {numbers}"] if same and not first else [])


def _health_row(k: int, point: dict, confidence: float, remarks: list[str]) -> str:
    def cell(value: float | None, words: str) -> str:
        return f"<td>{'–' if value is None else words.format(value)}</td>"

    remark = f'<span class="remark">{html.text(", ".join(remarks))}</span>'
    return (
        f'<tr><th><span class="point">{html.marker_tag(k)}{k}</span></th>'
        f'<td class="share">{html.bar(confidence)}{confidence:.2f}</td>'
        + cell(point["spread_percent"], "±{:.1f} %")
        + cell(point["lag"] and 100 * point["lag"], "{:.0f} %")
        + cell(100 * point["contrast"], "{:.0f} %")
        + f"<td>{remark if remarks else ''}</td></tr>"
    )


def _health_table(rows: list[str]) -> str:
    names = ("point", "confidence", "moves", "misses", "contrast", "")
    head = "".join(f"<th>{name}</th>" for name in names)
    return (
        f'<div class="scroll"><table class="scores health">\n<thead><tr>{head}</tr></thead>\n<tbody>'
        + "\n".join(rows)
        + "</tbody>\n</table></div>"
    )


def _health_curves(model: ExportedModel) -> str:
    """What the training recorded, where it did."""
    rows = [row for row in model.metrics if any(key.startswith(_HEALTH) for key in row)]
    figures = []
    for key in dict.fromkeys(key for row in rows for key in row if key.startswith(_HEALTH)):
        points = [(row["step"], row[key]) for row in rows if key in row]
        name = key.removeprefix(_HEALTH).replace("_", " ")
        chart = charts.curves({name: tuple(zip(*points, strict=True))}, name)
        figures.append(html.figure(html.chart_tag(chart, f"{name} over the steps of training")))
    return "<h3>Over the steps of training</h3>" + html.tiles(figures, "wide") if figures else ""


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _unit(normalizer: str) -> str:
    if normalizer == "edge":
        return "the side of the network's input"
    first, second = normalizer.split(",")
    return f"the distance from {first.strip()} to {second.strip()}"


_PANELS = {
    "Score": _scores,
    "Discovered landmarks": panels.discovered,
    "Prediction and annotation": panels.regressed,
    "What predicts what": panels.correlations,
    "Heatmaps": panels.blended_heatmaps,
    "Reconstructions": panels.reconstructions,
    "Look and pose exchanged": panels.swaps,
    "Losses": _losses,
    "Number of labels": _few_labels,
    "Health": _health,
}
