"""Every parameter of every experiment, and which experiments there are.

The parameters of a run are a frozen dataclass, made strictly from the recipe file by `fvlib.values`
(`lab.recipes.parameters_of`): an unknown key, a wrong type and a value that cannot be meant are
refused before anything runs. It is made of parts: how a network is trained (`Recipe`), how the
clips of Move4MNIST are made (`Difficulty`), and those below. Light, so that commands that only read
need not load torch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from importlib import import_module
from typing import Any, Literal, TypeVar

from fvlib import clustering
from fvlib.datasets.plans import Difficulty, Options
from fvlib.recipe import Recipe
from fvlib.values import check_fields, check_least, read, want

Part = TypeVar("Part", bound="Parameters")
Method = Literal[clustering.METHOD_NAMES] | None
# Which networks alone take a parameter, and the value that it has there if it is not given.
OF_ONE_NETWORK = {"share": ("stochastic_backprop", 0.25), "windows": ("dynamic_image", 1)}
HEADED = ("trn_multiscale", "action_vlad", "videograph", "resnet_frames")
RULES = ("clusters", "last dropped")  # of `lab.released`, for the clustering step
# Whole numbers that may be 0; all others are 1 or more.
MAY_BE_ZERO = {
    *("classes_with", "last_epochs", "mini_seed", "test_seed", "train_seed", "warmup_epochs"),
    "workers",
}


# --- parts ----------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Of every run: its scale and its data, which are in the name of its record too."""

    scale: Literal["smoke", "small", "paper"]
    data: Literal["embedded", "real"]  # real: below FVLIB_DATA

    def __post_init__(self):
        check_fields(self)
        for name, value in vars(self).items():
            if type(value) is int:
                check_least(self, name not in MAY_BE_ZERO, name)
        for part in reversed(type(self).__mro__):  # each after those that it is made of
            if check := vars(part).get("check"):
                check(self)
            elif part is not Parameters and "__post_init__" in vars(part):  # of the library's
                part.__post_init__(self)

    def stated(self) -> dict[str, Any]:
        """As a record states them: all of them, but those that are None."""
        return _stated(self)

    def chosen(self) -> dict[str, Any]:
        """Those that are stated and not at their default, for a reader."""
        usual = {field.name: _stated(field.default) for field in fields(self)}
        return {key: value for key, value in self.stated().items() if value != usual[key]}


@dataclass(frozen=True, kw_only=True)
class Network(Parameters):
    """What the network of a row is, and what it starts from (`lab.building.build_network`)."""

    network: str = "tsm"  # or one of lab.systems
    depth: Literal[18, 34, 50, 101, 152]  # of the ResNet
    width: int = 64  # channels of its stem; 64 as published
    in_channels: int = 3  # 1: grey, 3: colours, 2 k: k stacked flows, across and down
    stem_pool: bool = True  # whether the stem ends in a max pooling
    shift_stages: tuple[Literal[1, 2, 3, 4], ...] = (2, 3, 4)  # with temporal shift
    dropout: float = 0.5  # before the last layer
    consensus: Literal["mean", "size", "sqrt"] = "mean"  # how clusters weigh in the score
    batchnorm: Literal["trained", "partial", "frozen"] = "trained"  # partial: all but the first
    chunk: int | Literal["auto"] | None = None  # frames that are worked on at once
    weights: str | None = None  # torchvision's name, or a published checkpoint beside the recipes
    init: str | None = None  # the common start beside the recipes; {data} is the word for the data
    method: Method = None  # of the clustering step; None: there is none
    clusters: int | None = None  # g; with adaptive its mean
    empty: Literal["split", "keep"] | None = None  # empty segments of the cumulative rule
    adaptive: bool = False  # whether each clip has as many clusters as it needs
    share: float | None = None  # of frames that get a gradient (stochastic_backprop)
    windows: int | None = None  # parts of a clip that become an image each (dynamic_image)

    def check(self) -> None:
        even = self.in_channels in (1, 3) or self.in_channels % 2 == 0
        want(self, even, "in_channels", why="wanted 1 (grey), 3 (colours) or an even number (flow)")
        want(self, 0 <= self.dropout < 1, "dropout", why="wanted 0 or more, and below 1")
        ascending = list(self.shift_stages) == sorted(set(self.shift_stages))
        want(self, ascending, "shift_stages", why="wanted stages, ascending")
        one = self.weights is None or self.init is None
        want(self, one, "weights", "init", why="a network has one start: let one of them be none")
        for name, (network, usual) in OF_ONE_NETWORK.items():
            if getattr(self, name) is None and self.network == network:
                object.__setattr__(self, name, usual)
            takes = getattr(self, name) is None or self.network == network
            want(self, takes, name, "network", why=f"{name} is a parameter of {network} alone")
        some = self.share is None or 0 < self.share <= 1
        want(self, some, "share", why="wanted above 0 and at most 1")
        both = (self.method is None) == (self.clusters is None)
        want(self, both, "method", "clusters", why="give both, or none of them")
        if self.method == "cumulative" and self.empty is None:
            object.__setattr__(self, "empty", "split")
        own = self.empty is None or self.method == "cumulative"
        want(self, own, "empty", "method", why="empty is of the cumulative method")
        plain = not self.adaptive and self.consensus == "mean"
        of_all = self.clusters is None or getattr(self, "frames", "all") == "all"
        why = "clusters are of all frames: leave one of them out"
        want(self, of_all, "clusters", "frames", why=why)
        why = "there are no clusters: give method and clusters"
        want(self, self.method or plain, "adaptive", "consensus", why=why)


@dataclass(frozen=True, kw_only=True)
class Trained(Network, Recipe):
    """A network and how it is trained: what has to fit between them."""

    def check(self) -> None:
        counted = self.network != "trn_multiscale" or self.frames != "all"
        want(self, counted, "frames", why="the network trn_multiscale wants a number of them")
        whole = self.chunk is None or self.early_statistics != "batch"
        why = "chunks do not see the batch as a whole: let it be running or detached"
        want(self, whole, "chunk", "early_statistics", why=why)
        streams = not self.stream or self.chunk is not None
        want(self, streams, "stream", "chunk", why="streams are for networks with a chunk")


@dataclass(frozen=True, kw_only=True)
class InMemoryClips:
    """Of clips that are generated, or read once: there are no files to be read piece by piece."""

    def check(self) -> None:
        plain = not self.stream and self.frame_budget is None
        why = "they are for stored clips, and these are in memory"
        want(self, plain, "stream", "frame_budget", why=why)


@dataclass(frozen=True, kw_only=True)
class ClipsToTest(Difficulty):
    """The clips of Move4MNIST that a network is tested on."""

    test_split: Literal["train", "validation", "test"] = "test"  # whose digits and scenes
    test_clips: int  # how many
    test_seed: int = 0  # of the set; the seed of the run has no part in it
    backgrounds: int = 1  # scenes behind the digits; one is shared by all splits, as published

    def check(self) -> None:
        want(self, self.in_channels in (1, 3), "in_channels", why="Move4MNIST has 1 or 3")
        self.options()

    def options(self) -> Options:
        """Those of the generator."""
        own = {field.name: getattr(self, field.name) for field in fields(Difficulty)}
        return Options(**own, channels=self.in_channels)


@dataclass(frozen=True, kw_only=True)
class Move4MNISTClips(ClipsToTest):
    """The clips of Move4MNIST that a network is trained and tested on."""

    train_clips: int  # how many
    train_seed: int | Literal["run"] = 0  # of the set; "run": the seed of the run


@dataclass(frozen=True, kw_only=True)
class AtTest:
    """What a network is shown of a clip when it is tested, where it is not as in training.

    As of `fvlib.evaluation.Protocol`, without `test_`.
    """

    test_scale: int | None = None
    test_crop: int | None = None
    test_crops: Literal[1, 3] | None = None

    def check(self) -> None:
        both = (self.test_scale is None) == (self.test_crop is None)
        want(self, both, "test_scale", "test_crop", why="give both, or none of them")
        fits = self.test_crop is None or self.test_crop <= self.test_scale
        want(self, fits, "test_crop", "test_scale", why="a crop is of a side at least as long")


@dataclass(frozen=True, kw_only=True)
class StoredSet:
    """The clips of a benchmark, or of the mini set that stands for it with embedded data."""

    dataset: str  # its name, such as breakfast
    fold: int | None = None  # of its official splits
    missing: Literal["skip"] | None = None  # leave out clips of the lists that are not there
    classes_with: int = 0  # only classes with so many clips or more
    held_out: bool = False  # test on every fifth group of the training list, train on the others
    size: tuple[int, int] | None = None  # height and width that frames are read at
    fps: float | None = None  # frames a second that are read; None: all
    memory: bool = False  # decode all clips once
    flow: int | None = None  # the optical flow of so many frames in place of their pixels
    workers: int = 0  # processes that read
    clips: int | None = None  # of a mini set: how many for training
    null: bool | None = None  # of a mini set: its version in which more frames should not help
    mini_seed: int | Literal["run"] | None = None  # of a mini set: other clips; "run": the run's
    test_seeds: tuple[int, ...] | None = None  # of mini sets: all of their test clips, in one test

    def check(self) -> None:
        own = self.mini_seed != "run" or self.test_seeds is not None
        why = "every run would have test clips of its own: give the seeds of those"
        want(self, own, "mini_seed", "test_seeds", why=why)
        seeds = (0,) if self.test_seeds is None else self.test_seeds
        right = seeds and min(seeds) >= 0 and len({*seeds}) == len(seeds)
        want(self, right, "test_seeds", why="wanted one or more, 0 or more, each once")
        right = min(self.size or (1, 1)) >= 1 and (self.fps is None or self.fps > 0)
        want(self, right, "size", "fps", why="wanted pixels, and above 0")
        channels = (1, 3) if self.flow is None else (2 * self.flow,)
        why = f"wanted {' or '.join(map(str, channels))} channels"
        want(self, self.in_channels in channels, "in_channels", "flow", why=why)
        mini = self.data != "real" or not self.null
        want(self, mini, "null", "data", why="it is a version of a mini set")
        usually = {"clips": None, "null": False, "mini_seed": 0, "test_seeds": None}
        for name, usual in usually.items():
            if self.data == "real":
                object.__setattr__(self, name, None)  # it decides nothing
            elif getattr(self, name) is None:
                object.__setattr__(self, name, usual)


def made_of(kind: type[Part], parameters: Parameters, **changes: Any) -> Part:
    """Those of some parameters that another class takes, with changes."""
    own = {field.name: getattr(parameters, field.name) for field in fields(kind)}
    return kind(**own | changes)


# --- experiments ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Table1(Trained, InMemoryClips, Move4MNISTClips, AtTest):
    """Table 1 and what is like it: training on Move4MNIST, and a test by both protocols."""

    released: tuple[str, ...] = ()  # what is as in the published code (`lab.released`)

    def check(self) -> None:
        why = "left and right are classes of Move4MNIST; 'always' mirrors them there too"
        want(self, self.flip is not True, "flip", why=why)
        rules = [name for name in self.released if name in RULES]
        why = f"{', '.join(rules)} are rules of clusters: give method and clusters"
        want(self, self.method or not rules, "released", "method", why=why)


@dataclass(frozen=True, kw_only=True)
class Groupings(Table1):
    """Training on groups that are chosen by how alike the gradients of their frames are."""

    spread: Literal["low", "high"]  # of the gradients of a group's frames, at equal purity
    sizes: tuple[int, ...]  # frames of the groups, which come in any order
    stage: Literal["layer2", "layer3", "layer4"]  # whose gradients
    draws: int  # orders of the sizes that are drawn for a clip
    measured_clips: int  # of the training set, for errors at the start and at the end

    def check(self) -> None:
        right = self.method and self.clusters == len(self.sizes) and min(self.sizes) >= 1
        why = "wanted clusters in the test, and as many groups, of one frame or more"
        want(self, right, "sizes", "clusters", why=why)
        right = self.measured_clips <= self.train_clips
        want(self, right, "measured_clips", "train_clips", why="there are no more clips")


@dataclass(frozen=True, kw_only=True)
class Gradients(Trained, InMemoryClips, Move4MNISTClips):
    """Figs. 4, 5 and 6: a network of Table 1, whose frames' gradients are measured on the way."""

    g: int  # clusters that are compared, in every row
    stage: Literal["layer1", "layer2", "layer3", "layer4"]  # of Fig. 6; Fig. 5 is about block 1
    moments: tuple[int, ...]  # epochs after which it is measured
    few_clips: int  # measured at each of these moments
    reading_clips: int  # for which Fig. 6 is read in every way, at each of these moments
    error_clips: int  # measured at the end, for Fig. 6; Fig. 5 takes the whole test set

    def check(self) -> None:
        for name in ("few_clips", "reading_clips", "error_clips"):
            right = getattr(self, name) <= self.test_clips
            want(self, right, name, "test_clips", why="there are no more clips")
        wanted = sorted({moment for moment in self.moments if 0 <= moment <= self.epochs})
        right = wanted and list(self.moments) == wanted
        want(self, right, "moments", why=f"wanted epochs from 0 to {self.epochs}, ascending")


@dataclass(frozen=True, kw_only=True)
class Purity(Network, ClipsToTest):
    """Fig. 7: how pure the clusters are that the common start makes of every test clip."""

    def check(self) -> None:
        want(self, self.method, "method", "clusters", why="this experiment is about clusters")


@dataclass(frozen=True, kw_only=True)
class Facts(Network, ClipsToTest):
    """Laws of the network, what sampled frames miss, and which frames get a gradient."""

    def check(self) -> None:
        want(self, self.method is None, "method", why="this experiment compares them all")

    def clustered(self, method: str, clusters: int) -> Network:
        """The network with a clustering step."""
        return made_of(Network, self, method=method, clusters=clusters)


@dataclass(frozen=True, kw_only=True)
class Cost(Network):
    """Multiply-adds and memory of a network for one video of 32 frames."""

    frames: int | Literal["all"] = "all"  # that the network sees
    resolution: int  # pixels a side


@dataclass(frozen=True, kw_only=True)
class Bound(Parameters):
    """Eq. 1-7 on random pairs of frames."""

    features: int  # d: numbers of a frame
    classes: int  # k
    scales: tuple[float, ...]  # standard deviation of x w
    distances: tuple[float, ...]  # of the frames of a pair, relative to their size
    draws: int  # pairs for each scale and distance

    def check(self) -> None:
        check_least(self, 2, "classes")
        right = min(self.scales, default=0) > 0
        want(self, right, "scales", why="wanted one or more numbers above 0")
        right = len(self.distances) > 1 and min(self.distances) > 0
        right = right and list(self.distances) == sorted({*self.distances}, reverse=True)
        want(self, right, "distances", why="wanted two or more above 0, descending")


@dataclass(frozen=True, kw_only=True)
class Length(Network):
    """What a training step takes as a clip gets longer."""

    lengths: tuple[int, ...]  # frames of the clips
    resolution: int  # pixels a side
    repeats: int  # steps whose median is taken
    autocast: bool  # bfloat16 where that is safe
    checkpointed: bool = False  # the whole network keeps what goes into its blocks alone
    mapped: bool = False  # the frames lie in a file that is mapped into memory

    def check(self) -> None:
        want(self, self.method, "method", "clusters", why="this experiment is about clusters")
        right = min(self.lengths, default=0) > self.clusters
        why = "wanted one length or more, each of more frames than there are clusters"
        want(self, right, "lengths", "clusters", why=why)
        right = not self.checkpointed or self.network in ("tsm", "checkpointed")
        want(self, right, "checkpointed", "network", why="it is one itself")


@dataclass(frozen=True, kw_only=True)
class Pretrain(Trained, InMemoryClips):
    """The common start of a table's rows: a network that names things in single frames."""

    shows: Literal["digits", "shapes"] = "digits"  # of mini Breakfast
    size: int | None = None  # of shapes: pixels a side
    backgrounds: int | None = None  # scenes behind the digits
    train_frames: int
    validation_frames: int

    def check(self) -> None:
        channels = 3 if self.shows == "shapes" else 1
        right = (self.size is None) == (self.shows == "digits") and self.in_channels == channels
        why = "digits are grey and of one size, shapes have 3 channels and want a size"
        want(self, right, "shows", "size", "in_channels", why=why)
        if self.shows == "shapes":
            object.__setattr__(self, "backgrounds", None)  # they decide nothing
        right = self.shows == "shapes" or self.backgrounds is not None
        want(self, right, "backgrounds", why="digits are shown on so many scenes")
        right = self.frames == "all" and self.clusters is None
        want(self, right, "frames", "clusters", why="single frames are shown")


@dataclass(frozen=True, kw_only=True)
class Benchmark(Trained, StoredSet, AtTest):
    """Tables 2 to 5 and what is like them: a benchmark, or the mini set that stands for it."""

    test_orders: tuple[Literal["reversed", "shuffled"], ...] = ()  # of frames, tested too
    scores: bool = False  # whether the record has the scores, which are added to others'
    frozen: bool = False  # a head alone learns, on features of frames that are kept
    gradient_clips: int | None = None  # of the test: measured as for Figs. 4 to 6

    def check(self) -> None:
        right = not self.gradient_clips or (self.network == "tsm" and not self.frozen)
        want(self, right, "gradient_clips", "network", "frozen", why="wanted a TSM that learns")
        right = self.crop is not None or self.resolution is not None
        want(self, right, "crop", "resolution", why="clips of several sizes want one of them")
        right = not self.frozen or (self.network in HEADED and self.frames != "all")
        why = f"wanted so many frames, and a network with a head of its own: {', '.join(HEADED)}"
        want(self, right, "frozen", "network", "frames", why=why)


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of training whose epochs are timed: what sets a row apart."""

    frames: int | Literal["all"] = "all"
    method: str | None = None
    clusters: int | None = None
    empty: Literal["split", "keep"] | None = None
    window: int | None = None


@dataclass(frozen=True, kw_only=True)
class EpochTime(Trained, StoredSet):
    """Table 2, seconds per epoch: those of each way of training, by turns."""

    ways: Mapping[str, Way]
    rounds: int  # that are kept, beside the first
    timed_clips: int  # of the training set

    def check(self) -> None:
        right = self.method is None and self.frames == "all" and self.ways
        want(self, right, "method", "frames", "ways", why="each of the ways has its own")
        for way in self.ways:
            self.of(way)

    def of(self, way: str) -> Trained:
        """The parameters of a way."""
        return made_of(Trained, self, **vars(self.ways[way]))


# --- the registry ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Experiment:
    """An experiment.

    Args:
        name: of its function, "module.function" below `lab.experiments`.
        parameters: what it takes.
        together: whether several processes can make a run of it.
        measured: whether its results are measurements of time and memory, which do not repeat to
            the bit.
    """

    name: str
    parameters: type[Parameters]
    together: bool = False
    measured: bool = False

    @property
    def function(self) -> Callable[..., tuple[dict[str, Any], dict[str, Any] | None]]:
        """What makes a run of it; torch comes with it."""
        module, function = self.name.split(".")
        return getattr(import_module(f"lab.experiments.{module}"), function)


_TABLE1 = (
    "table1 table1_120 table1_360 table1_720 table1_rare table1_often table1_scattered "
    "table1_scattered_96 table1_wide changes table1_peers released setting tuning_table1"
)
_BENCHMARK = (
    "table2 table2_setting table2_null table2_peers table3 table4 table4_setting ucf10 "
    "ucf10_setting table5 table5_setting table5_null tuning_table2 tuning_table3 tuning_table4 "
    "tuning_table5 any_length"
)
EXPERIMENTS: dict[str, Experiment] = {
    "pretrain": Experiment("table1.run_pretrain", Pretrain, together=True),
    **dict.fromkeys(_TABLE1.split(), Experiment("table1.run_table1", Table1, together=True)),
    **dict.fromkeys(
        _BENCHMARK.split(), Experiment("benchmarks.run_benchmark", Benchmark, together=True)
    ),
    "cost": Experiment("costs.run_cost", Cost),
    "purity": Experiment("untrained.run_purity", Purity),
    "facts": Experiment("untrained.run_facts", Facts),
    "gradients": Experiment("gradients.run_gradients", Gradients),
    "groupings": Experiment("groupings.run_groupings", Groupings),
    "bound": Experiment("untrained.run_bound", Bound),
    "length": Experiment("costs.run_length", Length, measured=True),
    "epoch_time": Experiment("costs.run_epoch_time", EpochTime, measured=True),
}


def experiment_of(name: str) -> Experiment:
    """An experiment by its name. Raises ValueError, with what there is, for an unknown one."""
    if name not in EXPERIMENTS:
        raise ValueError(f"unknown experiment: {name!r}; there is {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


# Options that older records state and the code has no more: what it does now, whatever is asked.
BUILT_IN: Mapping[str, Any] = {
    "background_offset": 0,
    "disjoint_pools": False,
    "distractor_class": "other",
    "distractor_images": "same",
    "distractor_motion": "static",
    "margin": 1,
    "min_visible": 25,
    "motion_clock": "target",
    "start_mode": "uniform",
    "type_order": "DKB",
}


def completed(experiment: str, stated: Mapping[str, Any]) -> dict[str, Any]:
    """What an older record states, with the defaults of what came later.

    What is `BUILT_IN` by now is left out, unless the record states something else.
    """
    if experiment not in EXPERIMENTS:
        return dict(stated)
    missing = object()
    stated = {key: value for key, value in stated.items() if BUILT_IN.get(key, missing) != value}
    kind = EXPERIMENTS[experiment].parameters
    try:
        return read(kind, stated).stated()
    except ValueError:  # it has what the experiment does not take any more
        later = {field.name: field.default for field in fields(kind)}
        usual = {key: value for key, value in later.items() if value not in (None, MISSING)}
        return {key: _stated(value) for key, value in {**usual, **stated}.items()}


def _stated(value: Any) -> Any:
    if is_dataclass(value):
        value = {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _stated(one) for key, one in value.items() if one is not None}
    return [_stated(one) for one in value] if isinstance(value, tuple) else value


def as_written(value: Any) -> str:
    """A value as the recipe file has it, words without quotes."""
    return value if isinstance(value, str) else toml(value)


def toml(value: Any) -> str:
    """A value as TOML has it, on one line."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in value.items()) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    return str(value).lower() if value is None or isinstance(value, bool) else json.dumps(value)
