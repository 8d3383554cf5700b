"""The protocols that others can implement, and inputs of any kind for all public functions."""

import numpy as np
import pytest
import torch

from fvlib import clustering, full_video, models
from fvlib.clustering import METHOD_NAMES, METHODS, TemporalClustering, labeling_of
from fvlib.contracts import Labeling, VideoNetwork
from fvlib.models.full_video import image_network
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


# ---- inputs of any kind ----


def network(**options):
    torch.manual_seed(0)
    options = {"clustering": TemporalClustering("cumulative", 2), "width": 4, **options}
    return models.tsm_resnet(18, 3, **options)


def clips():
    return torch.randint(0, 255, (2, 4, 3, 8, 8), dtype=torch.uint8)


X, DIST, LABELS = torch.randn(2, 4, 3), torch.ones(2, 3).long(), torch.tensor([[0, 0, 1, 1]] * 2)
LENGTHS = torch.tensor([4, 3])
NET, FRAMES = network().eval(), Frames(2, 4, torch.device("cpu"))
CHUNKED = network(chunk=2).eval()
LAYER = TemporalClustering("cumulative", 2)
SMALL = torch.nn.Sequential(
    *(torch.nn.Conv2d(3, 8, 9, 9), torch.nn.Conv2d(8, 8, 7), torch.nn.Flatten()),
)
CALLS = {
    clustering.hamming_distances: {"x": X, "lengths": LENGTHS},
    clustering.cumulative_clusters: {"dist": DIST, "g": 2, "empty": "split", "lengths": LENGTHS},
    clustering.slope_clusters: {"dist": DIST, "g": 2, "lengths": LENGTHS},
    clustering.uniform_clusters: {"t": DIST, "g": 2, "lengths": LENGTHS},
    clustering.optimal_clusters: {"x": X, "g": 2, "lengths": LENGTHS},
    clustering.aggregate: {"x": X, "labels": LABELS, "g": 2},
    clustering.cluster_sizes: {"labels": LABELS, "g": 2},
    clustering.labeling_of: {"method": "cumulative", "empty": "keep"},
    clustering.adaptive_counts: {
        **{"dist": DIST, "mean": 2, "method": "slope", "lengths": LENGTHS},
    },
    clustering.counts_at: {"dist": DIST, "tau": 1.0, "method": "slope", "lengths": LENGTHS},
    clustering.threshold_of: {
        **{"dist": DIST, "counts": torch.tensor([1, 2]), "method": "slope", "lengths": LENGTHS},
    },
    TemporalClustering: {"method": "cumulative", "g": 2, "empty": "keep", "adaptive": False},
    LAYER: {"x": X, "lengths": LENGTHS},
    LAYER.labels: {"seen": DIST, "lengths": LENGTHS},
    models.tsm_resnet: {
        **{"depth": 18, "num_classes": 3, "width": 8, "in_channels": 3, "clustering": LAYER},
        **{"shift_stages": (2, 3), "dropout": 0.5, "consensus": "mean", "stem_pool": True},
        **{"batchnorm": "trained", "early_statistics": "batch", "chunk": 2, "memory": 2**20},
        "weights": None,
    },
    NET: {"x": clips(), "lengths": LENGTHS},
    NET.features: {"x": clips(), "lengths": LENGTHS, "upto": "layer2"},
    CHUNKED: {"x": clips(), "lengths": LENGTHS},
    models.temporal_shift: {"x": torch.randn(8, 8, 2, 2), "frames": FRAMES, "fraction": 8},
    full_video: {
        **{"backbone": SMALL, "after": "0", "clustering": LAYER, "shift": ("1",), "chunk": 2},
        **{"memory": 2**20, "early_statistics": "running"},
    },
    image_network: {"name": "squeezenet1_1", "num_classes": 3, "weights": None},
    models.load_checkpoint: {"model": NET, "source": NET.state_dict(), "new_classes": False},
}
STRANGE = {
    **{"none": None, "array": np.ones((2, 3)), "list": [[1, 2], [3, 4]], "text": "what", "big": 7},
    **{"bool": True, "float": 1.5, "nan": float("nan"), "huge": 10**30, "zero": 0, "minus": -1},
    **{"dict": {}, "type": dict, "tuple": (1, "2"), "nested": [[1], [2, 3]], "empty": []},
    **{"object": object(), "function": len, "module": torch.nn.ReLU()},
}
TENSORS = {
    "meta": lambda x: x.to("meta"),
    "sparse": lambda x: x.to_sparse(),
    "complex": lambda x: x.to(torch.complex64),
    **{
        f"{dtype}": lambda x, dtype=dtype: x.abs().to(dtype)
        for dtype in (torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.bool)
    },
    "int32": lambda x: x.int(),
    "float64": lambda x: x.double(),
    "nan": lambda x: torch.full_like(x.double(), float("nan")),
    "no axis": lambda x: x.flatten()[0],
    "one axis": lambda x: x.flatten(),
    "more axes": lambda x: x[None, ..., None],
    "nothing": lambda x: x[:0],
    "no features": lambda x: x[..., :0],
    "one clip less": lambda x: x[1:],
    "large": lambda x: torch.full_like(x, 2**62 if x.dtype == torch.int64 else 100),
    "minus": lambda x: -x.to(torch.int64),
}
ARGUMENTS = [
    pytest.param(call, name, id=f"{i}-{getattr(call, '__qualname__', 'forward')}-{name}")
    for i, (call, arguments) in enumerate(CALLS.items())
    for name in arguments
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: getattr(call, "__qualname__", "call"))
def test_each_call_is_right_as_it_stands(call):
    if call is models.load_checkpoint:
        call(**CALLS[call], other_shift=True)
    else:
        call(**CALLS[call])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.filterwarnings("ignore:Sparse")
@pytest.mark.parametrize(("call", "name"), ARGUMENTS)
def test_an_argument_of_any_kind_is_taken_or_refused_in_a_sentence(call, name):
    arguments, value = CALLS[call], CALLS[call][name]
    tensors = TENSORS if isinstance(value, torch.Tensor) else {}
    for kind, other in {**STRANGE, **{kind: make(value) for kind, make in tensors.items()}}.items():
        try:
            call(**{**arguments, name: other})
        except (ValueError, TypeError) as error:
            said = str(error)
            # Where two arguments do not fit, the sentence may name the other one.
            words = (*arguments, "clips", "dist", "class", "checkpoint", "network")
            assert any(word in said for word in words), (kind, said)
            assert len(said) > 20, (kind, said)
            assert "\n" not in said, (kind, said)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("name", METHOD_NAMES)
def test_no_clips_have_no_labels(name):
    y, labels, sizes = TemporalClustering(name, 2)(torch.zeros(0, 4, 3))
    assert (y.shape, labels.shape, sizes.shape) == ((0, 2, 3), (0, 4), (0, 2))
