"""What an evaluation found, as a table to print."""

from tf_landmarks.evaluation.landmark_regression import Result


def table(result: Result) -> list[str]:
    """Returns the scores as lines of text."""
    scores, protocol = result.metrics, result.metrics["protocol"]
    width = max(12, *(len(name) for name in scores["per_landmark"]))
    columns = ("nme_percent", "mean_shape_nme_percent", "untrained_nme_percent")

    def line(name: str, row: dict) -> str:
        values = [row[column] for column in columns]
        return f"{name:<{width}}" + "".join(
            f"{'-':>12}" if value is None else f"{value:>12.2f}" for value in values
        )

    few = [
        f"{f['n']}: {f['mean']:.1f}±{f['std']:.1f}"
        for f in scores["few_labels"]
        if f["mean"] is not None
    ]
    low, high = scores["nme_interval_percent"]
    bias = "with" if protocol["bias"] else "no"
    return [
        f"{'error, %':<{width}}{'model':>12}{'mean shape':>12}{'untrained':>12}",
        *(line(name, row) for name, row in scores["per_landmark"].items()),
        line("all", scores),
        f"95 % interval of the model's: {low:.2f} to {high:.2f}",
        *(["with n labels: " + ", ".join(few)] if few else []),
        f"protocol {protocol['name']}: {bias} bias, ridge {protocol['ridge']}, origin "
        f"{protocol['origin']}, in % of {protocol['normalizer']}; {protocol['num_train']} train, "
        f"{protocol['num_test']} test, {protocol['num_skipped']} skipped, "
        f"{protocol['num_unreadable']} unreadable",
        *(f"health: {line}" for line in scores["health"]["warnings"] or ["nothing found wrong"]),
    ]
