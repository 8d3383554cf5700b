"""Fingerprints: a few steps of every experiment, so that no change of the arithmetic goes unseen.

`data/fingerprints.json` holds them beside the version of each experiment, `data/fingerprints.toml`
says of which runs. One is made as records are made, by `lab.experiments.run`, on few small clips
with one thread; all bits of its weights after every step, of its logits and of its record go into a
sum, and a few numbers are kept to be read, and to be compared on other processors, where the last
digits differ.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import re
import shutil
import tempfile
import tomllib
from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.optim import optimizer as optimizers

from fvlib.storage import read_json, write_file
from fvlib.training import History
from lab import records
from lab.experiments import parts, run
from lab.experiments.benchmarks import minis_of
from lab.experiments.costs import step_seconds
from lab.experiments.parts import Trial
from lab.parameters import Length, StoredSet, experiment_of
from lab.recipes import experiments_of, parameters_of, scales_of
from lab.records.record import branches
from lab.synthetic import write_mini

COMMAND = "python -m lab fingerprints"
# Of numbers relative to 1, or to themselves where they are larger, on other processors. With
# instructions of AVX2 for AVX-512 those in float32 differed by up to 2e-4, in bfloat16 by 9e-3.
TOLERANCE = {"float32": 1e-3, "bfloat16": 2e-2}


def cases_of(path: Path) -> dict[str, tuple[Mapping[str, Any], dict[str, Mapping[str, Any]]]]:
    """By experiment: what all of its cases have, and the cases, each with what it has besides."""
    tables = tomllib.loads(path.read_text("utf-8"))
    named = tables.pop("settings")

    def settings(entry: dict[str, Any]) -> dict[str, Any]:
        shared = [named[name] for name in entry.pop("with", ())]
        return dict(ChainMap(entry, *reversed(shared)))

    found = {}
    for experiment, entries in tables.items():
        cases = {name: settings(entry) for name, entry in entries.items()}
        found[experiment] = (cases.pop("common"), cases)
    return found


CASES = cases_of(Path(__file__).parents[1] / "data" / "fingerprints.toml")


def kind() -> dict[str, str]:
    """What has to be the same for the same bits: processor, instructions, packages."""
    found = {"cpu": records.machine()["cpu"], "architecture": platform.machine()}
    found["instructions"] = torch.backends.cpu.get_cpu_capability()
    for package in ("torch", "numpy", "av", "opencv-python-headless"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    return found


def case_of(recipes: Path, experiment: str, case: str) -> tuple[str, str, dict[str, Any]]:
    """The row and the scale of a case, and what it has in place of the recipe file's parameters."""
    row, _, precision = case.partition(" ")
    common, cases = CASES[experiment]
    scale = "smoke" if "smoke" in scales_of(recipes, experiment) else "paper"
    given = {**common, **cases[case]}
    given |= {"autocast": precision == "bfloat16"} if precision else {}
    return row, scale, given


@contextmanager
def laid_out(recipes: Path) -> Iterator[Path]:
    """A data folder of its own for runs: the recipe file, the networks' starts, an empty cache."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(recipes, Path(folder, "recipes.toml"))
        Path(folder, "samples").symlink_to((Path(recipes).parent / "samples").resolve())
        yield Path(folder)


def make(recipes: Path) -> dict[str, Any]:
    """The fingerprints of all experiments of a recipe file, computed anew."""
    with laid_out(recipes) as beside:
        return {name: fingerprint(beside, name) for name in experiments_of(recipes)}


def fingerprint(
    beside: Path, experiment: str, cases: Sequence[str] | None = None
) -> dict[str, Any]:
    """The version of an experiment and the fingerprint of its cases (None: all), with one thread.

    Args:
        beside: a data folder as `laid_out` gives one.
    """
    threads, made, number = torch.get_num_threads(), {}, None
    torch.set_num_threads(1)
    try:
        for case in CASES[experiment][1] if cases is None else cases:
            with tempfile.TemporaryDirectory() as folder:
                number, made[case] = _case(experiment, case, beside, Path(folder))
    finally:
        torch.set_num_threads(threads)
    return {"version": number, "cases": made}


def _case(experiment: str, case: str, beside: Path, folder: Path) -> tuple[int, dict[str, Any]]:
    recipes, measured = beside / "recipes.toml", experiment_of(experiment).measured
    row, scale, given = case_of(recipes, experiment, case)
    parameters, number = parameters_of(recipes, experiment, row, scale, "embedded", **given)
    if isinstance(parameters, StoredSet):
        for mini in minis_of(parameters, beside).values():
            write_mini(**mini, jobs=0)
    counts: dict[str, Any] = {}
    with _watched() as seen, torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # where dropout is on and only the memory is looked at
        if isinstance(parameters, Length):  # its record takes a process for each of its steps
            step_seconds(Trial(parameters, 0, beside, folder / "none"), parameters.lengths[0], 1)
        else:
            name = {"scale": scale, "data": "embedded", "seed": 0}
            path = run(experiment, row, **name, recipes=recipes, folder=folder, **given)
            record = records.read(path)
            seen.arrays(record.data["sha256"], record.arrays, only_names=measured)
            if not measured:
                seen.results(record)
                found = branches(record.results)
                counts = {key: v for key, v in found if isinstance(v, bool | int | str)}
    asked = json.dumps([scale, parameters.chosen()], sort_keys=True)
    return number, {
        "sha256": seen.sum.hexdigest(),
        "asked": hashlib.sha256(asked.encode()).hexdigest()[:16],
        "numbers": {
            key: values if len(values) < 5 else values[:2] + values[-2:]
            for key, values in seen.numbers.items()
        },
        "counts": counts,
    }


@dataclass
class Seen:
    """What was seen of a run: a sum over all bits, and by name the numbers that are kept."""

    sum: Any = field(default_factory=hashlib.sha256)
    numbers: dict[str, list[float]] = field(default_factory=dict)

    def add(self, name: str, *values: Tensor | np.ndarray) -> None:
        """These values, all of whose bits count; their norm is kept under this name."""
        arrays = [
            value.detach().cpu().double().numpy() if isinstance(value, Tensor) else value
            for value in values  # in double precision no bit of a shorter number is lost
        ]
        for array in arrays:
            self.sum.update(f"{name} {array.dtype} {array.shape}".encode())
            self.sum.update(np.ascontiguousarray(array).tobytes())
        self.numbers.setdefault(name, []).append(
            math.sqrt(sum(float(np.square(array.astype(float)).sum()) for array in arrays))
        )

    def arrays(self, of_data: Any, arrays: Mapping[str, np.ndarray], only_names: bool) -> None:
        """The sums of a record's data and its arrays; of measured times, their names."""
        self.sum.update(json.dumps(of_data, sort_keys=True).encode())
        for name, array in sorted(arrays.items()):
            self.sum.update(name.encode())
            if not only_names:
                self.sum.update(f"{array.dtype} {array.shape}".encode() + array.tobytes())

    def results(self, record: records.Record) -> None:
        """A record's results, and what its network costs."""
        entries = {**record.results, "params": record.cost["params"], "macs": record.cost["macs"]}
        found = {
            key: value
            for key, value in branches(entries)
            if key != "epoch_s" and not isinstance(value, Mapping)
        }
        self.sum.update(json.dumps(found, sort_keys=True).encode())
        for key, value in found.items():
            if isinstance(value, float) and not key.endswith(("top1", "train_loss")):
                self.numbers.setdefault(key, []).append(value)


@contextmanager
def _watched() -> Iterator[Seen]:
    """While the block runs: the weights and gradients of each step, logits, losses of epochs."""
    seen, depth = Seen(), 0

    def before(module, inputs) -> None:
        nonlocal depth
        depth += 1

    def after(module, inputs, output) -> None:
        nonlocal depth
        depth -= 1
        if depth == 0 and type(output) is Tensor and output.ndim == 2:
            with suppress(RuntimeError):  # inside of torch.func, whose tensors cannot be read
                seen.add("logits while training" if module.training else "logits", output)

    def stepped(optimizer, *_) -> None:
        weights = [weight for group in optimizer.param_groups for weight in group["params"]]
        seen.add("gradients", *(weight.grad for weight in weights if weight.grad is not None))
        seen.add("weights", *weights)

    def train(*given, after_epoch, **options) -> History:
        def told(epoch: int, model: nn.Module, history: History) -> None:
            seen.add("loss", np.array(history.train_loss[-1]))
            after_epoch(epoch, model, history)

        return trained(*given, after_epoch=told, **options)

    trained, parts.train = parts.train, train
    hooks = [
        modules.register_module_forward_pre_hook(before),
        modules.register_module_forward_hook(after, always_call=True),
        optimizers.register_optimizer_step_post_hook(stepped),
    ]
    try:
        yield seen
    finally:
        parts.train = trained
        for hook in hooks:
            hook.remove()


# ---- beside the recipe file ----


def write(path: Path, found: Mapping[str, Any], machine: Mapping[str, str]) -> None:
    """Write fingerprints, one line a case, so that git shows which have changed."""
    experiments = []
    for name, entry in found.items():
        cases = ",\n".join(
            f"   {json.dumps(k)}: {json.dumps(v)}" for k, v in entry["cases"].items()
        )
        head = f' {json.dumps(name)}: {{\n  "version": {entry["version"]},\n  "cases": {{\n'
        experiments.append(f"{head}{cases}\n  }}\n }}")
    text = ",\n".join([f' "machine": {json.dumps(machine)}', *experiments])
    write_file(path, f"{{\n{text}\n}}\n")


def read(path: Path) -> tuple[dict[str, Any], dict[str, str]]:
    """The fingerprints of a file, none where there is none, and the machine that made them."""
    entries = read_json(path) if path.exists() else {}
    machine = entries.pop("machine", {})
    return entries, machine


def differences(stored: Mapping[str, Any], found: Mapping[str, Any], to_the_bit: bool) -> list[str]:
    """In which cases two fingerprints of an experiment differ, and in what; one line each.

    Of cases that both have, with the same parameters.

    Args:
        to_the_bit: whether both are of the same kind of machine; if not, numbers may differ by
            `TOLERANCE`, and the class of a clip whose scores are nearly equal may be another one.
    """
    lines = []
    for case in sorted(set(stored["cases"]) - set(changed_cases(stored, found))):
        one, other = stored["cases"][case], found["cases"][case]
        if to_the_bit and one["sha256"] == other["sha256"]:
            continue
        tolerance = 0.0 if to_the_bit else TOLERANCE[case.partition(" ")[2] or "float32"]
        said = [
            f"{name} {how}"
            for part in ("numbers", "counts")
            for name in dict.fromkeys([*one[part], *other[part]])
            if (how := _differ(one[part].get(name), other[part].get(name), tolerance))
            and (to_the_bit or not name.endswith(".correct"))
        ]
        if said or to_the_bit:
            lines.append(f"{case}: {'; '.join(said) or 'only in bits that are not shown'}")
    return lines


def changed_cases(stored: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """The cases that only one of two fingerprints has, or that were made by other parameters."""
    one, other = ({k: v["asked"] for k, v in of["cases"].items()} for of in (stored, found))
    return sorted(case for case in {**one, **other} if one.get(case) != other.get(case))


def _differ(one: Any, other: Any, tolerance: float) -> str:
    """How two entries differ, "" if they do not; of lists the first numbers too far apart."""
    if not (isinstance(one, list) and isinstance(other, list) and len(one) == len(other)):
        return "" if one == other else f"{one} -> {other}"
    for i, (a, b) in enumerate(zip(one, other, strict=True)):
        if not math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance):
            return f"[{i}] {a!r} -> {b!r}"
    return ""


def complaint(
    experiment: str, stored: Mapping[str, Any] | None, found: Mapping[str, Any], to_the_bit: bool
) -> str:
    """What is wrong with a stored fingerprint beside that of today's code; "" if nothing is."""
    if stored is None:
        return f"{experiment} has no fingerprint: write it with {COMMAND}"
    if stored["version"] != found["version"]:
        return (
            f"the fingerprint of {experiment} is that of version {stored['version']}, and the "
            f"recipe file has {found['version']}: write it again with {COMMAND}"
        )
    if lines := differences(stored, found, to_the_bit):
        return (
            f"the arithmetic of {experiment} has changed, and its version has not; if this is "
            f"meant, {COMMAND} --raise raises the version in the recipe file and writes the "
            "fingerprints again, and records of it are stale then:\n  " + "\n  ".join(lines)
        )
    if cases := changed_cases(stored, found):
        return f"{', '.join(cases)} of {experiment} has changed: write it again with {COMMAND}"
    return ""


def renew(path: Path, recipes: Path, raise_versions: bool = False) -> list[str]:
    """Write the fingerprints of all experiments again; the names of those whose version is raised.

    Raises:
        ValueError: and writes nothing, where arithmetic has changed and the version has not, unless
            `raise_versions`, by which the recipe file gets the next version.
    """
    (stored, machine), here, found = read(path), kind(), make(recipes)
    complaints = {
        name: complaint(name, stored[name], entry, machine == here)
        for name, entry in found.items()
        if name in stored
        and stored[name]["version"] == entry["version"]
        and differences(stored[name], entry, machine == here)
    }
    if complaints and not raise_versions:
        raise ValueError("\n".join(complaints.values()))
    text = recipes.read_text("utf-8")
    for name in complaints:
        found[name]["version"] += 1
        version_line = rf"(^\[{name}\]\n(?:(?!\[).*\n)*?version = )\d+"
        text = re.sub(version_line, rf"\g<1>{found[name]['version']}", text, flags=re.MULTILINE)
    if complaints:
        write_file(recipes, text)
    write(path, found, here)
    return list(complaints)
