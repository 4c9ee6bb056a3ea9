"""The charts of the report that follow a training, from the rows of its metrics.jsonl."""

from collections.abc import Iterable

from tf_landmarks.evaluation.discovery import Discovery, FeatureDiscovery
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.methods import METHODS
from tf_landmarks.report import images
from tf_landmarks.report.elements import Chart, Charts, Panel
from tf_landmarks.training import logged
from tf_landmarks.visualize import charts

_NOT_LOSSES = ("step", "stage", "steps_per_second", "bad_files")
_HELD_OUT = "val_"
# In front of what a training recorded of its health, see metrics/unsupervised.py.
_HEALTH = "health_"


def losses(model: ExportedModel, result: Discovery | FeatureDiscovery) -> Panel | None:
    """Shows the loss and its terms, in training and on held-out images."""
    names = (name.removeprefix(_HELD_OUT) for name in _names(model.metrics))
    names = [n for n in dict.fromkeys(names) if n not in _NOT_LOSSES and not n.startswith(_HEALTH)]
    if not names:
        return None
    names.sort(key=lambda name: name != "loss")
    sources = {"training": "", "held-out images": _HELD_OUT}
    return Panel(
        "Losses",
        "The loss and its terms over the steps of training, on logarithmic scales: look for curves that "
        "fall and level out; one that still falls at the end asks for more steps, and held-out images "
        "on which it rises again ask for more images or an earlier end. "
        + _explained(model, names),
        (
            Charts(
                tuple(
                    _chart(model.metrics, name, {s: prefix + name for s, prefix in sources.items()})
                    for name in names
                )
            ),
        ),
    )


def _explained(model: ExportedModel, names: Iterable[str]) -> str:
    """What the terms are, in words; nothing of a method that this version does not know."""
    method = METHODS.get(model.facts["method"])
    words = {name: logged.describe(name, method.terms) for name in names} if method else {}
    return " ".join(f"{name}: {text}." for name, text in words.items() if text)


def health_charts(model: ExportedModel) -> Charts | None:
    """Shows what the training recorded of its health, where it did."""
    keys = [name for name in _names(model.metrics) if name.startswith(_HEALTH)]
    if not keys:
        return None
    names = {key: key.removeprefix(_HEALTH).replace("_", " ") for key in keys}
    drawn = (_chart(model.metrics, name, {name: key}) for key, name in names.items())
    return Charts(tuple(drawn), "Over the steps of training")


def _names(rows: Iterable[dict]) -> list[str]:
    return list(dict.fromkeys(key for row in rows for key in row))


def _chart(rows: Iterable[dict], title: str, keys: dict[str, str]) -> Chart:
    """Draws the values of some keys, named by their labels, over the steps at which they are known."""
    series = {}
    for label, key in keys.items():
        known = [(row["step"], row[key]) for row in rows if row.get(key) is not None]
        if known:
            series[label] = tuple(zip(*known, strict=True))
    return images.chart(charts.curves(series, title), f"{title} over the steps of training")
