"""The temporal clustering step inside any image network: `full_video`.

A network as it comes is one function, and the step belongs in its middle. It is cut there by a
forward hook on one of its modules. The first part is a pass that ends in the hook, by an exception
that carries the activations out. The rest is a pass on no images at all, in which the hook puts
what goes on, frames or means of clusters, in the place of what the module gave. So the first part
runs once a frame and the rest once a cluster, the calls are the network's own, and its modules,
names and weights stay as they are.

The other ways ask more of a network: slicing works for a chain of modules alone, and tracing
(torch.fx) stops at code that looks at shapes or at `training`, as timm's does. What a hook cannot
see, a value that goes around the module, or images that know of one another, is found by a trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from typing import Any, Literal, get_args

import torch
import torchvision
from jaxtyping import Float, Int64, Shaped
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fvlib import extra
from fvlib.contracts import Lengths, Stream, Videos
from fvlib.models.batchnorm import BatchNorm, Statistics
from fvlib.models.checkpoints import torchvision_state
from fvlib.models.memory_efficient import FrameEncoder, Reached, bytes_per_frame, encode_clips
from fvlib.models.packing import Frames, frame_shape
from fvlib.models.shift import temporal_shift
from fvlib.models.tsm import PIXELS, TSMResNet
from fvlib.values import brief, check_choice, check_whole

# Where frames have a quarter of their width, as where the paper has its step.
SPLITS = {
    "resnet18": "layer1",
    "regnet_y_400mf": "trunk_output.block1",
    "convnext_tiny": "features.1",
    "efficientnet_b0": "features.2",
    "mobilenet_v3_small": "features.1",
    "mobilenet_v3_large": "features.2",
    "timm/resnet18": "layer1",
    "timm/regnety_004": "s1",
    "timm/convnext_atto": "stages.0",
    "timm/efficientnet_b0": "blocks.1",
    "timm/mobilenetv3_small_100": "blocks.0",
}
_SIDES = (64, 224)  # pixels of the images of the trial; the larger where the smaller are refused
# What networks raise for images, or values inside, that do not fit.
_FAILURES = (RuntimeError, ValueError, TypeError, IndexError, AssertionError)


def full_video(
    backbone: nn.Module,
    *,
    after: str = "layer1",
    clustering: nn.Module | None = None,
    shift: Sequence[str] = (),
    chunk: int | Literal["auto"] | None = None,
    memory: int | None = None,
    early_statistics: Statistics = "batch",
) -> FullVideo:
    """An image network as a network of clips, with the clustering step behind one of its modules.

    What the distances mean depends on the place. After a ReLU a bit says if a gate is open, and
    frames with the same bits went through the same linear function: the paper's argument for their
    gradients. GELU, SiLU and Hardswish have no gates, and the blocks of ConvNeXt, EfficientNet and
    MobileNetV3 end without an activation. There a bit is the side of zero on which a feature lies,
    and the distance counts the features that change sides: a hash of the angle between two frames'
    activations. Frames that look alike still come together, but no bound on gradients follows.

    Args:
        backbone: takes images (m, c, h, w) and gives scores (m, k), as those of torchvision and
            timm do; it is used, not copied. `image_network` makes one by name.
        after: the name of any module of it that is called once and gives (m, c, h, w), for example
            one of `SPLITS`; up to there it sees every frame, behind it the mean of each cluster.
            The scores of the clusters are averaged.
        clustering: the step. Without it, and with as many clusters as frames, the answer is the
            backbone's own, averaged over frames, to the last bit.
        shift: names of convolutions whose input is shifted along time (`temporal_shift`), for
            example the first of each block behind the step.
        chunk, memory, early_statistics: as of `tsm_resnet`; BatchNorm of a kind of its own, as timm
            has, knows "batch" and "running". Before the step nothing is random in training: Dropout
            and stochastic depth are off there, because they would make neighbouring frames differ
            by chance, and each pass over a chunk another one.

    Raises:
        ValueError: with the reason, for what cannot work: a module that is not there, is not called
            once, or gives no feature maps; values that go around it, as beside a residual branch;
            images of a batch that know of one another; in training, chunks with the statistics of a
            batch.
    """
    network = FullVideo(backbone, after, clustering, shift, chunk, memory, early_statistics)
    return network.train()


def image_network(name: str, num_classes: int, *, weights: str | None = None) -> nn.Module:
    """An image network of torchvision, or as "timm/..." of timm, with a last layer for k classes.

    Args:
        weights: a name of torchvision's, such as "IMAGENET1K_V1" or "DEFAULT", which it looks for
            in its cache first; of timm's networks a tag, such as "a1_in1k", or "DEFAULT". The last
            layer is a new one unless it fits.

    Raises:
        ValueError: for an unknown name.
        ModuleNotFoundError: without timm.
        OSError: which says what to do, for weights that are neither on the disk nor to be had.
    """
    check_whole("num_classes", num_classes)
    if isinstance(name, str) and name.startswith("timm/"):
        return _of_timm(name.removeprefix("timm/"), num_classes, weights)
    known = torchvision.models.list_models(torchvision.models)
    if not isinstance(name, str) or name not in known:
        raise ValueError(f"the network is {brief(name)}; torchvision has {', '.join(known)}")
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    if weights is not None:
        own = network.state_dict()
        state = torchvision_state(name, weights).items()
        fits = {key: value for key, value in state if value.shape == own[key].shape}
        network.load_state_dict(own | fits)
    return network


def _of_timm(name: str, num_classes: int, weights: str | None) -> nn.Module:
    timm = extra("timm")
    tagged = name if weights in (None, "DEFAULT") else f"{name}.{weights}"
    if not timm.is_model(name):
        raise ValueError(f"the network is timm/{name}; wanted one that timm.list_models() names")
    try:
        return timm.create_model(tagged, pretrained=weights is not None, num_classes=num_classes)
    except (OSError, RuntimeError) as error:
        raise OSError(
            f"the weights {weights} of timm/{name} could not be had ({error}). Fetch them where "
            "there is a network (HF_HOME moves the folder that they go to), or leave weights out"
        ) from error


def _set(modules: Iterable[nn.Module], training: bool) -> None:
    for module in modules:
        module.training = training


class FullVideo(nn.Module):
    """See `full_video`. The parameters have the backbone's names, behind `backbone.`."""

    clustering: nn.Module | None
    chunk: int | Literal["auto"] | None
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        backbone: nn.Module,
        after: str,
        clustering: nn.Module | None,
        shift: Sequence[str],
        chunk: int | Literal["auto"] | None,
        memory: int | None,
        early_statistics: Statistics,
    ):
        super().__init__()
        _check_options(backbone, clustering, shift, chunk, memory)
        self.backbone, self.clustering = backbone, clustering
        self.chunk, self.memory = chunk, memory
        self._needed: dict[tuple, int] = {}
        for module in backbone.modules():
            # Ours does the same until it is told otherwise. Those of another kind stay.
            if type(module) is nn.BatchNorm2d and module.affine and module.track_running_stats:
                module.__class__ = BatchNorm
            if isinstance(module, BatchNorm):
                module.statistics = "batch"
        first = next((m for m in backbone.modules() if isinstance(m, nn.Conv2d)), None)
        self.in_channels = 3 if first is None else first.in_channels
        about = getattr(backbone, "pretrained_cfg", {})  # what timm's networks have seen
        mean, std = PIXELS.get(self.in_channels, PIXELS[1])
        if len(about.get("mean", ())) == self.in_channels:
            mean, std = about["mean"], about["std"]
        like = next(backbone.parameters())
        for name, value in (("pixel_mean", mean), ("pixel_std", std)):
            value = torch.tensor(value).view(-1, 1, 1).to(like)
            self.register_buffer(name, value, persistent=False)

        trial = _Trial(backbone, self.in_channels)
        self.after, self._front = after, trial.before(after)
        trial.check_apart()
        self.num_classes = trial.logits.shape[1]
        self.last = trial.last()
        self._loose: list[str] = []
        self._early_statistics: Statistics = "batch"
        self._shifted: dict[bool, list[str]] = {True: [], False: []}  # before the step, and behind
        self.eval()
        self._nothing = self._images_to_begin_with(trial)
        self._loose = self._loose_parameters(trial.images)
        for name in dict.fromkeys(shift):
            trial.check_shift(name)
            self._shifted[name in self._front].append(name)
        self.early_statistics = early_statistics

    # ---- the two parts ----

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.pixel_mean.device

    def encode(
        self, images: Shaped[Tensor, "m c h w"], frames: Frames | None = None
    ) -> Float[Tensor, "m c2 h2 w2"]:
        """What the split point gives for images: uint8, normalised here, or floats as they are."""
        frames = Frames(len(images), 1, images.device) if frames is None else frames
        if images.dtype == torch.uint8:
            images = images.to(self.pixel_mean.dtype)
            images.sub_(255 * self.pixel_mean).div_(255 * self.pixel_std)

        def stop(_module: nn.Module, _received: Any, y: Tensor) -> None:
            raise Reached(y)

        try:
            self._passed(images, stop, self._shifted[True], frames)
        except Reached as reached:
            return reached.y
        raise ValueError(f"{self.after} was not called in this pass; wanted once in each")

    def rest(self, y: Float[Tensor, "m c h w"], frames: Frames) -> Float[Tensor, "m k"]:
        """The scores of images, frames or clusters, from what the split point gave for them."""
        norms = [norm for norm in self._early(_BatchNorm) if norm.training]

        def put_in(*_: Any) -> Tensor:
            _set(norms, True)
            return y

        _set(norms, False)  # no images have no statistics
        try:
            nothing = self.pixel_mean.new_zeros(self._nothing)
            scores = self._passed(nothing, put_in, self._shifted[False], frames)
        finally:
            _set(norms, True)
        if not isinstance(scores, Tensor) or scores.ndim != 2 or len(scores) != len(y):
            raise ValueError(
                f"the backbone gave {_kind(scores)} for {len(y)} images; wanted scores (m, k), in "
                "training too: build it without auxiliary outputs"
            )
        return scores

    def _passed(
        self, images: Tensor, at_split: Callable, shifted: Iterable[str], frames: Frames
    ) -> Any:
        """The backbone's answer, with a hook on the split point and the shift in some layers."""

        def shift(_module: nn.Module, received: tuple[Tensor]) -> tuple[Tensor]:
            return (temporal_shift(received[0], frames),)

        with ExitStack() as hooks:
            split = self.backbone.get_submodule(self.after)
            hooks.enter_context(split.register_forward_hook(at_split))
            for name in shifted:
                conv = self.backbone.get_submodule(name)
                hooks.enter_context(conv.register_forward_pre_hook(shift))
            return self.backbone(images)

    def forward(
        self,
        x: Videos,
        lengths: Lengths = None,
        *,
        cluster: bool = True,
        return_labels: bool = False,
    ) -> Float[Tensor, "n k"] | tuple[Float[Tensor, "n k"], Int64[Tensor, "n t"] | None]:
        """Class scores of n clips: those of their frames or clusters, averaged.

        x, lengths, cluster and return_labels are as of `TSMResNet`.
        """
        clustering = self.clustering if cluster else None
        y, frames, labels, _ = encode_clips(self, x, lengths, clustering, self._encoder)
        scores = self.rest(y, frames)
        scores = frames.unpack(scores.to(torch.promote_types(scores.dtype, torch.float32)))
        if frames.images == scores.shape[:2].numel():
            logits = scores.mean(1)  # not the sum times 1 / t, which is rounded twice
        else:
            logits = scores.sum(1) / frames.mask.sum(1, keepdim=True)
        return (logits, labels) if return_labels else logits

    # ---- training, and chunks ----

    def _early(self, kind: type) -> list[nn.Module]:
        """The modules of a kind that are called before the step, in the order of their calls."""
        modules = map(self.backbone.get_submodule, self._front)
        return [module for module in modules if isinstance(module, kind)]

    @property
    def early(self) -> list[nn.Module]:
        """The layers before the step in the order of their calls, and last a list of parameters.

        These are of modules that end behind it, or that have layers and parameters of their own.
        """
        layers = [module for module in self._early(nn.Module) if not any(module.children())]
        layers = [layer for layer in layers if [*layer.parameters()]]
        loose = [self.backbone.get_parameter(name) for name in self._loose]
        return [*layers, nn.ParameterList(loose)] if loose else layers

    def _foreign_norms(self) -> list[nn.Module]:
        """BatchNorm before the step that is not ours, and knows the statistics of its batch."""
        return [norm for norm in self._early(_BatchNorm) if not isinstance(norm, BatchNorm)]

    @property
    def early_statistics(self) -> Statistics:
        """What BatchNorm before the step normalises with in training."""
        return self._early_statistics

    @early_statistics.setter
    def early_statistics(self, value: Statistics) -> None:
        check_choice("early_statistics", value, get_args(Statistics))
        if value == "detached" and (foreign := self._foreign_norms()):
            raise ValueError(
                f"early_statistics is 'detached', and before {self.after} there is "
                f"{type(foreign[0]).__name__}, which cannot; choose 'running' or 'batch'"
            )
        self._early_statistics = value
        for norm in self._early(BatchNorm):
            setattr(norm, "statistics", value)  # noqa: B010 - of every kind of norm in the network
        self.train(self.training)

    def train(self, mode: bool = True) -> FullVideo:
        """Training mode, in which nothing is random before the step: BatchNorm alone trains there.

        And of BatchNorm, one that is not ours is in eval mode to use its running statistics.
        """
        super().train(mode)
        foreign = set(self._foreign_norms())
        for module in self._early(nn.Module):
            batch = module not in foreign or self.early_statistics == "batch"
            module.training = mode and isinstance(module, _BatchNorm) and batch
        return self

    frames_at_once = TSMResNet.frames_at_once

    def bytes_a_frame(self, frame: Sequence[int]) -> int:
        """What one more frame of shape (c, h, w) takes before the step, in training."""
        pixels = torch.zeros(1, *frame, dtype=torch.uint8, device=self.device)
        mode = self.training
        self.eval()  # which keeps as much as training does
        found = bytes_per_frame(self.encode, pixels)
        self.train(mode)
        return found

    def _encoder(self, x: Tensor | Stream) -> FrameEncoder:
        if self._shifted[True]:
            raise ValueError(
                f"chunk is set, but {self._shifted[True][0]} before {self.after} shifts channels "
                "between frames; shift behind it alone, so that before it every frame is by itself"
            )
        if any(norm.training for norm in self._foreign_norms()):
            raise ValueError(
                f"chunk is set, but BatchNorm before {self.after} would see chunks by themselves; "
                "set early_statistics to 'running'"
            )
        return FrameEncoder(self.encode, self.early, self.frames_at_once(frame_shape(x)))

    # ---- what the trial is for ----

    def _images_to_begin_with(self, trial: _Trial) -> tuple[int, ...]:
        """The shape of what the second part is begun with: no image, or one where none is refused.

        ValueError if the two parts together do not give what the backbone gives.
        """
        reason = "the scores are others than those of the network as a whole"
        for count in (0, 1):
            self._nothing = (count, *trial.images.shape[1:])
            try:
                with torch.no_grad():
                    y = self.encode(trial.images)
                    scores = self.rest(y, Frames(2, 1, self.device))
            except _FAILURES as error:
                reason = str(error)
                continue
            if torch.equal(scores, trial.logits):
                return self._nothing
        raise ValueError(
            f"the network cannot be cut behind {self.after} ({reason}): something from before goes "
            "around it, as a shortcut goes around the layers of a residual block. Take a whole "
            "block or stage"
        )

    @torch.enable_grad()
    def _loose_parameters(self, images: Tensor) -> list[str]:
        """Names of the parameters that are used before the step and are in no layer of `early`."""
        named = dict(self.backbone.named_parameters())
        trained = [parameter.requires_grad for parameter in named.values()]
        self.backbone.requires_grad_(True)
        y = self.encode(images)
        found = torch.autograd.grad(y.sum(), list(named.values()), allow_unused=True)
        for parameter, flag in zip(named.values(), trained, strict=True):
            parameter.requires_grad_(flag)
        known = {parameter for layer in self.early for parameter in layer.parameters()}
        used = zip(named.items(), found, strict=True)
        return [name for (name, p), grad in used if grad is not None and p not in known]


class _Trial:
    """What a network does with two images: which modules it calls, and the scores that it gives."""

    def __init__(self, backbone: nn.Module, channels: int):
        self.names = {module: name for name, module in backbone.named_modules()}
        self.backbone, like = backbone.eval(), next(backbone.parameters())
        generator = torch.Generator().manual_seed(0)
        reason, side = None, 0
        for side in _SIDES:
            self.images = torch.rand(2, channels, side, side, generator=generator).to(like)
            try:
                self.logits, self.calls = self._watched(self.images)
                break
            except _FAILURES as error:
                reason = error
        else:
            raise ValueError(
                f"the backbone takes no images of ({channels}, {side}, {side}): {reason}"
            )
        good = isinstance(self.logits, Tensor) and self.logits.ndim == 2 and len(self.logits) == 2
        if not good or not self.logits.isfinite().all():
            raise ValueError(
                f"the backbone gives {_kind(self.logits)} for 2 images; wanted finite scores (2, k)"
            )

    @torch.no_grad()
    def _watched(self, images: Tensor) -> tuple[Any, list[tuple[str, Any]]]:
        """The network's answer, and names and outputs of all modules in the order they end."""
        calls = []

        def note(module: nn.Module, _received: Any, y: Any) -> None:
            # A copy: an activation in place may change it.
            calls.append((self.names[module], y.clone() if isinstance(y, Tensor) else y))

        with ExitStack() as hooks:
            for module in self.names:
                hooks.enter_context(module.register_forward_hook(note))
            return self.backbone(images), calls

    def before(self, after: str) -> list[str]:
        """The modules that have ended when that one has, itself included, in this order."""
        names = [name for name, _ in self.calls]
        if not isinstance(after, str) or after not in {*self.names.values()} - {""}:
            known = [name for name in self.names.values() if name and name.count(".") < 2]
            raise ValueError(
                f"after is {brief(after)}; in {type(self.backbone).__name__} there are "
                f"{', '.join(known[:16])} and {len(self.names) - len(known[:16])} more"
            )
        if names.count(after) != 1:
            raise ValueError(
                f"{after} is called {names.count(after)} times in a pass; wanted a module that is "
                "called once, by a network that is not compiled or scripted"
            )
        y = self.calls[names.index(after)][1]
        if not isinstance(y, Tensor) or y.ndim != 4 or len(y) != 2:
            raise ValueError(
                f"{after} gives {_kind(y)} for 2 images; wanted feature maps (2, c, h, w)"
            )
        return list(dict.fromkeys(names[: names.index(after) + 1]))

    def check_apart(self) -> None:
        """Raise ValueError if what becomes of an image depends on the one beside it."""
        other = torch.stack([self.images[0], 1 - self.images[1]])
        _, calls = self._watched(other)
        for (name, a), (_, b) in zip(self.calls, calls, strict=False):
            both = all(isinstance(y, Tensor) and y.ndim and len(y) == 2 for y in (a, b))
            if both and not torch.equal(a[0], b[0]):
                raise ValueError(
                    f"{name or 'the network'} ({type(self.backbone.get_submodule(name)).__name__}) "
                    "mixes the images of a batch: what it gives for one depends on the one beside "
                    "it, and so would clips on each other; take a network that sees images one by "
                    "one in eval mode"
                )

    def check_shift(self, name: str) -> None:
        """Raise ValueError unless frames can be shifted before the module of this name."""
        found = self.backbone.get_submodule(name) if name in dict(self.calls) else None
        if not isinstance(found, nn.Conv2d) or found.in_channels < 8:
            what = "is never called" if found is None else f"is {found}"
            raise ValueError(
                f"shift names {brief(name)}, which {what}; wanted a Conv2d of 8 channels or more"
            )

    def last(self) -> str | None:
        """The linear layer that makes the scores, if there is one."""
        for name, y in self.calls:
            linear = isinstance(self.backbone.get_submodule(name), nn.Linear)
            if linear and y.shape == self.logits.shape and torch.equal(y, self.logits):
                return f"backbone.{name}"
        return None


def _kind(value: object) -> str:
    """How messages call what a module gave."""
    return str(tuple(value.shape)) if isinstance(value, Tensor) else f"a {type(value).__name__}"


def _check_options(
    backbone: object, clustering: object, shift: object, chunk: object, memory: object
) -> None:
    if not isinstance(backbone, nn.Module) or not [*backbone.parameters()]:
        raise ValueError(
            f"backbone is {brief(backbone)}; wanted an image network, as image_network('resnet18', "
            "10) makes it"
        )
    if clustering is not None and not isinstance(clustering, nn.Module):
        raise ValueError(
            f"clustering is {brief(clustering)}; a layer was wanted, as "
            "TemporalClustering('cumulative', 8) makes it, or None"
        )
    names = isinstance(shift, Sequence) and all(isinstance(name, str) for name in shift)
    if isinstance(shift, str) or not names:
        raise ValueError(f"shift is {brief(shift)}; wanted names, as ('layer2.0.conv1',)")
    if chunk is not None and not (isinstance(chunk, str) and chunk == "auto"):
        check_whole("chunk", chunk)
    if memory is not None:
        check_whole("memory", memory)
