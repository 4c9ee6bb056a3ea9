"""Numbers and landmarks in words; also filters of the templates."""

from tf_landmarks.inference.exported import ExportedModel


def quantity(count: int, noun: str) -> str:
    """Returns a number of things in words: "1 image", "1,024 images"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def or_dash(value: float | None, form: str = "{:.1f}") -> str:
    """Formats a number, or returns a dash where there is none."""
    return "–" if value is None else form.format(value)


def listed(words: list[str], last: str) -> str:
    """Joins words: "a", "a and b", "a, b and c", with `last` before the last one."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def landmark_labels(model: ExportedModel) -> tuple[str, ...]:
    """Returns what each landmark is called beside its marker: its number, and its name if labels gave it one."""
    names = enumerate(model.landmark_names)
    return tuple(f"{k} {name}" if model.given_names else name for k, name in names)
