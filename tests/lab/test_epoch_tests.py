"""Tests after every epoch, and trainings that go on."""

import numpy as np
import pytest
import torch

from lab.experiments.watch import EpochTests


class Weight(torch.nn.Module):
    """A network whose accuracy is its weight."""

    def __init__(self):
        super().__init__()
        self.value = torch.nn.Parameter(torch.zeros(()))


def training(checkpoint, epochs, stop=None, before_test=False):
    """A training whose weight is 10 times the epoch, killed after `stop`, or before its test."""
    model = Weight()
    tests = EpochTests(checkpoint, lambda: model.value.item())
    tests.begin(model)
    first = torch.load(checkpoint)["epoch"] if checkpoint.exists() else 0
    for epoch in range(first, epochs):
        model.value.data.fill_(10 * (epoch + 1))
        torch.save({"epoch": epoch + 1, "model": model.state_dict()}, checkpoint)
        if stop == epoch + 1 and before_test:
            return None
        tests(epoch, model)
        if stop == epoch + 1:
            return None
    return tests.top1()


@pytest.mark.parametrize("before_test", [False, True])
@pytest.mark.parametrize("stop", [1, 2, 4])
def test_a_training_that_goes_on_loses_no_test(tmp_path, stop, before_test):
    assert training(tmp_path / "run.pt", 4, stop, before_test) is None
    found = training(tmp_path / "run.pt", 4)
    assert found.dtype == np.float32
    assert found.tolist() == [10, 20, 30, 40]


def test_a_checkpoint_whose_tests_are_gone_begins_again(tmp_path):
    training(tmp_path / "run.pt", 4, stop=3)
    (tmp_path / "run.tests.npz").unlink()
    assert training(tmp_path / "run.pt", 4).tolist() == [10, 20, 30, 40]


def test_what_lies_there_without_a_checkpoint_is_not_of_this_training(tmp_path):
    np.savez(tmp_path / "run.tests.npz", found=[1.0, 2.0, 3.0])
    assert training(tmp_path / "run.pt", 2).tolist() == [10, 20]
