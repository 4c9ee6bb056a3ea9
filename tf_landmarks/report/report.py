"""report.html: what a model finds, and how well, in numbers and pictures, as one file that needs no other.

A panel is a function of the model and the result that returns plain data (elements.py), or None where
it has nothing to show. The templates make the page of it: they alone hold markup, they escape every
word of file names and annotations, and a value that they miss is an error.
"""

import jinja2

from tf_landmarks.evaluation.discovery import Discovery, FeatureDiscovery
from tf_landmarks.evaluation.landmark_regression import Result
from tf_landmarks.inference.exported import ExportedModel
from tf_landmarks.report import curves, features, formats, health, panels, scores

# What needs no annotation.
DISCOVERY_PANELS = (
    panels.discovered,
    health.health,
    panels.blended_heatmaps,
    panels.reconstructions,
    panels.swaps,
    curves.losses,
)
FEATURE_PANELS = (features.health, features.components, features.matches, curves.losses)
# From the top of the page down: what matters most comes first.
PANELS = (
    scores.score,
    scores.pck,
    scores.confidence,
    panels.discovered,
    panels.regressed,
    health.health,
    scores.few_labels,
    panels.correlations,
    panels.blended_heatmaps,
    panels.reconstructions,
    panels.swaps,
    curves.losses,
)


def render(model: ExportedModel, result: Discovery | FeatureDiscovery) -> str:
    """Returns the page; the same one for the same result.

    Args:
        model: What was looked at.
        result: What `landmark_regression.evaluate` returned for it; or, without annotations,
            `discovery.discover`.
    """
    if isinstance(result, FeatureDiscovery):
        described = feature_context(model, result)
    elif isinstance(result, Result):
        described = context(model, result)
    else:
        described = discovery_context(model, result)
    return environment().get_template("report.html.j2").render(described)


def environment() -> jinja2.Environment:
    """Returns the templates, with the filters they use."""
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("tf_landmarks.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    templates.filters.update(quantity=formats.quantity, or_dash=formats.or_dash)
    return templates


def discovery_context(model: ExportedModel, result: Discovery) -> dict:
    """Returns what report.html.j2 shows where nothing is annotated, by the names it uses."""
    shown = [panel(model, result) for panel in DISCOVERY_PANELS]
    return {
        "title": f"Landmarks on {result.test.title or 'images'}",
        "summary": "discovery.html.j2",
        "facts": model.facts,
        "size": model.geometry.size,
        "num_images": len(result.test),
        "health": health.verdict(result.health),
        "warnings": result.health["warnings"],
        "panels": [panel for panel in shown if panel],
    }


def feature_context(model: ExportedModel, result: FeatureDiscovery) -> dict:
    """Returns what report.html.j2 shows of a model of features, by the names it uses."""
    shown = [panel(model, result) for panel in FEATURE_PANELS]
    return {
        "title": f"Features of {result.test.title or 'images'}",
        "summary": "features.html.j2",
        "facts": model.facts,
        "size": model.geometry.size,
        "num_channels": result.health["num_channels"],
        "num_images": len(result.test),
        "headline": features.headline(result),
        "has_gained": result.has_gained,
        "warnings": result.health["warnings"],
        "panels": [panel for panel in shown if panel],
    }


def context(model: ExportedModel, result: Result) -> dict:
    """Returns what report.html.j2 shows, by the names it uses."""
    metrics = result.metrics
    shown = [panel(model, result) for panel in PANELS]
    return {
        "title": f"Landmarks on {result.test.title or 'test images'}",
        "summary": "summary.html.j2",
        "facts": model.facts,
        "metrics": metrics,
        "verdict": scores.verdict(
            metrics["nme_percent"],
            metrics["nme_interval_percent"][1],
            scores.baseline_errors(metrics),
        ),
        "baselines": scores.baseline_errors(metrics),
        "typical": scores.typical(metrics),
        "drawn": scores.drawn(metrics),
        "warnings": scores.warnings(metrics["protocol"]),
        "health": health.verdict(result.health),
        "panels": [panel for panel in shown if panel],
    }
