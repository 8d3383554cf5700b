"""The protocols that others can implement."""

import pytest
import torch

from fvlib import models
from fvlib.clustering import METHOD_NAMES, METHODS, TemporalClustering, labeling_of
from fvlib.contracts import Labeling, VideoNetwork
from fvlib.models.packing import Frames

# ---- the contracts ----


@pytest.mark.parametrize("name", METHOD_NAMES)
def test_methods_are_labelings(name):
    assert isinstance(METHODS[name], Labeling)
    assert METHODS[name].name == name
    assert METHODS[name].needs in ("nothing", "distances", "activations")
    assert not METHODS[name].may_be_empty
    assert labeling_of("cumulative", "keep").may_be_empty


class Halves:
    """A labeling of somebody else: two clusters, half of the frames each."""

    name, needs, may_be_empty, adaptive = "halves", "nothing", False, False

    def labels(self, seen, g, lengths=None):
        return (torch.arange(seen.shape[1] + 1) * 2 // (seen.shape[1] + 1)).expand(len(seen), -1)

    def scores(self, seen, lengths=None):
        raise ValueError("there are none")


def test_a_labeling_of_somebody_else_is_used_like_ours():
    layer = TemporalClustering(Halves(), 2)
    y, labels, sizes = layer(torch.tensor([[[1.0], [3.0], [5.0]]]))
    assert (y.tolist(), labels.tolist(), sizes.tolist()) == ([[[2], [5]]], [[0, 0, 1]], [[2, 1]])
    assert repr(layer) == "TemporalClustering('halves', g=2, empty='split')"
    model = network(clustering=layer, chunk=2).eval()
    found = model(clips(), return_labels=True)[1]
    assert found.tolist() == [[0, 0, 1, 1]] * 2
    with pytest.raises(ValueError, match="adaptive is True for method 'halves'"):
        TemporalClustering(Halves(), 2, adaptive=True)


def test_a_network_is_a_video_network():
    model = network().eval()
    assert isinstance(model, VideoNetwork)
    x = clips().float()
    frames = Frames(2, 4, x.device)
    logits = model.classify(model.rest(model.encode(x.flatten(0, 1)), frames), frames)
    torch.testing.assert_close(logits, model(x, cluster=False))
    assert (model.num_classes, model.in_channels, model.device.type) == (3, 3, "cpu")
    early = {name for part in model.early for name, _ in part.named_parameters()}
    assert early == {"weight", "bias", *dict(model.layer1[0].named_parameters())}


def network(**options):
    torch.manual_seed(0)
    options = {"clustering": TemporalClustering("cumulative", 2), "width": 4, **options}
    return models.tsm_resnet(18, 3, **options)


def clips():
    return torch.randint(0, 255, (2, 4, 3, 8, 8), dtype=torch.uint8)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_no_clips_have_no_labels(name):
    y, labels, sizes = TemporalClustering(name, 2)(torch.zeros(0, 4, 3))
    assert (y.shape, labels.shape, sizes.shape) == ((0, 2, 3), (0, 4), (0, 2))
