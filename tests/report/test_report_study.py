import pytest

from regnet.report.study import short_keys, studies, technique
from regnet.report.values import described
from regnet.run.record import find_runs
from tests.helpers.records import add_damaged, add_run, add_unfinished, classification, config, regression


def labels(folder):
    (study,) = studies(find_runs(folder))
    return {arm.label: len(arm.runs) for arm in study.arms}


@pytest.mark.parametrize(
    ("regularizer", "config", "expected"),
    [
        ("none", None, "none"),
        ("[]", None, "none"),
        ("l2", None, "l2"),
        ("[l2]", None, "l2"),
        ("[dropout,l2]", None, "dropout + l2"),
        ("[dropout, l2]", None, "dropout + l2"),
        ("[gaussian_dropout]", {"regularizer": {"dropout": {}}}, "gaussian_dropout"),
        (None, {"regularizer": {"dropout": {"_target_": "Dropout"}, "l2": {"_target_": "L2"}}}, "dropout + l2"),
        (None, {"regularizer": {"dropout": {"rate": 0.3}, "l2": {"_target_": "L2"}, "l1": None}}, "l2"),
        (None, {"regularizer": {"dropout": {"rate": 0.3}, "l2": {"strength": 3e-3}}}, "none"),
        (None, {"regularizer": {}}, "none"),
        (None, {"regularizer": None, "seed": 0}, "none"),
        (None, None, "(default)"),
    ],
)
def test_technique(regularizer, config, expected):
    assert technique(regularizer, config) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["regularizer.l2.strength"], ["strength"]),
        (["regularizer.l2.strength", "optimizer.lr"], ["strength", "lr"]),
        (["regularizer.l2.strength", "regularizer.l1.strength"], ["l2.strength", "l1.strength"]),
        (["a.b.rate", "c.b.rate", "rate"], ["a.b.rate", "c.b.rate", "rate"]),
        ([], []),
    ],
)
def test_short_keys(keys, expected):
    assert list(short_keys(keys).values()) == expected


def test_runs_are_grouped_by_everything_but_the_seed(tmp_path):
    for seed in range(3):
        for regularizer in ("none", "dropout", "[dropout,l2]"):
            add_run(
                tmp_path,
                ["model=mlp", f"regularizer={regularizer}", f"seed={seed}"],
                classification(0.9),
            )
    assert labels(tmp_path) == {"none": 3, "dropout": 3, "dropout + l2": 3}


def test_the_name_of_the_study_makes_no_arm(tmp_path):
    for study, seeds in {"m1": (0, 1), "m2": (2, 3)}.items():
        for seed in seeds:
            add_run(tmp_path / study, ["model=mlp", f"study={study}", f"seed={seed}"], classification(0.9))
    assert labels(tmp_path) == {"none": 4}
    assert labels(tmp_path / "m1") == {"none": 2}
    assert studies(find_runs(tmp_path / "m1"))[0].common == ("model=mlp",)


def test_the_strength_of_a_regularizer_that_is_not_chosen_makes_no_arm(tmp_path):
    for strength in ("1e-4", "1e-3"):
        for regularizer in ("none", "l2"):
            add_run(
                tmp_path,
                [f"regularizer={regularizer}", f"++regularizer.l2.strength={strength}", "seed=0"],
                classification(0.9),
            )
    assert labels(tmp_path) == {"none": 1, "l2 strength=1e-4": 1, "l2 strength=1e-3": 1}


def test_what_an_unfinished_run_has_chosen_is_known_by_its_overrides(tmp_path):
    add_unfinished(tmp_path, ["regularizer=none", "++regularizer.l2.strength=1", "seed=0"])
    add_unfinished(tmp_path, ["experiment=mine", "++regularizer.l2.strength=1", "seed=0"])
    told, unknown = (described([run])[run.folder].settings for run in find_runs(tmp_path))
    assert told == {"regularizer": "none"}
    assert unknown == {"experiment": "mine", "regularizer.l2.strength": "1"}


def test_a_run_that_was_killed_is_of_the_arm_that_it_would_have_been_of(tmp_path):
    for seed in (0, 1):
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(0.9))
        add_run(tmp_path, ["regularizer=l2", "++regularizer.l2.strength=0.1", f"seed={seed}"], classification(0.9))
    add_unfinished(tmp_path, ["regularizer=none", "++regularizer.l2.strength=0.1", "seed=2"])
    add_unfinished(tmp_path, ["regularizer=none", "data.batch_size=128", "seed=3"])
    add_run(tmp_path, ["seed=4"], classification(0.9))
    add_unfinished(tmp_path, ["regularizer=none", "data.batch_size=64", "seed=2"])
    assert labels(tmp_path) == {
        "none batch_size=128": 5,
        "l2 batch_size=128 strength=0.1": 2,
        "none batch_size=64": 1,
    }


def acting(folder, names, kinds, seed=0, **settings):
    """A run of these regularizers, each of the class that `kinds` says."""
    nodes = {name: {"_target_": kinds[name]} | settings for name in names}
    overrides = [f"regularizer=[{','.join(names)}]", f"seed={seed}"]
    add_run(folder, overrides, classification(0.9), config=config([]) | {"regularizer": nodes})


@pytest.mark.parametrize(
    ("one", "other", "settings", "arms"),
    [
        ("regnet.regularizers.Dropout", "regnet.regularizers.L2", {}, 1),
        ("regnet.regularizers.ShiftFlip", "regnet.regularizers.Mixup", {}, 1),  # each has its stage
        ("regnet.regularizers.ShiftFlip", "regnet.regularizers.Cutout", {}, 2),
        ("regnet.regularizers.MaxNorm", "regnet.regularizers.ProximalL1", {}, 2),
        ("regnet.regularizers.Dropout", "regnet.regularizers.AlphaDropout", {"after": "ReLU"}, 2),
        ("my.Anything", "regnet.regularizers.MaxNorm", {}, 2),
        ("my.Anything", "regnet.regularizers.L2", {}, 1),
        ("my.Anything", "my.Other", {}, 2),
    ],
)
def test_the_order_of_regularizers_parts_arms_only_where_they_act_in_turn(tmp_path, one, other, settings, arms):
    kinds = {"b": one, "a": other}
    acting(tmp_path, ["b", "a"], kinds, seed=0, **settings)
    acting(tmp_path, ["a", "b"], kinds, seed=1, **settings)
    add_unfinished(tmp_path, ["regularizer=[a,b]", "seed=2"])
    assert labels(tmp_path) == ({"b + a": 3} if arms == 1 else {"b + a": 1, "a + b": 2})


def test_techniques_in_another_order_are_one_technique_at_any_settings(tmp_path):
    for names, strength in ((["dropout", "l2"], 1), (["l2", "dropout"], 2)):
        keys = [f"regularizer=[{','.join(names)}]", f"regularizer.l2.strength={strength}"]
        add_run(tmp_path, keys, classification(0.9))
    assert labels(tmp_path) == {"dropout + l2 strength=1": 1, "dropout + l2 strength=2": 1}


def test_overrides_that_differ_are_named_and_the_common_ones_are_not(tmp_path):
    for strength in ("0.1", "0.001"):
        add_run(
            tmp_path,
            ["model=mlp", "regularizer=l2", f"++regularizer.l2.strength={strength}", "seed=0"],
            classification(0.9),
        )
    add_run(tmp_path, ["model=mlp", "regularizer=none", "+seed=0"], classification(0.9))
    assert labels(tmp_path) == {"l2 strength=0.1": 1, "l2 strength=1e-3": 1, "none": 1}
    assert studies(find_runs(tmp_path))[0].common == ("model=mlp",)


def test_the_order_of_overrides_and_a_plus_make_no_arm(tmp_path):
    add_run(tmp_path, ["regularizer=l2", "optimizer.lr=0.1", "seed=0"], classification(0.9))
    add_run(tmp_path, ["seed=1", "++optimizer.lr=0.1", "regularizer=l2"], classification(0.9))
    assert labels(tmp_path) == {"l2": 2}


def test_a_mapping_is_the_settings_in_it(tmp_path):
    add_run(
        tmp_path,
        ["regularizer=l2", "regularizer.l2={strength: 0.1}", "seed=0"],
        classification(0.9),
        config=config(["regularizer=l2", "regularizer.l2.strength=0.1", "seed=0"]),
    )
    add_run(tmp_path, ["regularizer=l2", "regularizer.l2.strength=0.1", "seed=1"], classification(0.9))
    add_run(tmp_path, ["regularizer=l2", "regularizer.l2.strength=0.5", "seed=1"], classification(0.9))
    add_run(tmp_path, ["seed=0"], classification(0.9))
    assert labels(tmp_path) == {"l2 strength=0.1": 2, "l2 strength=0.5": 1, "none": 1}


def test_numbers_that_are_not_finite_are_values_apart(tmp_path):
    for number in ("inf", "-inf", "nan", "null", "1"):
        add_run(tmp_path, [f"model.clip={number}", "seed=0"], classification(0.9))
    assert len(labels(tmp_path)) == 5


def test_a_regularizer_has_one_arm_however_it_is_written(tmp_path):
    for seed, written in enumerate(["l2", "[l2]", "[dropout,l2]", "[dropout, l2]", "none", "[]"]):
        add_run(tmp_path, [f"regularizer={written}", f"seed={seed}"], classification(0.9))
    assert labels(tmp_path) == {"l2": 2, "dropout + l2": 2, "none": 2}


def test_no_two_arms_have_one_label(tmp_path):
    """As where a config file was changed between them."""
    for widths in ([8], [16]):
        composed = config(["model=mlp"]) | {"model": {"widths": widths}}
        add_run(tmp_path, ["model=mlp", "seed=0"], classification(0.9), config=composed)
    assert labels(tmp_path) == {"none model.widths=[8]": 1, "none model.widths=[16]": 1}


def test_what_is_so_by_default_makes_no_arm(tmp_path):
    for overrides in (["seed=0"], ["regularizer=none", "seed=1"], ["data.batch_size=128", "data=digits", "seed=2"]):
        add_run(tmp_path, overrides, classification(0.9))
    assert labels(tmp_path) == {"none": 3}


def test_different_data_are_different_studies(tmp_path):
    add_run(tmp_path, ["data=digits", "regularizer=l2", "seed=0"], classification(0.9))
    add_run(tmp_path, ["data=digits", "data.train_size=50", "seed=0"], classification(0.7))
    add_run(tmp_path, ["data=diabetes", "regularizer=l2", "seed=0"], regression(55.0))
    add_run(tmp_path, ["data=digits", "data.batch_size=8", "regularizer=l2"], classification(0.9))
    found = studies(find_runs(tmp_path))
    assert [(study.metric, len(study.arms)) for study in found] == [
        ("accuracy", 2),
        ("accuracy", 1),
        ("rmse", 1),
    ]
    assert found[1].common == ("data=digits", "data.train_size=50")


def test_data_are_told_apart_by_the_record_and_not_by_the_overrides(tmp_path):
    for experiment, source in {"a": "digits", "b": "wine", "c": "digits"}.items():
        for seed in range(2):
            overrides = [f"experiment={experiment}", f"seed={seed}"]
            composed = config([f"data={source}", f"optimizer.lr={len(experiment * ord(experiment))}"])
            add_run(tmp_path, overrides, classification(0.9), config=composed)
    digits, wine = studies(find_runs(tmp_path))
    assert [arm.label for arm in digits.arms] == ["none experiment=a", "none experiment=c"]
    assert wine.common == ("experiment=b",)
    assert [len(arm.runs) for arm in (*digits.arms, *wine.arms)] == [2, 2, 2]


@pytest.mark.parametrize("key", ["augment.shift", "batch_size", "eval_batch_size", "num_workers"])
def test_the_use_of_the_data_makes_arms_and_no_studies(tmp_path, key):
    for value in (0, 1):
        add_run(tmp_path, [f"data.{key}={value}", "seed=0"], classification(0.9))
    add_unfinished(tmp_path, [f"data.{key}=2"])
    name = key.rpartition(".")[2]
    assert labels(tmp_path) == {f"none {name}=0": 1, f"none {name}=1": 1, f"(default) {name}=2": 1}


def test_the_order_of_batches_is_the_seeds_and_makes_no_study(tmp_path):
    for seed in (0, 1):
        add_run(tmp_path, [f"seed={seed}"], classification(0.9), config=config([f"data.seed={seed}"]))
    assert labels(tmp_path) == {"none": 2}


def test_a_run_that_failed_before_its_data_were_read_stays_in_its_study(tmp_path):
    add_run(tmp_path, ["mode=min", "seed=0"], classification(0.9))
    add_run(tmp_path, ["mode=mim", "seed=0"], None, "failed", config=config(["mode=mim"], shape=None))
    assert labels(tmp_path) == {"none mode=min": 1, "none mode=mim": 1}


def test_runs_without_a_config_go_where_the_overrides_of_their_data_are_the_same(tmp_path):
    add_unfinished(tmp_path, ["data=wine", "seed=2"])
    add_unfinished(tmp_path, ["data=digits", "data.train_size=50", "seed=0"])
    add_run(tmp_path, ["data=digits", "seed=0"], classification(0.9))
    add_run(tmp_path, ["data=wine", "seed=0"], classification(0.9))
    add_run(tmp_path, ["data=wine", "seed=1"], None, "failed", config={})
    found = {study.common: len(study.arms[0].runs) for study in studies(find_runs(tmp_path))}
    assert found == {("data=wine",): 3, ("data=digits",): 1, ("data=digits", "data.train_size=50"): 1}


def test_best_is_chosen_by_validation_and_not_by_test(tmp_path):
    for seed in range(2):
        add_run(tmp_path, ["regularizer=l1", f"seed={seed}"], classification(0.95, test=0.90))
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(0.94, test=0.99))
    assert studies(find_runs(tmp_path))[0].best().label == "l1"


def test_best_is_the_best_mean_and_not_the_best_run(tmp_path):
    for regularizer, accuracies in {"lucky": (0.99, 0.80), "steady": (0.92, 0.92)}.items():
        for seed, accuracy in enumerate(accuracies):
            add_run(tmp_path, [f"regularizer={regularizer}", f"seed={seed}"], classification(accuracy))
    assert studies(find_runs(tmp_path))[0].best().label == "steady"


def test_a_lucky_single_seed_is_not_chosen_before_means_over_several(tmp_path):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], classification(0.99))
    for name, seeds in {"l2": 4, "dropout": 3, "mixup": 2}.items():
        for seed in range(seeds):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(1 - seeds / 100))
    order = [arm.label for arm in studies(find_runs(tmp_path))[0].arms]
    assert order == ["dropout", "l2", "l1", "mixup"]  # mixup's two are half of l2's four


def test_a_baseline_with_many_seeds_does_not_pass_over_arms_of_three(tmp_path):
    for name, (seeds, score) in {"none": (10, 0.90), "l2": (3, 0.93), "l1": (2, 0.99)}.items():
        for seed in range(seeds):
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], classification(score))
    assert [arm.label for arm in studies(find_runs(tmp_path))[0].arms] == ["l2", "none", "l1"]


def test_where_every_arm_lost_runs_a_single_survivor_is_not_best(tmp_path):
    for name, (survivors, score) in {"l2": (1, 0.99), "none": (3, 0.90)}.items():
        for seed in range(4):
            lost = (None, "diverged") if seed >= survivors else (classification(score),)
            add_run(tmp_path, [f"regularizer={name}", f"seed={seed}"], *lost)
    assert studies(find_runs(tmp_path))[0].best().label == "none"


def test_lower_rmse_is_better(tmp_path):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], regression(60.0))
    add_run(tmp_path, ["regularizer=l2", "seed=0"], regression(50.0))
    assert studies(find_runs(tmp_path))[0].best().label == "l2"


def test_equal_accuracies_are_parted_by_the_validation_loss(tmp_path):
    for regularizer, losses in {"l1": (0.3, 0.1), "l2": (0.1, 0.2)}.items():
        for seed, loss in enumerate(losses):
            # The same mean, from values in another order.
            accuracy = [0.91, 0.93][seed if regularizer == "l1" else 1 - seed]
            add_run(
                tmp_path,
                [f"regularizer={regularizer}", f"seed={seed}"],
                classification(accuracy, loss=loss),
            )
    assert studies(find_runs(tmp_path))[0].best().label == "l2"


def test_arms_without_a_completed_run_cannot_be_best(tmp_path):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], classification(1.0), "diverged")
    assert studies(find_runs(tmp_path))[0].best() is None
    add_run(tmp_path, ["regularizer=l2", "seed=0"], classification(0.1))
    assert studies(find_runs(tmp_path))[0].best().label == "l2"


@pytest.mark.parametrize("status", ["diverged", "failed", "interrupted"])
def test_the_survivors_of_an_arm_do_not_make_it_best(tmp_path, status):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], classification(0.99))
    add_run(tmp_path, ["regularizer=l1", "seed=1"], None, status)
    assert studies(find_runs(tmp_path))[0].best().label == "l1"
    for seed, accuracy in enumerate((0.8, 0.9)):
        add_run(tmp_path, ["regularizer=l2", f"seed={seed}"], classification(accuracy))
        add_run(tmp_path, ["regularizer=none", f"seed={seed}"], classification(accuracy - 0.1))
    (study,) = studies(find_runs(tmp_path))
    assert study.best().label == "l2"
    assert [arm.label for arm in study.arms] == ["l2", "none", "l1"]


def test_unfinished_runs_count_in_their_arm_and_damaged_ones_in_none(tmp_path):
    add_run(tmp_path, ["regularizer=l1", "seed=0"], classification(0.9))
    add_unfinished(tmp_path, ["regularizer=l1", "seed=1"])
    add_damaged(tmp_path)
    assert labels(tmp_path) == {"l1": 2}


def test_a_seed_run_twice_counts_once_by_the_newest_completed_run(tmp_path):
    for started, accuracy, status in [
        ("2026-01-02", 0.8, "completed"),
        ("2026-01-01", 0.7, "completed"),
        ("2026-01-03", 0.0, "failed"),
    ]:
        metrics = classification(accuracy) if accuracy else None
        add_run(tmp_path / started, ["regularizer=l1", "seed=0"], metrics, status, started=started)
    (arm,) = studies(find_runs(tmp_path))[0].arms
    assert arm.values("val", "accuracy") == [0.8]
    assert len(arm.runs) == 1


def test_runs_whose_seed_is_not_known_are_all_kept(tmp_path):
    for _ in range(2):
        add_run(tmp_path, ["regularizer=l1"], classification(0.9), seed=None)
    assert labels(tmp_path) == {"l1": 2}
