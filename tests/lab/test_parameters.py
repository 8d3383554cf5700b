"""What a recipe, a plan and `--set` may say: taken as it is meant, or refused in a sentence."""

from contextlib import nullcontext
from pathlib import Path
from sys import float_info

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fvlib.clustering import TemporalClustering
from fvlib.storage import read_json
from fvlib.values import checked, read
from lab.building import build_network, move4mnist_sets, network_of, starts_of
from lab.commands.options import parameter
from lab.experiments.parts import orders_of, protocols_of
from lab.parameters import (
    EXPERIMENTS,
    AtTest,
    ClipsToTest,
    Table1,
    completed,
    experiment_of,
)
from lab.recipes import experiments_of, parameters_of, recipe_of, rows_of, scales_of
from lab.records.identity import go_on, note_of

DATA = Path(__file__).parents[2] / "data"
RECIPES = DATA / "recipes.toml"


def resolved(experiment, row, *settings, scale="smoke", data="embedded"):
    overrides = dict(map(parameter, settings))
    return parameters_of(RECIPES, experiment, row, scale, data, **overrides)[0]


# --- the recipe file ------------------------------------------------------------------------------


def test_every_row_of_the_recipe_file_is_read_at_every_scale_and_data(unchecked):
    assert {*experiments_of(RECIPES)} == {*EXPERIMENTS}  # what has a table is known, and has one
    read, refused = 0, set()
    for experiment in EXPERIMENTS:
        for row in rows_of(RECIPES, experiment):
            for scale in scales_of(RECIPES, experiment):
                for data in ("embedded", "real"):
                    try:
                        parameters = resolved(experiment, row, scale=scale, data=data)
                    except ValueError as error:
                        refused.add((experiment, data, str(error).split(": ")[1][:12]))
                        continue
                    read += 1
                    assert (parameters.scale, parameters.data) == (scale, data)
                    if hasattr(parameters, "network"):
                        network_of(parameters)
                    if getattr(parameters, "method", None):
                        TemporalClustering(parameters.method, parameters.clusters)
                    if isinstance(parameters, AtTest):
                        protocols_of(parameters)
    assert read > 900
    null = "null is True"  # there is no such version of a benchmark
    assert refused == {("table2_null", "real", null), ("table5_null", "real", null)}


def test_the_example_of_a_typo_is_refused(tmp_path):
    text = RECIPES.read_text("utf-8")
    row = "tsm-8 = { frames = 8, warmup_epoch = 3, shift_stage = [1] }"
    (tmp_path / "recipes.toml").write_text(text.replace("tsm-8 = { frames = 8 }", row, 1))
    message = "table1, row tsm-8, scale small: unknown key warmup_epoch; did you mean warmup_epochs"
    with pytest.raises(ValueError, match=message):
        parameters_of(tmp_path / "recipes.toml", "table1", "tsm-8", "small", "real")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("[table1.common]", "[table1.comon]", "unknown key table1.comon; did you mean common"),
        ("[table1]\nversion = 3", "[table1]\nversion = 0", "table1: version is 0; wanted 1"),
        ("[table1]\nversion = 3", "[table1]", "table1.version is missing"),
        (
            "[table1]\nversion = 3",
            "[table1]\nversion = true",
            "table1.version is True; wanted a wh",
        ),
        ("tsm-8 = { frames = 8 }", "tsm-8 = 8", "table1.rows.* wanted a table"),
        ("tsm-8 = { frames = 8 }", "tsm-8 = { frames = 8, paper = 1 }", "paper is 1; wanted a tab"),
        ("tsm-8 = { frames = 8 }", "tsm-8 = { frames = 8", "recipes.toml: "),
        ("depth = 18", "depth = 18\nfps = 3", "unknown key fps; .*there is"),
        ("depth = 18", "", "depth is missing; wanted 18 or 34"),
        ("train_clips = 1800", "", "train_clips is missing; wanted a whole number"),
    ],
)
def test_a_recipe_file_that_is_none_is_refused(tmp_path, old, new, complaint):
    before, table1 = RECIPES.read_text("utf-8").split("[table1]", 1)
    assert old in f"[table1]{table1}"
    text = before + f"[table1]{table1}".replace(old, new, 1)
    (tmp_path / "recipes.toml").write_text(text)
    with pytest.raises(ValueError, match=complaint):
        parameters_of(tmp_path / "recipes.toml", "table1", "tsm-8", "paper", "real")


def test_an_unknown_experiment_is_a_sentence(tmp_path):
    (tmp_path / "recipes.toml").write_text("[mine]\nversion = 1\nrows.a = {}\nscale.smoke = {}\n")
    with pytest.raises(ValueError, match="unknown experiment: 'mine'; there is pretrain, table1"):
        parameters_of(tmp_path / "recipes.toml", "mine", "a", "smoke", "real")
    with pytest.raises(ValueError, match="unknown experiment: 'tabel1'"):
        experiment_of("tabel1")


def test_a_record_states_all_parameters_but_those_that_are_none():
    stated = resolved("table1", "tsm-8").stated()
    assert stated["momentum"] == 0.9  # a default
    assert stated["shift_stages"] == [2, 3, 4]
    assert (stated["scale"], stated["data"], stated["frames"]) == ("smoke", "embedded", 8)
    assert not {"clusters", "method", "crop", "share"} & stated.keys()
    assert read(Table1, stated) == resolved("table1", "tsm-8")
    ways = resolved("epoch_time", "all").stated()["ways"]
    assert ways["tsm-8"] == {"frames": 8}
    assert ways["slope-8"] == {"frames": "all", "method": "slope", "clusters": 8}


def test_every_experiment_has_its_function():
    for name, experiment in EXPERIMENTS.items():
        assert callable(experiment.function), name
    assert {name for name, one in EXPERIMENTS.items() if one.measured} == {"length", "epoch_time"}


# --- values that are set --------------------------------------------------------------------------

TABLE1 = ("table1", "cumulative-8")
REFUSED = {
    TABLE1: """
        epochs=1.5 epochs=0 epochs=-1 epochs=true epochs="3" epochs=[1] epochs=2020-01-01 epoch=3
        width=7 width=0 width=-8 width=8.0 depth=20 depth="18" resolution=0 resolution=-64
        resolution=64.5 frame_budget=5 frame_budget=0 stream=true stream=1 lr=0 lr=-0.1 lr=nan
        lr=inf lr=-inf lr=true lr=fast lr=[0.1] batch_size=0 batch_size=true batch_size=8.5
        momentum=2 momentum=1 momentum=-0.1 weight_decay=-1 weight_decay=nan grad_clip=-1
        grad_clip=0
        warmup_epochs=-1 warmup_epochs=2 warmup_epochs=0.5 warmup_frames=0 last_epochs=-1
        last_epochs=2 last_frames=0 schedule=linear schedule=1 lr_steps=[2,1] lr_steps=[0]
        lr_steps=[1.5] lr_steps=3 crop_scales=[] crop_scales=[1.5] crop_scales=[0] crop=0 flip=true
        flip=always flip=sometimes stride=0 stride=0.5 stride=-1 window=0 window=2.5 frames=8
        frames=0 frames=some dense=true sampling=random sampling=none padding=zero
        early_statistics=none chunk=32 chunk=0 chunk=some autocast=1 autocast=yes dropout=1
        dropout=-0.5 dropout=nan shift_stages=[5] shift_stages=[3,2] shift_stages=[2,2]
        shift_stages=2 consensus=max stem_pool=0 in_channels=0 in_channels=2 in_channels=20
        in_channels=-1 weights=IMAGENET1K_V1 init=missing.pt init={} init={0} init=3 init=samples
        batchnorm=off method=none method=cumulativ method=8 clusters=0 clusters=none clusters=2.5
        clusters=true empty=drop adaptive=2 network=tsm2 network=stochastic_backprop share=0.5
        windows=2 network=trn_multiscale released=clusters released=["cluster"]
        released=["tests","none"] test_split=pretrain test_clips=0
        test_clips=none train_clips=-4 train_clips=1e9 train_seed=-1 test_seed=-1 test_seed=1.0
        backgrounds=0 timeline=sideways timeline=TDKB chunk_len=0 n_chunks=0 n_chunks=4
        literal_lengths=[7] literal_lengths=[7,9] literal_lengths=4 speed=0 speed=-1 speed=nan
        min_target=0 min_displacement=0 lr_steps=[1,2] distractor_pos=left
        test_crop=64 test_scale=64 test_views=3 test_crops=2 fold=1 g=3 moments=[1] data_set=x
        lr=1e999 epochs=99999999999999999999 sync_batchnorm=all optimizer=adam
    """,
    ("table1", "tsm-8"): """
        empty=keep empty=split adaptive=true consensus=size clusters=8 method=slope window=4
        stride=2 released=["clusters"] frames=-3 frames=8.0 frames=true
    """,
    ("table1_peers", "backprop-quarter"): "share=0 share=1.5 share=all method=slope windows=1",
    ("table4", "ucf101-cumulative-8"): """
        fold=0 fold=1.0 dataset=5 missing=none! missing=error classes_with=-1 size=[64] size=[0,0]
        size=64 fps=0 fps=-2 memory=2 flow=0 flow=10 workers=-1 clips=0 null=1 mini_seed=-1
        stream=true crop=none test_orders=["backward"] test_orders=reversed scores=1 frozen=true
        train_clips=3 in_channels=2 test_crop=96 crop=-1
    """,
    ("gradients", "tsm-32"): """
        g=0 stage=layer5 moments=[] moments=[1,0] moments=[0,2] moments=[-1] few_clips=0
        few_clips=17 error_clips=17 error_clips=0 reading_clips=17 reading_clips=0
        test_crop=64 released=["tests"] epochs=0
    """,
    ("groupings", "low"): """
        sizes=[8,8] sizes=[0,1,2,3,4,5,7,10] sizes=8 stage=layer1 draws=0 measured_clips=0
        measured_clips=25 spread=none spread=best method=none frames=8
    """,
    ("pretrain", "digits"): """
        backgrounds=0 backgrounds=none shows=cats size=48 in_channels=3 train_frames=0
        validation_frames=1.5 frames=8 method=slope stream=true
    """,
    ("facts", "all"): "method=slope clusters=8 epochs=3 lr=0.1 train_clips=8 test_clips=0",
    ("purity", "uniform"): "method=none clusters=none epochs=3 batch_size=4",
    ("bound", "random"): """
        draws=0 features=0 classes=1 scales=[] scales=[0] distances=[0.1] distances=[0.01,0.1]
        lr=0.1 scales=1
    """,
    ("length", "dense"): """
        lengths=[] lengths=[0] lengths=[8] lengths=32 repeats=0 resolution=0 method=none chunk=0
        checkpointed=1 mapped=2 epochs=3
    """,
    ("epoch_time", "all"): """
        rounds=0 timed_clips=0 ways=3 ways={} ways={a=3} ways={a={frame=8}}
        ways={a={frames=8,clusters=8}} ways={a={clusters=8}} frames=8 test_crop=64
    """,
}
TAKEN = {
    TABLE1: """
        epochs=3 lr=1e30 lr=1 lr=0.5 batch_size=1 momentum=0 weight_decay=0 grad_clip=none
        grad_clip=1 warmup_epochs=1 last_epochs=1 schedule=onecycle crop=48
        crop_scales=[1] stride=2 stride=1.5 window=4 frames=all padding=last autocast=false
        dropout=0.5 shift_stages=[] shift_stages=[1,2,3,4] consensus=size in_channels=3 init=none
        batchnorm=partial method=slope method=optimal empty=keep clusters=1 clusters=32
        adaptive=true early_statistics=running released=["clusters"] released=["tests"]
        test_split=validation test_clips=1 train_seed=7 test_seed=12 timeline=paper-literal
        timeline=thirds chunk_len=3 n_chunks=9 speed=1 speed=0.75 min_target=4 min_displacement=3
        distractor_pos=random backgrounds=3 resolution=32
    """,
    ("table1", "tsm-8"): "frames=1 frames=32 sampling=random sampling=motion dense=true",
    ("table1_peers", "backprop-quarter"): "share=1 share=0.5",
    ("table4", "ucf101-cumulative-8"): """
        fold=2 classes_with=2 fps=5 workers=1 clips=none missing=skip test_crops=3
        test_orders=["reversed"] scores=true crop=32
    """,
}
ALL = [
    (*place, setting, taken)
    for settings, taken in ((REFUSED, False), (TAKEN, True))
    for place, text in settings.items()
    for setting in text.split()
]


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(("experiment", "row", "setting", "taken"), ALL)
def test_a_value_that_is_set_is_legal_or_refused_before_training(experiment, row, setting, taken):
    # What a value needs that is only legal with another.
    company = {"init=none": ["width=12"]}
    company |= {"epochs=3": ["warmup_epochs=1"]}
    given = [setting, *(company.get(setting, []) if taken else [])]
    with nullcontext() if taken else pytest.raises(ValueError, match=r".{20}"):
        build(resolved(experiment, row, *given))


def build(parameters):
    """All that a run makes of its parameters before it trains, but for data on disk."""
    if hasattr(parameters, "network"):
        build_network(parameters, 4, DATA)
    if isinstance(parameters, ClipsToTest):
        for clips in move4mnist_sets(parameters).values():
            clips.batch(range(min(2, len(clips))))
    if isinstance(parameters, AtTest):
        orders_of(protocols_of(parameters), getattr(parameters, "test_orders", ()))
    if hasattr(parameters, "epochs"):
        recipe_of(parameters)


def test_there_are_enough_of_them():
    assert len(ALL) > 300
    assert len(set(ALL)) == len(ALL)


# --- values ---------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


@given(st.sampled_from([int, float, bool, str, int | None, tuple[int, ...], tuple[int, int]]), JSON)
@example(float, 10**400)
def test_a_value_is_what_its_annotation_says_or_refused(kind, value):
    numbers = isinstance(value, list) and all(type(one) is int for one in value)
    right = {
        int: type(value) is int,
        float: type(value) in (int, float) and abs(value) <= float_info.max,
        bool: type(value) is bool,
        str: type(value) is str,
        int | None: value is None or type(value) is int,
        tuple[int, ...]: numbers,
        tuple[int, int]: numbers and len(value) == 2,
    }[kind]
    if right and kind is not float and type(value) is not bool and value is not None:
        right = all(abs(one) < 2**63 for one in (value if numbers else [value]) if type(one) is int)
    with nullcontext() if right else pytest.raises(ValueError, match=r"x is .*; wanted "):
        found = checked(value, kind, "x")
        assert found == (tuple(value) if numbers else value)


def test_a_run_does_not_go_on_from_another_start(tmp_path):
    parameters, _ = parameters_of(RECIPES, "table1", "tsm-8", "smoke", "embedded")
    start = tmp_path / "samples" / "digits-embedded.pt"
    start.parent.mkdir()
    start.write_bytes(b"one")
    checkpoint = tmp_path / "run.pt"
    go_on(checkpoint, {"starts": starts_of(parameters, tmp_path)})
    checkpoint.touch()
    go_on(checkpoint, {"starts": starts_of(parameters, tmp_path)})
    start.write_bytes(b"another")
    with pytest.raises(ValueError, match=r"another run: starts\.init is '7692c3ad"):
        go_on(checkpoint, {"starts": starts_of(parameters, tmp_path)})


def test_a_damaged_note_without_a_checkpoint_is_written_anew(tmp_path):
    note_of(tmp_path / "run.pt").write_bytes(b"\xff{")
    go_on(tmp_path / "run.pt", {"version": 1})
    assert read_json(tmp_path / "run.run") == {"version": 1}


def test_an_older_record_is_todays_where_its_options_are_built_in_by_now():
    stated = resolved("table1", "tsm-8", scale="small", data="real").stated()
    assert completed("table1", {**stated, "margin": 1, "min_visible": 25}) == stated
    assert completed("table1", {**stated, "margin": 2}) != stated
