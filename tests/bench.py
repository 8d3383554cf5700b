"""How fast the parts are: `make bench`. Each figure is a ratio of two times of the same run.

The result is printed, and written as a record to build/records (`python -m lab records adopt`
keeps it), so that a later change can be compared with it. Run it on an otherwise idle machine.
Memory that was freed is kept for the next result, where the C library can be told so: a large
result in fresh memory costs a page fault every 4 KB, whoever computes it.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from itertools import pairwise
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import hamming
from sklearn.datasets import load_sample_images
from torch.profiler import profile

from fvlib.clustering import TemporalClustering, cumulative_clusters, hamming_distances
from fvlib.cost import multiply_adds, predicted_peak, step_time
from fvlib.datasets import Move4MNIST, TrainTransform
from fvlib.datasets.loading import batches, chunks
from fvlib.datasets.sampling import FrameSampler
from fvlib.datasets.videos import count_frames, video_folder
from fvlib.datasets.videos.clips import VideoClips
from fvlib.evaluation import Protocol
from fvlib.models import TSMResNet, temporal_shift, tsm_resnet
from fvlib.models.batchnorm import conv_bn
from fvlib.models.full_video import SPLITS, FullVideo, full_video, image_network
from fvlib.models.packing import Frames
from fvlib.own.model import Settings, network_for
from fvlib.own.predict import Predictor
from lab import records
from lab.gradients import frame_gradients
from lab.synthetic import SYNTHETIC
from lab.synthetic.writing import encode
from lab.systems.memory_efficient import CheckpointedResNet

BUILD = Path(__file__).parents[1] / "build" / "records"
READS = 8  # what the clustering step costs at most in float32
CLIPS_A_SECOND = 500  # what Move4MNIST is meant to reach


def clustering_reads() -> dict[str, float]:
    """Distances, labels and averages in units of one read of the activations, `x.sum()`."""
    x = torch.relu(torch.randn(8, 32, 64, 56, 56, generator=torch.Generator().manual_seed(0)))
    cluster = TemporalClustering("cumulative", 8)
    with torch.no_grad():
        return ratio(lambda: cluster(x), x.sum, "reads")


def clustering_bandwidth(device: str = "cpu") -> dict[str, float]:
    """The clustering step in units of the time that moving its bytes costs at a plain copy's speed.

    Forward: x is read twice, for distances and for means, and y written. Backward: y's gradient is
    read and x's written. `reads` is the forward pass over one `x.sum()`, of which the goal is at
    most `reads_goal` in float32. `fresh_reads` is what getting the memory of y and filling it with
    zeros costs, in the same unit, and it counts against the step. On a CPU with one thread and with
    all.
    """
    cluster, threads = TemporalClustering("cumulative", 8), torch.get_num_threads()
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.relu(torch.randn(8, 32, 64, 56, 56, generator=torch.Generator().manual_seed(0)))
        x = x.to(device, dtype).requires_grad_()
        held, plain = torch.empty_like(x), x.detach()
        y = cluster(x)[0]
        steps = {
            "forward": partial(cluster, plain),
            "backward": partial(torch.autograd.grad, y, x, torch.ones_like(y), retain_graph=True),
            "sum": plain.sum,
            "copy": partial(held.copy_, plain),
            "fresh": lambda y=y: torch.empty_like(y).zero_(),
        }
        for count in sorted({1, threads}) if device == "cpu" else [0]:
            torch.set_num_threads(count or threads)
            times = [[step_time(f, repeats=1) for f in steps.values()] for _ in range(9)]
            cost = dict(zip(steps, torch.tensor(times).median(0).values.tolist(), strict=True))
            x_copied, y_copied = cost["copy"], cost["copy"] * y.numel() / x.numel()
            found |= {
                f"{name}_{str(dtype)[6:]}" + (f"_{count}" if count else ""): value
                for name, value in {
                    "copy_gb_per_s": 2 * plain.nbytes / 1e9 / x_copied,
                    "forward": cost["forward"] / (x_copied + y_copied / 2),
                    "backward": cost["backward"] / ((x_copied + y_copied) / 2),
                    "reads": cost["forward"] / cost["sum"],
                    "reads_goal": READS,
                    "fresh_reads": cost["fresh"] / cost["sum"],
                }.items()
            }
        torch.set_num_threads(threads)
    return found


def clustering_share() -> dict[str, float]:
    """The clustering step, forward and backward, in percent of a training step of ResNet-18.

    With all threads, and with one.
    """
    model = tsm_resnet(18, 4, clustering=TemporalClustering("cumulative", 8))
    clip, target = torch.randint(0, 255, (1, 32, 3, 224, 224), dtype=torch.uint8), torch.zeros(1)
    x = torch.relu(torch.randn(1, 32, 64, 56, 56)).requires_grad_()
    grad = torch.randn(1, 8, 64, 56, 56)

    def step() -> None:
        F.cross_entropy(model(clip), target.long()).backward()

    def cluster() -> None:
        model.clustering(x)[0].backward(grad)

    def share() -> float:
        return 100 * ratio(cluster, step, "share", repeats=3)["share"]

    percent, threads = share(), torch.get_num_threads()
    torch.set_num_threads(1)
    alone = share()
    torch.set_num_threads(threads)
    return {"percent": percent, "percent_1": alone, "at_most_3_percent": max(percent, alone) <= 3}


def neighbour_distances() -> dict[str, float]:
    """Times of Euclidean distances between neighbouring frames over those of Hamming distances.

    Of the faster of two ways with torch: all pairs in one expression, and a few frames at a time
    that stay in the cache, as Hamming distances have it. One thread, and all.
    """
    threads, found = torch.get_num_threads(), {}
    x = torch.relu(torch.randn(8, 32, 64, 56, 56, generator=torch.Generator().manual_seed(0)))
    for dtype in (torch.float32, torch.bfloat16):
        frames = x.to(dtype).flatten(2)
        ways = {
            "hamming": partial(hamming_distances, frames),
            "at_once": partial(euclidean_distances, frames),
            "in_parts": partial(euclidean_in_parts, frames),
        }
        assert torch.allclose(ways["at_once"](), ways["in_parts"](), rtol=1e-2)
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            times = [[step_time(f, repeats=1) for f in ways.values()] for _ in range(9)]
            hamming, *others = torch.tensor(times).median(0).values.tolist()
            found[f"times_{str(dtype)[6:]}_{count}"] = min(others) / hamming
            found[f"seconds_{str(dtype)[6:]}_{count}"] = hamming
        torch.set_num_threads(threads)
    for name in ("float32", "bfloat16"):
        ratios = [value for key, value in found.items() if key.startswith(f"times_{name}")]
        found[f"hamming_is_faster_in_{name}"] = min(ratios) > 1
    return found


def euclidean_distances(frames: torch.Tensor) -> torch.Tensor:
    """Between the neighbours of frames (n, t, features), added up in single precision."""
    return torch.linalg.vector_norm(frames[:, 1:] - frames[:, :-1], dim=2, dtype=torch.float32)


def euclidean_in_parts(frames: torch.Tensor) -> torch.Tensor:
    """The same, of two pairs of neighbours at a time."""
    starts = range(0, frames.shape[1] - 1, 2)
    return torch.cat([euclidean_distances(frames[:, i : i + 3]) for i in starts], 1)


def long_clip_step(device: str = "cpu") -> dict[str, float]:
    """Times of a training step on 256 frames, over that of ours: chunks of 32 frames, 8 clusters.

    In bfloat16; on a CPU the network of scale `small` on frames of 48x48, on a GPU that of scale
    `paper` on 224x224. "percent_...": where our step spends its time, by what is called.
    """
    network, side = partial(long_clip_network, device), 48 if device == "cpu" else 224
    ways = {
        "chunked": network(chunk=32),
        "chunks_of_128": network(chunk=128),
        "dense": network(),
        "checkpointed": network(kind=CheckpointedResNet),
        "tsm_all_frames": network(clustering=None),
        "tsm_8_frames": network(clustering=None),
        "frame_by_frame_scipy": network(clustering=FrameByFrame()),
    }
    x = torch.randint(0, 255, (1, 256, 3, side, side), dtype=torch.uint8, device=device)
    target = torch.zeros(1, dtype=torch.int64, device=device)

    def step(way: str) -> None:
        frames = x[:, ::32] if way == "tsm_8_frames" else x
        with torch.autocast(device, torch.bfloat16):
            loss = F.cross_entropy(ways[way](frames).float(), target)
        loss.backward()

    times = [[step_time(partial(step, way), repeats=1) for way in ways] for _ in range(5)]
    ours, *others = torch.tensor(times).median(0).values.tolist()
    found = {way: seconds / ours for way, seconds in zip(list(ways)[1:], others, strict=True)}
    with profile() as calls:
        step("chunked")
    spent = {
        call.key: call.self_cpu_time_total if device == "cpu" else call.self_device_time_total
        for call in calls.key_averages()
    }
    most, total = sorted(spent, key=spent.get, reverse=True)[:8], sum(spent.values())
    shares = {f"percent_{name}": 100 * spent[name] / total for name in most}
    return {"seconds": ours, **found, **shares}


def long_clip_network(
    device: str = "cpu", kind: type[TSMResNet] = TSMResNet, **options
) -> TSMResNet:
    """A network in training, with constant statistics before its clusters."""
    options = {"clustering": TemporalClustering("cumulative", 8), **options}
    size = {"depth": 18, "width": 8, "stem_pool": False} if device == "cpu" else {"depth": 50}
    model = kind(num_classes=10, early_statistics="running", **size, **options)
    return model.to(device, memory_format=torch.channels_last)


def other_backbones(device: str = "cpu") -> dict[str, float]:
    """What a training step of image networks costs with the step inside, in shares of without it.

    32 frames, 8 clusters, at once and in chunks of 8 frames: multiply-adds, memory as foretold, and
    time. "..._cut": the time without clusters, over that of the backbone called as it comes.
    """
    side, found = 64 if device == "cpu" else 224, {}
    x = torch.rand(1, 32, 3, side, side, device=device)
    target = torch.zeros(1, dtype=torch.int64, device=device)
    for name, after in SPLITS.items():
        if name.startswith("timm/") and find_spec("timm") is None:
            continue
        backbone = image_network(name, 10).to(device)
        cluster = TemporalClustering("cumulative", 8)
        options = {"after": after, "clustering": cluster, "early_statistics": "running"}
        model = full_video(backbone, **options)
        ways = {
            "plain": lambda backbone=backbone: backbone(x[0]).mean(0, keepdim=True),
            "cut": partial(model, x, cluster=False),
            "clusters": partial(in_chunks, model, x, None),
            "chunks": partial(in_chunks, model, x, 8),
        }
        steps = [lambda way=way: F.cross_entropy(way(), target).backward() for way in ways.values()]
        times = [[step_time(step, repeats=1, warmup=0) for step in steps] for _ in range(4)]
        plain, *others = torch.tensor(times[1:]).median(0).values.tolist()
        found |= {
            f"{name}_{way}": seconds / plain
            for way, seconds in zip(list(ways)[1:], others, strict=True)
        }
        model.chunk = None
        macs = [multiply_adds(model, x.shape, cluster=cluster) for cluster in (True, False)]
        found[f"{name}_multiply_adds"] = macs[0] / macs[1]
        clusters = predicted_peak(model, x.shape)
        model.chunk = 8
        chunks = predicted_peak(model, x.shape)
        model.chunk = model.clustering = None
        memory = predicted_peak(model, x.shape)
        found |= {f"{name}_memory": clusters / memory, f"{name}_memory_chunks": chunks / memory}
    return found


def in_chunks(model: FullVideo, x: torch.Tensor, chunk: int | None) -> torch.Tensor:
    """The scores of clips in chunks of so many frames."""
    model.chunk = chunk
    return model(x)


def step_savings() -> dict[str, float]:
    """What a step in chunks no longer does, over what it does now: times, forward and back.

    Of the activations of 32 frames in block 1 of the network of scale `small`; the shift of 256
    frames in its block 2. One thread.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    images = torch.randn(32, 8, 24, 24).relu().bfloat16()
    images = images.to(memory_format=torch.channels_last)
    grad, relu = torch.rand_like(images), torch.ops.aten.threshold_backward
    other = grad.contiguous()
    block = long_clip_network().layer1[0]
    conv, norm = block.conv1.bfloat16(), block.bn1.bfloat16()
    images.requires_grad_()

    def step(layers: Callable[[torch.Tensor], torch.Tensor]) -> None:
        sources = [images, conv.weight, norm.weight, norm.bias]
        torch.autograd.grad(layers(images), sources, grad)

    frames = Frames(1, 256, torch.device("cpu"))
    x = torch.rand(256, 16, 12, 12).bfloat16().to(memory_format=torch.channels_last)
    index = torch.arange(256)
    after, before = (index + 1).clamp(max=256), (index - 1) % 257

    def by_index() -> torch.Tensor:
        out = x.clone()
        for channels, place in ((slice(2), after), (slice(2, 4), before)):
            padded = F.pad(x[:, channels], (0, 0, 0, 0, 0, 0, 0, 1))
            out[:, channels] = padded.index_select(0, place)
        return out

    assert torch.equal(by_index(), temporal_shift(x, frames))
    pairs = {
        "two_layouts": (lambda: relu(other, images, 0), lambda: relu(grad, images, 0)),
        "two_layers": (
            lambda: step(lambda x: norm(conv(x))),
            lambda: step(partial(conv_bn, conv, norm)),
        ),
        "shift_by_index": (by_index, lambda: temporal_shift(x, frames)),
    }
    found = {name: ratio(*pair, name, repeats=99)[name] for name, pair in pairs.items()}
    torch.set_num_threads(threads)
    return found


class FrameByFrame(torch.nn.Module):
    """Clusters as a loop over frames that leaves torch for each distance, as was published."""

    may_be_empty = False

    def forward(self, x, lengths=None):
        bits = (x[0].detach().float().flatten(1) > 0).cpu().numpy()
        dist = [hamming(a, b) * bits.shape[1] for a, b in pairwise(bits)]
        labels = cumulative_clusters(torch.tensor(dist)[None].round().long(), 8).to(x.device)
        y = torch.stack([torch.stack([*x[0][labels[0] == k]]).mean(0) for k in range(8)])[None]
        return y, labels, labels.new_ones(1, 8)


def move4mnist_speed() -> dict[str, float]:
    """Generated clips a second, and how many times the wanted speed that is."""
    clips = Move4MNIST("train", clips=500)
    clips.batch([0])  # the banks are loaded
    speed = len(clips) / step_time(clips.materialise, repeats=3)
    return {"clips_per_second": speed, "times_wanted": speed / CLIPS_A_SECOND}


def bfloat16_speed() -> dict[str, float]:
    """How many times faster a step of the network of scale `small` is in bfloat16."""
    model = tsm_resnet(18, 4, width=8, in_channels=1, stem_pool=False)
    model = model.to(memory_format=torch.channels_last)
    clips = torch.randint(0, 255, (8, 32, 1, 64, 64), dtype=torch.uint8)
    target = torch.arange(8) % 4

    def step(autocast: bool) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            loss = F.cross_entropy(model(clips).float(), target)
        loss.backward()

    return ratio(lambda: step(False), lambda: step(True), "times_faster")


def channels_last_speed() -> dict[str, float]:
    """How many times faster a step of the network of `fit` is than in PyTorch's usual layout."""
    network = network_for(Settings(weights="none"), 10)
    usual = deepcopy(network).to(memory_format=torch.contiguous_format)
    clips = torch.randint(0, 255, (2, 32, 3, 112, 112), dtype=torch.uint8)
    target = torch.arange(2)

    def step(model: torch.nn.Module) -> None:
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(model(clips).float(), target)
        loss.backward()

    return ratio(partial(step, usual), partial(step, network), "times_faster", repeats=3)


def frame_gradients_speed() -> dict[str, float]:
    """How many times faster the gradients of 32 frames come at once than one after the other."""
    model = tsm_resnet(18, 4).eval()
    x, target = torch.rand(1, 32, 3, 64, 64), torch.zeros(1, dtype=torch.int64)

    def loop(weights: list[torch.Tensor], setting: str) -> None:
        # The least that a loop costs: of the clip one forward pass serves all 32 backward passes.
        loss = F.cross_entropy(model(x), target) if setting == "clip" else None
        for i in range(32):
            one = F.cross_entropy(model(x[:, i : i + 1]), target) if loss is None else loss
            torch.autograd.grad(one, weights, retain_graph=loss is not None)

    found = {}
    for stage in ("layer1", "layer3"):
        weights = [p for p in model.get_submodule(stage).parameters() if p.ndim == 4]
        for setting in ("clip", "frame"):
            options = {"stage": stage, "setting": setting}
            both = (
                partial(loop, weights, setting),
                partial(frame_gradients, model, x, target, **options),
            )
            found[f"{stage}_{setting}"] = ratio(*both, "times", repeats=3)["times"]
    return found


def decoding_speed() -> dict[str, float]:
    """Frames a second, decoded and cropped by two workers, in shares of plain PyAV's decoding."""
    photograph = load_sample_images().images[0]
    with TemporaryDirectory() as folder, ProcessPoolExecutor(2, get_context("spawn")) as pool:
        for i in range(12):
            path = Path(folder, "a" if i % 2 else "b", f"{i}.avi")
            path.parent.mkdir(exist_ok=True)
            corners = [((k + i) % 180, 2 * k % 300) for k in range(150)]
            frames = np.stack([photograph[y : y + 240, x : x + 320] for y, x in corners])
            encode(path, frames, SYNTHETIC["ucf101"].encoding)
        found = video_folder(folder)
        clips = VideoClips(found, count_frames(found))
        files = 2 * list(map(str, found.paths))  # so many that starting the workers counts little
        crop, steps = TrainTransform("ucf101"), 2 * chunks(np.arange(len(clips)), 1)

        def ours() -> None:
            for batch in batches(clips, steps, FrameSampler("all"), workers=2):
                crop(batch.x, batch.indices, seed=0, epoch=0)

        sum(pool.map(decode_plainly, files))  # its processes have started
        two = ratio(lambda: sum(pool.map(decode_plainly, files)), ours, "of_two", repeats=3)
        one = ratio(lambda: sum(map(decode_plainly, files)), ours, "of_one", repeats=3)
        return {"of_one_process": one["of_one"], "of_two_processes": two["of_two"]}


def prediction_speed() -> dict[str, float]:
    """Time of decoding a long video as often as a prediction does, over that of the prediction.

    Three times, from its first frame to its last, with plain PyAV: as RGB, and without making
    colours of it. The network is small enough to keep up on one thread.
    """
    cluster, threads = TemporalClustering("cumulative", 8), torch.get_num_threads()
    network = tsm_resnet(18, 3, width=8, clustering=cluster, chunk=32)
    protocol = Protocol.clustered()
    options = {"size": (48, 48), "autocast": False}
    look = Predictor(network=network, classes=("a", "b", "c"), protocol=protocol, **options)
    photograph = load_sample_images().images[0]
    torch.set_num_threads(1)
    with TemporaryDirectory() as folder:
        path = Path(folder, "long.avi")
        corners = [(k % 180, 2 * k % 300) for k in range(1500)]
        frames = np.stack([photograph[y : y + 240, x : x + 320] for y, x in corners])
        encode(path, frames, SYNTHETIC["ucf101"].encoding)
        found = {}
        for name, rgb in (("of_rgb", True), ("of_bare", False)):
            plain = partial(decode_plainly, str(path), rgb=rgb)
            found |= ratio(
                lambda plain=plain: (plain(), plain(), plain()), partial(look, path), name
            )
    torch.set_num_threads(threads)
    return found


def decode_plainly(path: str, *, rgb: bool = True) -> int:
    """All frames of a video, as RGB if asked for, as PyAV's own examples do; their number."""
    import av

    with av.open(path) as container:
        frames = container.decode(video=0)
        return sum(not rgb or len(frame.to_ndarray(format="rgb24")) > 0 for frame in frames)


def ratio(
    a: Callable[[], object], b: Callable[[], object], name: str, *, repeats: int = 9
) -> dict[str, float]:
    """Median time of a over that of b, measured in turn so that both see the same machine."""
    times = [(step_time(a, repeats=1), step_time(b, repeats=1)) for _ in range(repeats)]
    seconds_a, seconds_b = torch.tensor(times).median(0).values.tolist()
    return {name: seconds_a / seconds_b, "seconds": seconds_a, "seconds_of_unit": seconds_b}


ON_CPU = (
    clustering_reads,
    clustering_bandwidth,
    clustering_share,
    neighbour_distances,
    long_clip_step,
    other_backbones,
    step_savings,
    move4mnist_speed,
    bfloat16_speed,
    channels_last_speed,
    frame_gradients_speed,
    decoding_speed,
    prediction_speed,
)
ON_GPU = tuple(
    partial(part, "cuda") for part in (clustering_bandwidth, long_clip_step, other_backbones)
)


def main() -> None:
    """Measure everything, print it, and write a record: one of the CPU, one of a GPU."""
    torch.manual_seed(0)
    kept = keep_freed_memory()
    measure("cpu", {part.__name__: part for part in ON_CPU}, kept)
    if torch.cuda.is_available():
        measure("cuda", {part.func.__name__: part for part in ON_GPU}, kept)


def keep_freed_memory() -> bool:
    """Let glibc give no memory back to the operating system; False where there is no glibc."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    no_mmap, never_trim = (-4, 0), (-1, 2**31 - 1)  # M_MMAP_MAX, M_TRIM_THRESHOLD
    return mallopt is not None and bool(mallopt(*no_mmap) and mallopt(*never_trim))


def measure(device: str, parts: dict[str, Callable[[], dict[str, float]]], kept: bool) -> None:
    """Print what the parts find, and write it as the record of this device."""
    results = {}
    for name, part in parts.items():
        results[name] = part()
        line = ", ".join(f"{key} {value:.4g}" for key, value in results[name].items())
        print(f"{device}, {name}\n    {line}", flush=True)
    record = records.new(
        "bench",
        row=device,
        scale="small" if device == "cpu" else "paper",
        data="embedded",
        seed=0,
        version=4,
        parameters={"memory_kept": kept},
        dataset={"name": "random activations; Move4MNIST", "sha256": {}, "counts": {}},
        protocol={},
        results=results,
        cost={"wall_s": None, "peak_mem_mb": None, "params": None, "macs": None},
        device=device,
    )
    print(f"record: {records.write(record, None, BUILD)}")


if __name__ == "__main__":
    main()
