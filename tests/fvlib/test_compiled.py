"""fvlib.clustering.compiled.gpu, which a GPU runs: what they compute, and that they compile.

Triton can interpret its kernels on a CPU, if it is told to before they are defined, and compile
them for a GPU that is not there. Where there is one, the last test runs them on it.
"""

import os
import subprocess
import sys

import pytest
import torch

from fvlib.clustering import TemporalClustering, hamming_distances
from fvlib.clustering.compiled import cpu

pytest.importorskip("triton", reason="Triton comes with torch for GPUs")

INTERPRETED = """
import sys
import torch
from fvlib.clustering.compiled import cpu, gpu
floats = (torch.float32, torch.float64, torch.bfloat16, torch.float16)
for m, features in ((1, 5), (33, 1024), (70, 2500)):
    for dtype in (*floats, torch.bool, torch.int32):
        x = (torch.randn(m, features, generator=torch.Generator().manual_seed(m)) * 2).to(dtype)
        changes, nan = gpu.count_changes(x)
        assert torch.equal(changes, cpu.count_changes(x)[0]), dtype
        assert not nan
        if not dtype.is_floating_point:
            continue
        cuts = torch.tensor([0, m // 3, m // 3, m // 3 + 1, m])
        means = gpu.mean_of_runs(x, cuts[:-1], cuts[1:])
        for start, stop, mean in zip(cuts.tolist(), cuts[1:].tolist(), means):
            part = x[start:stop].double()
            torch.testing.assert_close(mean, (part.sum(0) / max(1, len(part))).to(dtype))
        assert torch.equal(means[2], x[m // 3])
        x[-1, -1] = -float("nan")
        assert gpu.count_changes(x)[1]
tiny = torch.tensor([[1e-320], [0.0], [-1e-320]], dtype=torch.float64)
assert gpu.count_changes(tiny)[0].tolist() == [0, 1, 0]
"""

COMPILED = """
import triton.language as tl
from triton import compile
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from fvlib.clustering.compiled import gpu
for number in ("fp32", "bf16", "fp16", "fp64"):
    sums = {"NUMBER": tl.float64 if number == "fp64" else tl.float32, "BLOCK": 1024}
    frames = {"frames": "*" + number}
    count = {**frames, "changes": "*i64", "nan": "*i32", "m": "i32", "features": "i32"}
    mean = {**frames, "starts": "*i64", "stops": "*i64", "means": "*" + number, "features": "i32"}
    for kernel, types, constants in (
        (gpu._count_changes, count, {**sums, "FRAMES": 32}),
        (gpu._mean_of_runs, mean, sums),
    ):
        signature = {**types, **dict.fromkeys(constants, "constexpr")}
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        assert "cubin" in compile(source, target=GPUTarget("cuda", 80, 32)).asm
"""


@pytest.mark.process
@pytest.mark.parametrize("script", [INTERPRETED, COMPILED], ids=["interpreted", "compiled"])
def test_kernels_without_a_gpu(script, tmp_path):
    environment = dict(os.environ, TRITON_CACHE_DIR=str(tmp_path))
    environment["TRITON_INTERPRET"] = "1" if script is INTERPRETED else "0"
    command = [sys.executable, "-W", "ignore", "-c", script]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_on_a_gpu_the_clustering_step_is_that_of_a_cpu(dtype):
    x = torch.randn(3, 40, 16, 28, 28, generator=torch.Generator().manual_seed(0)).to(dtype)
    here, there = x.clone().requires_grad_(), x.cuda().requires_grad_()
    assert torch.equal(hamming_distances(there).cpu(), hamming_distances(x))
    layer = TemporalClustering("cumulative", 7)
    (y, labels, sizes), (y2, labels2, sizes2) = layer(here), layer(there)
    assert torch.equal(labels, labels2.cpu())
    assert torch.equal(sizes, sizes2.cpu())
    close = {"rtol": 1e-2, "atol": 1e-2} if dtype not in cpu.SUMS else {}
    torch.testing.assert_close(y2.cpu(), y, **close)
    y.sum().backward()
    y2.sum().backward()
    torch.testing.assert_close(there.grad.cpu(), here.grad)
