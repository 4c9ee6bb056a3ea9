"""Files and folders of runs, whatever they are called."""

import os

import pytest
import tensorflow as tf

from tf_landmarks import run_directory

pytestmark = pytest.mark.core

NAMES = ["mice [day 1]", "a*b?", "back\\slash", "caf\udce9", "plain \u00fc"]


class Doubler(tf.Module):
    """Holds one variable."""

    def __init__(self):
        super().__init__()
        self.factor = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32)])
    def __call__(self, value):
        return self.factor * value


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_and_models_are_found_in_folders_of_any_name(tmp_path, name):
    made = tmp_path / "made"
    tf.train.Checkpoint(value=tf.Variable(7.0)).write(str(made / "ckpt-3"))
    tf.saved_model.save(Doubler(), str(made / "model"))
    folder = os.path.join(str(tmp_path), name)
    os.rename(made, folder)
    value = tf.Variable(0.0)
    with run_directory.plain_path(folder) as plain:
        tf.train.Checkpoint(value=value).read(os.path.join(plain, "ckpt-3")).assert_consumed()
        loaded = tf.saved_model.load(os.path.join(plain, "model"))
    assert value.numpy() == 7.0 and loaded(tf.constant(4.0)).numpy() == 8.0


def test_a_plain_name_is_kept(tmp_path):
    with run_directory.plain_path(str(tmp_path)) as plain:
        assert plain == str(tmp_path)


def test_a_list_keeps_names_of_any_bytes_and_line_breaks_but_one(tmp_path):
    lines = ["caf\udce9.png", "a\u2028b\x85c\rd.png", " x "]
    path = str(tmp_path / "list.txt")
    with run_directory.open_whole(path) as file:
        file.writelines(f"{line}\n" for line in lines)
    assert run_directory.read_lines(path) == lines
