"""What a page is made of, as plain data: each kind of block is a dataclass here and a template beside.

A block names its template, which finds it under the name `block`. No words here hold markup: the
templates escape them. The one exception is a chart's `svg`, which images.py alone makes.
"""

import dataclasses
from typing import ClassVar, Literal

from markupsafe import Markup


@dataclasses.dataclass(frozen=True)
class Picture:
    """A picture that is part of the page.

    Attributes:
        uri: The encoded picture as a `data:` URI.
        width: On the page, pixels.
        height: Likewise.
        alt: What it shows, for readers who cannot see it.
    """

    uri: str
    width: int
    height: int
    alt: str


@dataclasses.dataclass(frozen=True)
class Chart:
    """A vector drawing that is part of the page.

    Attributes:
        svg: One `<svg>` element.
        label: What it shows, for readers who cannot see it.
    """

    svg: Markup
    label: str


@dataclasses.dataclass(frozen=True)
class Figure:
    """A picture with words below it.

    Attributes:
        picture: The picture.
        caption: The words.
        value: In front of them, bold.
    """

    picture: Picture
    caption: str
    value: str = ""


@dataclasses.dataclass(frozen=True)
class Legend:
    """The marker of each landmark, with its number or its name."""

    template: ClassVar[str] = "legend.html.j2"
    markers: tuple[Picture, ...]
    names: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Figures side by side, as many in a row as there is room for.

    Attributes:
        figures: The figures.
        title: Above them.
        caption: What to look for in them.
        size: "small", "medium" or "large".
    """

    template: ClassVar[str] = "gallery.html.j2"
    figures: tuple[Figure, ...]
    title: str = ""
    caption: str = ""
    size: Literal["small", "medium", "large"] = "medium"


@dataclasses.dataclass(frozen=True)
class Charts:
    """Charts side by side, below a title."""

    template: ClassVar[str] = "charts.html.j2"
    charts: tuple[Chart, ...]
    title: str = ""


@dataclasses.dataclass(frozen=True)
class Matrix:
    """A table of pictures and words; the first cell of each row is its heading."""

    template: ClassVar[str] = "matrix.html.j2"
    rows: tuple[tuple[Picture | str, ...], ...]


@dataclasses.dataclass(frozen=True)
class LandmarkError:
    """A row of `Scores`.

    Attributes:
        name: The annotated landmark.
        note: "best" or "worst", otherwise empty.
        errors: Of the model and of the baselines, as text.
        share: The model's error as a share of its largest one.
    """

    name: str
    note: str
    errors: tuple[str, ...]
    share: float


@dataclasses.dataclass(frozen=True)
class Scores:
    """Errors beside those of the baselines, and how they were measured.

    Attributes:
        chart: All errors.
        num_landmarks: K, what the regressor reads.
        protocol: The entry of this name in metrics.json.
        fit: How the regressor was fitted.
        columns: Names of the errors of a row.
        rows: One for each annotated landmark, the best first.
    """

    template: ClassVar[str] = "scores.html.j2"
    chart: Chart
    num_landmarks: int
    protocol: dict
    fit: str
    columns: tuple[str, ...]
    rows: tuple[LandmarkError, ...]


@dataclasses.dataclass(frozen=True)
class LandmarkHealth:
    """A row of `Health`.

    Attributes:
        label: Its number, and its name if it has one.
        marker: Its marker.
        confidence: Mean over the images, 0 to 1.
        values: Its other measures, as text.
        remark: What is wrong with it; empty where nothing is.
    """

    label: str
    marker: Picture
    confidence: float
    values: tuple[str, ...]
    remark: str


@dataclasses.dataclass(frozen=True)
class HealthVerdict:
    """How many landmarks are of use.

    Attributes:
        collapsed: Whether there are no landmarks to work with.
        num_good: Landmarks with nothing wrong about them.
        num_landmarks: K.
    """

    collapsed: bool
    num_good: int
    num_landmarks: int


@dataclasses.dataclass(frozen=True)
class Health:
    """What can be told of discovered landmarks without annotations.

    Attributes:
        verdict: How many of them are of use.
        warnings: What is wrong and what helps against it, a sentence each.
        generator: How much a generator needs them; empty without one.
        columns: Names of the values of a row.
        tables: The rows, in one or two tables that stand side by side.
    """

    template: ClassVar[str] = "health.html.j2"
    verdict: HealthVerdict
    warnings: tuple[str, ...]
    generator: str
    columns: tuple[str, ...]
    tables: tuple[tuple[LandmarkHealth, ...], ...]


@dataclasses.dataclass(frozen=True)
class Measures:
    """Numbers beside those that they are to be compared with.

    Attributes:
        columns: Names of the numbers of a row.
        rows: What is measured, and its numbers as text.
        warnings: What is wrong and what helps against it, a sentence each.
        notes: What the number of each row is; empty where the rows say it.
    """

    template: ClassVar[str] = "measures.html.j2"
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a model's error compares with those of the baselines.

    Attributes:
        plain: What is sure.
        doubt: Behind it, bold: what the error is not clearly better than.
    """

    plain: str
    doubt: str


Block = Legend | Gallery | Charts | Matrix | Scores | Health | Measures


@dataclasses.dataclass(frozen=True)
class Panel:
    """A section of the page.

    Attributes:
        title: Its heading.
        caption: What it shows, and what to look for.
        blocks: From the top down.
    """

    title: str
    caption: str
    blocks: tuple[Block, ...]

    @property
    def anchor(self) -> str:
        """The name that links to the panel point at."""
        return self.title.lower().replace(" ", "-")
