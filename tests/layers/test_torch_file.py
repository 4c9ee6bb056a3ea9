"""Files of PyTorch, read without it."""

import re

import numpy as np
import pytest

from tests.layers import torch_files
from tf_landmarks.errors import UserError
from tf_landmarks.layers import torch_file

pytestmark = pytest.mark.core


@pytest.fixture
def torch(monkeypatch) -> torch_files.Torch:
    return torch_files.Torch(monkeypatch)


def state() -> dict[str, np.ndarray]:
    """Arrays of several kinds; two see parts of the same numbers, one of these transposed."""
    random = np.random.default_rng(0)
    shared = np.array(random.standard_normal([4, 6]), "f4")
    return {
        "conv.weight": np.array(random.standard_normal([5, 3, 2, 2]), "f4"),
        "half": np.array(random.standard_normal([7]), "f2"),
        "rows": shared[1:3],
        "turned": shared[:, 2:].T,
        "num_batches_tracked": np.array(11, "i8"),
        "none": np.zeros([0, 3], "f8"),
    }


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("beside", [{}, {"epoch": 3}])
def test_all_tensors_come_back_by_name_kind_and_shape(tmp_path, torch, zipped, beside):
    torch.save(tmp_path / "net.pth", state(), zipped, **beside)
    found = torch_file.read(str(tmp_path / "net.pth"))
    assert list(found) == list(state())
    for name, values in state().items():
        assert found[name].dtype == values.dtype and found[name].shape == values.shape, name
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("zipped", [True, False])
def test_what_is_no_state_dict_is_refused_unexecuted(tmp_path, torch, zipped):
    class Evil:
        def __reduce__(self):
            return open, (str(tmp_path / "ran"), "w")

    for given, told in (
        ({"weight": Evil()}, "io.open is no part of a state_dict"),
        ({"weight": 3.0}, "it holds no state_dict"),
    ):
        torch.save(tmp_path / "net.pth", given, zipped)
        with pytest.raises(UserError, match=re.escape(told)):
            torch_file.read(str(tmp_path / "net.pth"))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_cut_anywhere_is_refused(tmp_path, torch, zipped):
    torch.save(tmp_path / "net.pth", state(), zipped)
    whole = (tmp_path / "net.pth").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut.pth").write_bytes(whole[:length])
        with pytest.raises(UserError, match="damaged"):
            torch_file.read(str(tmp_path / "cut.pth"))


def test_a_tensor_beyond_its_numbers_is_refused(tmp_path, torch):
    values = np.arange(6, dtype="f4").reshape(2, 3)
    torch.save(tmp_path / "net.pth", {"weight": values}, zipped=False)
    whole = (tmp_path / "net.pth").read_bytes()
    # The shape's two numbers, as pickles have them: four rows in the place of two.
    assert whole.count(b"K\x02K\x03") == 1
    (tmp_path / "net.pth").write_bytes(whole.replace(b"K\x02K\x03", b"K\x04K\x03"))
    with pytest.raises(UserError, match="reaches beyond its numbers"):
        torch_file.read(str(tmp_path / "net.pth"))
