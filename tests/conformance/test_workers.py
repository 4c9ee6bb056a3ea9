"""Two processes under TF_CONFIG: the gradients of one, and what is left when one of them dies."""

import json
import pathlib
import socket
import subprocess
import sys

import pytest

from tests import commands
from tests.conformance import cases, test_replicas
from tf_landmarks.training import strategy

pytestmark = pytest.mark.system

HERE = pathlib.Path(__file__).parent


def environments(count: int = 2) -> list[dict[str, str]]:
    """What each worker finds in its environment."""
    sockets = [socket.socket() for _ in range(count)]
    for free in sockets:
        free.bind(("localhost", 0))
    hosts = [f"localhost:{free.getsockname()[1]}" for free in sockets]
    for free in sockets:
        free.close()
    return [
        {
            **commands.ENVIRONMENT,
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
            ),
        }
        for index in range(count)
    ]


def start(command: list, count: int = 2) -> list[subprocess.Popen]:
    return [
        subprocess.Popen(
            command, cwd=commands.ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for environment in environments(count)
    ]  # fmt: skip


def train(data, run_dir, *arguments) -> list[subprocess.Popen]:
    fixed = [f"--data={data}", "--batch_size=4", "--precision=float32"]
    command = [sys.executable, "-m", "tf_landmarks.train", *cases.QUICK.flags, *fixed]
    return start([*command, "--strategy=multi_worker", f"--run_dir={run_dir}", *arguments])


def test_two_workers_have_the_gradients_of_one_process(tmp_path):
    case = test_replicas.with_loss_network(tmp_path)
    jobs = {"halves": test_replicas.Job.of_halves(case)}
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
    one = test_replicas.run_replicas(folders[0], jobs, "one")
    test_replicas.write_jobs(folders[1], jobs)
    command = [sys.executable, HERE / "replicas.py", folders[1], "multi_worker"]
    for worker in start(command):
        _, said = worker.communicate(timeout=180)
        assert worker.returncode == 0, said
    two = test_replicas.read_gradients(folders[1])
    test_replicas.assert_same(one["halves"], two["halves"])


@pytest.mark.long
def test_a_killed_worker_ends_the_others_with_a_message_and_all_go_on_from_the_checkpoint(
    few_faces, tmp_path
):
    chief, other = train(few_faces, tmp_path, "--steps=100000", "--log_every=1", "--save_every=2")
    for line in chief.stdout:
        if line.startswith("step 5/"):
            break
    other.kill()
    other.wait()
    _, said = chief.communicate(timeout=180)
    assert chief.returncode == 2, said
    assert "error: one of the 2 workers is gone (" in said
    assert "start all of them again with the same command" in said and "Traceback" not in said

    steps = [int(p.stem.split("-")[1]) for p in (tmp_path / "checkpoints").glob("ckpt-*.index")]
    assert max(steps) >= 4
    end = max(steps) + 2
    again = train(few_faces, tmp_path, f"--steps={end}", "--log_every=1", "--save_every=2")
    for worker in again:
        out, said = worker.communicate(timeout=180)
        assert worker.returncode == 0, said
        assert f"resumes at step {max(steps)} of {end}" in out
    assert [p.name for p in (tmp_path / "export").iterdir()] == [str(end)]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows if "loss" in row] == list(
        range(1, end + 1)
    )  # by the chief alone


@pytest.mark.core
@pytest.mark.parametrize(
    ("value", "place"),
    [
        ('{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 1}}', (1, 2)),
        ("", (0, 1)),
    ],
)
def test_tf_config_tells_a_worker_its_place(monkeypatch, value, place):
    monkeypatch.setenv("TF_CONFIG", value)
    assert strategy.worker() == place
    assert strategy.is_chief() is (place[0] == 0)


@pytest.mark.core
@pytest.mark.parametrize(
    "value",
    [
        "worker",
        "[1]",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    ],
)
def test_a_tf_config_that_is_not_understood_is_shown_with_its_right_form(monkeypatch, value):
    monkeypatch.setenv("TF_CONFIG", value)
    with pytest.raises(ValueError, match=r"is not understood; it takes the form \{") as refused:
        strategy.worker()
    assert f"TF_CONFIG={value} " in str(refused.value)


@pytest.mark.core
def test_multi_worker_without_tf_config_is_refused(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match=r"--strategy=multi_worker needs TF_CONFIG"):
        strategy.make_strategy("multi_worker", 0, 4)
