"""How fast the parts are: `make bench`. Each figure is a ratio of two times of the same run.

The result is printed, and written as a record to build/records (`python -m fvlib records adopt`
keeps it), so that a later change can be compared with it. Run it on an otherwise idle machine.
`make bench` asks PyTorch for huge pages (THP_MEM_ALLOC_ENABLE=1), since a large result in fresh
memory costs a page fault every 4 KB otherwise; the record says whether they were on.
"""

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
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

from fvlib import records
from fvlib.clustering import TemporalClustering, cumulative_clusters
from fvlib.cost import step_time
from fvlib.datasets import Move4MNIST, TrainTransform
from fvlib.datasets.loading import FrameChoice, batches, chunks
from fvlib.datasets.minis import MINIS
from fvlib.datasets.minis.writing import encode
from fvlib.datasets.videos import count_frames, video_folder
from fvlib.datasets.videos.clips import VideoClips
from fvlib.gradients import frame_gradients
from fvlib.models import TSMResNet, tsm_resnet
from fvlib.models.kept import CheckpointedResNet

BUILD = Path(__file__).parents[1] / "build" / "records"
CLIPS_A_SECOND = 500  # what Move4MNIST is meant to reach


def clustering_reads() -> dict[str, float]:
    """Distances, labels and averages in units of one read of the activations, `x.sum()`."""
    x = torch.relu(torch.randn(8, 32, 64, 56, 56, generator=torch.Generator().manual_seed(0)))
    cluster = TemporalClustering("cumulative", 8)
    with torch.no_grad():
        return ratio(lambda: cluster(x), x.sum, "reads")


def clustering_bandwidth() -> dict[str, float]:
    """The clustering step in units of the time that moving its bytes costs at a plain copy's speed.

    Forward: x is read twice, for distances and for means, and y written. Backward: y's gradient is
    read and x's written. `reads` is the forward pass over one `x.sum()`, of which the goal is at
    most `reads_goal`: 2.5 and the write of y. The copy goes to memory that is there already, while
    results come in fresh memory, which the operating system fills with zeros first: `fresh_reads`
    is what writing y there costs, in the same unit, and it counts against the step.
    """
    cluster, threads = TemporalClustering("cumulative", 8), torch.get_num_threads()
    found = {}
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.relu(torch.randn(8, 32, 64, 56, 56, generator=torch.Generator().manual_seed(0)))
        x = x.to(dtype).requires_grad_()
        held, plain = torch.empty_like(x), x.detach()
        y = cluster(x)[0]
        steps = {
            "forward": partial(cluster, plain),
            "backward": partial(torch.autograd.grad, y, x, torch.ones_like(y), retain_graph=True),
            "sum": plain.sum,
            "copy": partial(held.copy_, plain),
            "fresh": lambda y=y: torch.empty_like(y).zero_(),
        }
        for count in sorted({1, threads}):
            torch.set_num_threads(count)
            times = [[step_time(f, repeats=1) for f in steps.values()] for _ in range(9)]
            cost = dict(zip(steps, torch.tensor(times).median(0).values.tolist(), strict=True))
            x_copied, y_copied = cost["copy"], cost["copy"] * y.numel() / x.numel()
            found |= {
                f"{name}_{str(dtype)[6:]}_{count}": value
                for name, value in {
                    "copy_gb_per_s": 2 * plain.nbytes / 1e9 / x_copied,
                    "forward": cost["forward"] / (x_copied + y_copied / 2),
                    "backward": cost["backward"] / ((x_copied + y_copied) / 2),
                    "reads": cost["forward"] / cost["sum"],
                    "reads_goal": 2.5 + y_copied / 2 / cost["sum"],
                    "fresh_reads": cost["fresh"] / cost["sum"],
                }.items()
            }
        torch.set_num_threads(threads)
    return found


def clustering_share() -> dict[str, float]:
    """The clustering step, forward and backward, in percent of a training step of ResNet-18."""
    model = tsm_resnet(18, 4, clustering=TemporalClustering("cumulative", 8))
    clip, target = torch.randint(0, 255, (1, 32, 3, 224, 224), dtype=torch.uint8), torch.zeros(1)
    x = torch.relu(torch.randn(1, 32, 64, 56, 56)).requires_grad_()
    grad = torch.randn(1, 8, 64, 56, 56)

    def step() -> None:
        F.cross_entropy(model(clip), target.long()).backward()

    found = ratio(lambda: model.clustering(x)[0].backward(grad), step, "percent", repeats=3)
    percent = 100 * found.pop("percent")
    return {"percent": percent, "at_most_3_percent": percent <= 3, **found}


def long_clip_step() -> dict[str, float]:
    """Times of a training step on 256 frames, over that of ours: chunks of 32 frames, 8 clusters.

    The network of scale `small` on frames of 48x48, in bfloat16. "percent_...": where our step
    spends its time, by what is called.
    """
    ways = {
        "chunked": long_clip_network(chunk=32),
        "dense": long_clip_network(),
        "checkpointed": long_clip_network(network=CheckpointedResNet),
        "tsm_all_frames": long_clip_network(clustering=None),
        "tsm_8_frames": long_clip_network(clustering=None),
        "frame_by_frame_scipy": long_clip_network(clustering=FrameByFrame()),
    }
    x = torch.randint(0, 255, (1, 256, 3, 48, 48), dtype=torch.uint8)
    target = torch.zeros(1, dtype=torch.int64)

    def step(way: str) -> None:
        frames = x[:, ::32] if way == "tsm_8_frames" else x
        with torch.autocast("cpu", torch.bfloat16):
            loss = F.cross_entropy(ways[way](frames).float(), target)
        loss.backward()

    times = [[step_time(partial(step, way), repeats=1) for way in ways] for _ in range(5)]
    ours, *others = torch.tensor(times).median(0).values.tolist()
    found = {way: seconds / ours for way, seconds in zip(list(ways)[1:], others, strict=True)}
    with profile() as calls:
        step("chunked")
    spent = sorted(calls.key_averages(), key=lambda call: -call.self_cpu_time_total)
    total = sum(call.self_cpu_time_total for call in spent)
    shares = {f"percent_{one.key}": 100 * one.self_cpu_time_total / total for one in spent[:8]}
    return {"seconds": ours, **found, **shares}


def long_clip_network(**options) -> TSMResNet:
    """The network of scale `small`, in training, with constant statistics before its clusters."""
    options = {"clustering": TemporalClustering("cumulative", 8), **options}
    model = tsm_resnet(18, 10, width=8, stem_pool=False, early_statistics="running", **options)
    return model.to(memory_format=torch.channels_last)


class FrameByFrame(torch.nn.Module):
    """Clusters as a loop over frames that leaves torch for each distance, as was published."""

    leaves_holes = False

    def forward(self, x, lengths=None):
        bits = (x[0].detach().float().flatten(1) > 0).numpy()
        dist = [hamming(a, b) * bits.shape[1] for a, b in pairwise(bits)]
        labels = cumulative_clusters(torch.tensor(dist)[None].round().long(), 8)
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
            encode(path, frames, MINIS["ucf101"].encoding)
        found = video_folder(folder)
        clips = VideoClips(found, count_frames(found))
        files = 2 * list(map(str, found.paths))  # so many that starting the workers counts little
        crop, steps = TrainTransform("ucf101"), 2 * chunks(np.arange(len(clips)), 1)

        def ours() -> None:
            for batch in batches(clips, steps, FrameChoice("all"), workers=2):
                crop(batch.x, batch.indices, seed=0, epoch=0)

        sum(pool.map(decode_plainly, files))  # its processes have started
        two = ratio(lambda: sum(pool.map(decode_plainly, files)), ours, "of_two", repeats=3)
        one = ratio(lambda: sum(map(decode_plainly, files)), ours, "of_one", repeats=3)
        return {"of_one_process": one["of_one"], "of_two_processes": two["of_two"]}


def decode_plainly(path: str) -> int:
    """All frames of a video as RGB, as PyAV's own examples do; their number."""
    import av

    with av.open(path) as container:
        return sum(len(frame.to_ndarray(format="rgb24")) > 0 for frame in container.decode(video=0))


def ratio(
    a: Callable[[], object], b: Callable[[], object], name: str, *, repeats: int = 9
) -> dict[str, float]:
    """Median time of a over that of b, measured in turn so that both see the same machine."""
    times = [(step_time(a, repeats=1), step_time(b, repeats=1)) for _ in range(repeats)]
    seconds_a, seconds_b = torch.tensor(times).median(0).values.tolist()
    return {name: seconds_a / seconds_b, "seconds": seconds_a, "seconds_of_unit": seconds_b}


def main() -> None:
    """Measure everything, print it, and write one record."""
    torch.manual_seed(0)
    results = {}
    parts = (
        clustering_reads,
        clustering_bandwidth,
        clustering_share,
        long_clip_step,
        move4mnist_speed,
        bfloat16_speed,
        frame_gradients_speed,
        decoding_speed,
    )
    for part in parts:
        found = part()
        results[part.__name__] = found
        line = ", ".join(f"{name} {value:.4g}" for name, value in found.items())
        print(f"{part.__doc__}\n    {line}", flush=True)
    record = records.new(
        "bench",
        row="cpu",
        scale="small",
        data="embedded",
        seed=0,
        version=1,
        parameters={"huge_pages": os.environ.get("THP_MEM_ALLOC_ENABLE") == "1"},
        dataset={"name": "random activations; Move4MNIST", "sha256": {}, "counts": {}},
        protocol={},
        results=results,
        cost={"wall_s": None, "peak_mem_mb": None, "params": None, "macs": None},
    )
    print(f"record: {records.write(record, None, BUILD)}")


if __name__ == "__main__":
    main()
