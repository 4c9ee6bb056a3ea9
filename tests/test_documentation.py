"""What code, settings and pages cite is in the project."""

import pathlib
import re

import pytest
from absl import flags as absl_flags

from tf_landmarks import flags, methods
from tf_landmarks.training import logged

ROOT = pathlib.Path(__file__).parents[1]
CITING = sorted(
    path
    for folder in ("tf_landmarks", "tools", "configs", "docs", "tests")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in (".py", ".cfg", ".sh", ".md", ".css", ".j2")
)
FILE = re.compile(r"(?<![\w./-])((?:[\w-]+/)*[\w-]+\.(?:md|py|sh))\b")
SECTION = re.compile(r"\b(\w+\.md)\)?, \"([^\"]+)\"")

pytestmark = pytest.mark.core


def cited_files(text: str) -> set[str]:
    """The paths of pages, modules and scripts in a text."""
    return set(FILE.findall(text))


def in_project(name: str, citing: pathlib.Path) -> bool:
    """Whether a path exists as seen from the project, the package, or the folder that cites it."""
    return any((place / name).is_file() for place in (ROOT, ROOT / "tf_landmarks", citing.parent))


def flat(text: str) -> str:
    """A text without its line breaks and comment signs."""
    return re.sub(r"\s*\n[\s#]*", " ", text)


def test_paths_are_told_from_other_words():
    text = "(docs/imm.md 3), see coordinates.py; runs/a.b/c.pyx, https://host.org/page.md, x.md."
    assert cited_files(text) == {"docs/imm.md", "coordinates.py", "x.md"}


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(ROOT)))
def test_cited_files_exist(path):
    if path.name == pathlib.Path(__file__).name:
        pytest.skip("its own examples do not exist")
    cited = cited_files(path.read_text(encoding="utf-8"))
    if "tests" in path.parts:  # which name files that they write
        cited = {name for name in cited if name.endswith(".md")}
    assert not [name for name in sorted(cited) if not in_project(name, path)]


@pytest.mark.parametrize("path", CITING, ids=lambda path: str(path.relative_to(ROOT)))
def test_cited_sections_are_headings_of_their_pages(path):
    for page, section in SECTION.findall(flat(path.read_text(encoding="utf-8"))):
        headings = re.findall(r"^#+ (.*)$", (ROOT / "docs" / page).read_text(), re.MULTILINE)
        assert section in headings, (page, section)


def test_every_method_has_a_page():
    from tf_landmarks.methods import MODELS

    names = [name for name, kind in MODELS.items() if kind.__module__.startswith("tf_landmarks")]
    assert "imm" in names
    for name in names:
        page = ROOT / "docs" / f"{name}.md"
        assert f"tf_landmarks/methods/{name}.py" in page.read_text(encoding="utf-8"), name


def test_the_map_names_every_module():
    text = (ROOT / "WORKSPACE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\w+", text.split("```")[1]))
    modules = {path.stem for path in (ROOT / "tf_landmarks").rglob("*.py") if "__" not in path.stem}
    assert "trainer" in modules
    assert not modules - named


def known_flags() -> set[str]:
    """Every flag of the commands, the tools and absl."""
    values = absl_flags.FlagValues()
    flags.define(values)
    names = set(values) | {"flagfile", "help", "helpshort", "helpfull", "version"}
    for path in [*(ROOT / "tools").glob("*.py"), *(ROOT / "tf_landmarks").glob("*.py")]:
        names |= set(re.findall(r"DEFINE_\w+\(\s*\"(\w+)\"", path.read_text(encoding="utf-8")))
    return names


@pytest.mark.parametrize(
    "path", [path for path in CITING if path.suffix in (".md", ".cfg")], ids=lambda path: path.name
)
def test_flags_that_are_named_exist(path):
    known = known_flags()
    text = path.read_text(encoding="utf-8")
    named = set(re.findall(r"(?<![\w-])--([a-z]\w*)(?![\w*-])", text)) - {
        "dir",
        "all",
    }  # of other programs
    assert not {name for name in named - known if name.removeprefix("no") not in known}


def test_every_logged_value_is_explained():
    """The page is made of the words of the code; docs/logged_values.md is what this test says it must be."""
    page = (ROOT / "docs" / "logged_values.md").read_text(encoding="utf-8")
    ours = [
        model for model in methods.MODELS.values() if model.__module__.startswith("tf_landmarks.")
    ]
    for terms in (logged.COMMON, *(model.terms for model in ours)):
        assert terms
        for name, words in terms.items():
            assert f"| `{name}` | {words} |" in page


def test_a_logged_value_is_described_by_its_name_or_pattern():
    terms = methods.MODELS["imm"].terms
    assert logged.describe("m_input", terms).startswith("mean squared error of the redrawn pixels")
    assert logged.describe("m_conv2_2", terms).startswith("mean squared error of the features")
    assert logged.describe("val_loss", {}).endswith(" (on held-out images)")
    assert logged.describe("unheard_of", terms) == ""
