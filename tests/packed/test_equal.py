"""A packed run is the run alone: every metric of every epoch, every weight, every file."""

import pytest

import regnet.packed.memory
from regnet.packed.chunks import Chunks
from tests.helpers.commands import train
from tests.helpers.equality import compare, folders

SMALL = [
    "trainer.max_epochs=3",
    "data.batch_size=64",
    "data.train_size=192",  # three whole batches; those of "cnn" and "train size" have a smaller last one
    "trainer.log_every_n_steps=2",
    "callbacks.last.every_seconds=1000",
]
CNN = ["model=cnn", "model.stages=[[4],[6]]", "model.head=[8]", "data.train_size=150"]
RESNET = ["model=resnet", "model.blocks=[1]", "model.norm=group", "data.train_size=150"]
SGD = ["optimizer=sgd", "optimizer.lr=0.05"]

CASES = {
    "l2": ["regularizer=l2", "regularizer.l2.strength=0,1e-3,1e-2"],
    "l1": ["regularizer=l1", "regularizer.l1.strength=1e-4,1e-2"],
    "elastic net": ["regularizer=elastic_net", "regularizer.elastic_net.l1_ratio=0.1,0.9"],
    "learning rate": ["optimizer.lr=1e-3,1e-2"],
    "betas": ["optimizer.betas=[0.9,0.999],[0.5,0.9]"],
    "adam's decay": ["+optimizer.weight_decay=0,0.1"],
    "adamw": ["optimizer=adamw", "optimizer.weight_decay=0.01,0.5"],
    "sgd": [*SGD, "optimizer.momentum=0.5,0.9", "+optimizer.weight_decay=0,1e-2"],
    "plain sgd": [*SGD, "optimizer.momentum=0", "optimizer.lr=0.05,0.1"],
    "nesterov": [*SGD, "optimizer.nesterov=true", "optimizer.lr=0.05,0.1"],
    "rmsprop": ["optimizer=rmsprop", "optimizer.alpha=0.9,0.99", "optimizer.momentum=0.5,0.9"],
    "plain rmsprop": ["optimizer=rmsprop", "optimizer.lr=1e-3,1e-2", "+optimizer.centered=true"],
    "adagrad": ["optimizer=adagrad", "optimizer.lr=1e-2,1e-1", "+optimizer.lr_decay=0,0.1"],
    "nadam": ["optimizer=nadam", "optimizer.lr=1e-3,1e-2", "scheduler=one_cycle,cosine", "data.train_size=150,300"],
    "lars": ["optimizer=lars", "optimizer.lr=1,3", "optimizer.weight_decay=0,1e-2", "optimizer.trust_coefficient=0.01"],
    "lars, cnn": [*CNN, "optimizer=lars", "optimizer.momentum=0.5,0.9", "model.norm=batch", "scheduler=cosine,step"],
    "lamb": ["optimizer=lamb", "optimizer.lr=1e-3,1e-2", "optimizer.weight_decay=0,0.1", "data.train_size=150,300"],
    "lamb, cnn": [*CNN, "optimizer=lamb", "optimizer.betas=[0.9,0.999],[0.5,0.9]", "scheduler=one_cycle,cosine"],
    "decoupled decay": ["regularizer=weight_decay", "regularizer.weight_decay.strength=0.1,10"],
    "coupled decay": [
        "regularizer=coupled_decay",
        "regularizer.weight_decay.strength=0.01,1",
        "regularizer.weight_decay.scale={Linear:2}",
    ],
    "coupled decay, weight norm": [*CNN, "model.norm=weight", "regularizer=coupled_decay", "seed=0,1"],
    "coupled decay and max-norm": ["regularizer=[coupled_decay,max_norm]", "regularizer.max_norm.radius=0.5,1"],
    "gradient clipping": ["regularizer=[gradient_clipping,l2]", "regularizer.gradient_clipping.radius=0.1,1"],
    "scheduled clipping": [
        "regularizer=gradient_clipping",
        "regularizer.gradient_clipping.radius=0.1",
        "++regularizer.gradient_clipping.schedule=linear:1:0.2,step:0.5:1e:2e",
    ],
    "gradient noise": [
        "regularizer=[gradient_noise,gradient_clipping,dropout]",
        "regularizer.gradient_noise.strength=0.01,0.3",
        "seed=0,1",
    ],
    "gradient noise, cnn": [*CNN, "regularizer=gradient_noise", "regularizer.gradient_noise.exponent=0.3,1"],
    "lookahead": ["regularizer=lookahead", "regularizer.lookahead.ratio=0.5,0.8", "data.train_size=150,300"],
    "lookahead, max-norm": [
        *CNN,
        "regularizer=[lookahead,max_norm]",
        "regularizer.max_norm.radius=0.5,1",
        "regularizer.lookahead.period=2",
    ],
    "ema": ["regularizer=ema", "regularizer.ema.decay=0.5,0.9", "regularizer.ema.start=0,0.5"],
    "ema of the rest": [
        *CNN,
        "model.norm=batch",
        "regularizer=[ema,dropout,l2,gradient_clipping]",
        "regularizer.dropout.schedule=early:0.5",
        "data.train_size=150,300",
        "monitor=val/loss,val/accuracy",
    ],
    "swa": ["regularizer=swa", "regularizer.swa.start=0,0.5", "regularizer.swa.lr=1e-2", "data.train_size=150,300"],
    "swa, batch norm": [
        *CNN,
        "model.norm=batch",
        "regularizer=[swa,dropout]",
        "regularizer.swa.start=0.3,0.6",
        "scheduler=cosine,one_cycle",
        "regularizer.swa.lr=1e-3",
    ],
    "snapshots": ["regularizer=snapshots", "regularizer.snapshots.cycles=1,2,3", "data.train_size=150,300"],
    "snapshots, batch norm": [
        *CNN,
        "model.norm=batch",
        "regularizer=[snapshots,dropout,l2]",
        "regularizer.snapshots.cycles=2",
        "optimizer.lr=1e-3,1e-2",
    ],
    "snapshots of a regression": ["data=diabetes", "data.train_size=200", "regularizer=snapshots", "seed=0,1"],
    "sam": ["regularizer=[sam,dropout]", "regularizer.sam.radius=0.01,0.2"],
    "scheduled sam": ["regularizer=sam", "regularizer.sam.schedule=warmup:0.5,null"],
    "asam, batch norm": [
        *CNN,
        "model.norm=batch",
        "regularizer=[asam,mixup,gradient_noise,l2]",
        "regularizer.sam.radius=0.1,1",
        "optimizer=sgd",
    ],
    "sam and a jacobian": ["regularizer=[sam,jacobian,r_drop,dropout]", "optimizer=sgd", "seed=0,1"],
    "clipped gradients": ["trainer.gradient_clip_val=0.1", "regularizer=[l2,gradient_noise]", "seed=0,1"],
    "accumulated gradients": [
        "trainer.accumulate_grad_batches=2",
        "trainer.gradient_clip_val=0.5",
        "trainer.log_every_n_steps=1",
        "data.train_size=128,192,300",
        "regularizer=[ema,dropout,lookahead]",
        "regularizer.dropout.schedule=linear:0:1",
        "scheduler=one_cycle,cosine",
    ],
    "max-norm": ["regularizer=max_norm", "regularizer.max_norm.radius=0.5,1.5"],
    "min-max norm": ["regularizer=min_max_norm", "regularizer.min_max_norm.min=0.1,0.6", "seed=0,1"],
    "spectral clip": ["regularizer=spectral_clip", "regularizer.spectral_clip.radius=0.5,1"],
    "proximal l1": ["regularizer=proximal_l1", "regularizer.proximal_l1.strength=1e-4,1e-3", "optimizer.lr=1e-3,1e-2"],
    "proximal l1, sgd": [*SGD, "regularizer=proximal_l1", "optimizer.momentum=0.5,0.9"],
    "proximal l0": ["regularizer=proximal_l0", "regularizer.proximal_l0.strength=1e-5,1e-4"],
    "proximal group lasso": [
        *CNN,
        "regularizer=[proximal_group_lasso,max_norm]",
        "regularizer.proximal_group_lasso.strength=1e-3,1e-2",
        "regularizer.proximal_group_lasso.groups=input",
    ],
    "label smoothing": ["regularizer=label_smoothing", "regularizer.label_smoothing.smoothing=0,0.2"],
    "mixup": ["regularizer=mixup", "regularizer.mixup.strength=0.2,1"],
    "augment": ["regularizer=augment", "seed=0,1"],
    "cutmix": ["regularizer=cutmix", "regularizer.cutmix.strength=0.2,1"],
    "mixup or cutmix": [
        "regularizer=mixup_cutmix",
        "regularizer.mixup_cutmix.mixup=0.2,1",
        "regularizer.mixup_cutmix.probability=0.5,1",
        "seed=0,1",
    ],
    "cutout": ["regularizer=[augment,cutout]", "regularizer.cutout.size=0.25,0.5"],
    "random erasing": ["regularizer=random_erasing", "regularizer.random_erasing.probability=0.2,1"],
    "input noise": ["regularizer=input_noise", "regularizer.input_noise.strength=0.1,0.3"],
    "input noise on a table": ["data=wine", "data.train_size=100", "regularizer=input_noise", "seed=0,1"],
    "rand augment": ["regularizer=rand_augment", "seed=0,1"],
    "seed": ["seed=range(3)"],
    "split": ["data.split_seed=0,1", "seed=0,1"],
    "label noise": ["data.label_noise=0,0.3"],
    "train size": ["data.train_size=128,150,300"],
    "schedule": ["scheduler=cosine,constant", "optimizer.lr=1e-2,1e-3"],
    "batch norm": ["model.norm=batch", *SGD, "regularizer=l2", "regularizer.l2.strength=0,1e-2"],
    "batch norm, adam": ["model.norm=batch", "regularizer=l2", "regularizer.l2.strength=0,1e-2"],
    "layer norm": ["model.norm=layer", "seed=0,1"],
    "weight norm": ["model.norm=weight", "regularizer=l2", "regularizer.l2.strength=0,1e-2"],
    "weight norm, max-norm and decay": [
        *CNN,
        "model.norm=weight",
        "regularizer=[max_norm,weight_decay]",
        "regularizer.max_norm.radius=0.5,1",
        "regularizer.weight_decay.strength=5",
    ],
    "drop path": [*RESNET, "regularizer=drop_path", "regularizer.drop_path.rate=0.2,0.5"],
    "cnn": [*CNN, "regularizer=l2", "regularizer.l2.strength=0,1e-2"],
    "cnn, batch norm, sgd": [*CNN, *SGD, "model.norm=batch", "seed=0,1"],
    "regression": ["data=diabetes", "data.train_size=200", "seed=0,1"],
    "dropout": ["regularizer=dropout", "regularizer.dropout.rate=0,0.3,0.6", "model.widths=[16,16]"],
    "both dropouts": ["regularizer=[dropout,input_dropout,l2]", "regularizer.dropout.rate=0.2,0.5", "seed=0,1"],
    "scheduled dropout": ["regularizer=dropout", "regularizer.dropout.schedule=null,early:0.5,linear:1:0.2"],
    "scheduled dropout, one schedule": [
        "regularizer=dropout",
        "regularizer.dropout.schedule=late:1e",
        "data.train_size=150,300",
    ],
    "scheduled l2": ["regularizer=l2", "regularizer.l2.strength=1e-2,1e-3", "regularizer.l2.schedule=warmup:0.5,null"],
    "scheduled decay": [
        "regularizer=weight_decay",
        "regularizer.weight_decay.strength=5",
        "regularizer.weight_decay.schedule=late:0.5,cosine:1:0",
    ],
    "scheduled max-norm": ["regularizer=max_norm", "++regularizer.max_norm.schedule=linear:1:0.2,step:0.5:1e:2e"],
    "scheduled mixup": ["regularizer=mixup", "++regularizer.mixup.schedule=early:0.5,linear:0:1"],
    "drop-connect": [
        "regularizer=drop_connect",
        "regularizer.drop_connect.rate=0.1,0.3",
        "regularizer.drop_connect.schedule=null,early:0.5",
    ],
    "drop-connect, cnn": [*CNN, "regularizer=[drop_connect,dropout,l2]", "regularizer.drop_connect.rate=0.1,0.3"],
    "l0": ["regularizer=l0", "regularizer.l0.strength=1e-4,1e-2", "regularizer.l0.rate=0.3,0.6", "optimizer.lr=0.1"],
    "l0 of units": [*CNN, "regularizer=l0", "regularizer.l0.groups=out", "regularizer.l0.strength=1e-4,1e-2"],
    "variational dropout": [
        "regularizer=variational_dropout",
        "regularizer.variational_dropout.schedule=null,warmup:0.5",
        "data.train_size=128,192",
    ],
    "variational dropout, cnn": [*CNN, "regularizer=variational_dropout", "seed=0,1"],
    "l2-sp": ["regularizer=l2_sp", "regularizer.l2_sp.strength=1e-2,1", "seed=0,1"],
    "group lasso": ["regularizer=group_lasso", "regularizer.group_lasso.strength=1e-3,1e-2"],
    "input groups, cnn": [*CNN, "regularizer=group_lasso", "regularizer.group_lasso.groups=in", "seed=0,1"],
    "sparse group lasso": ["regularizer=sparse_group_lasso", "regularizer.sparse_group_lasso.l1_ratio=0.1,0.9"],
    "hoyer": ["regularizer=hoyer", "regularizer.hoyer.strength=1e-5,1e-4"],
    "orthogonal": ["regularizer=orthogonal", "regularizer.orthogonal.strength=1e-3,1e-1"],
    "tall orthogonal": ["model.widths=[80]", "regularizer=orthogonal", "regularizer.orthogonal.strength=1e-3,1e-2"],
    "spectral norm": ["regularizer=spectral_norm", "regularizer.spectral_norm.strength=1e-2,1"],
    "nuclear norm": ["regularizer=nuclear_norm", "regularizer.nuclear_norm.strength=1e-3,1e-1"],
    "activity l1": ["regularizer=activity_l1", "regularizer.activity_l1.strength=1e-4,1e-2"],
    "activity l2": [*CNN, "regularizer=activity_l2", "regularizer.activity_l2.strength=1e-4,1e-2"],
    "kl sparsity": ["regularizer=kl_sparsity", "regularizer.kl_sparsity.target=0.05,0.2"],
    "confidence penalty": ["regularizer=confidence_penalty", "regularizer.confidence_penalty.strength=0.1,1"],
    "spectral decoupling": ["regularizer=spectral_decoupling", "regularizer.spectral_decoupling.strength=1e-2,1"],
    "jacobian": ["regularizer=jacobian", "regularizer.jacobian.strength=1e-3,1e-1", "seed=0,1"],
    "exact jacobian": [
        *CNN,
        "regularizer=[jacobian,dropout]",
        "regularizer.jacobian.strength=1e-3,1e-2",
        "regularizer.jacobian.projections=null",
    ],
    "gradient penalty": ["regularizer=gradient_penalty", "regularizer.gradient_penalty.strength=1e-1,10"],
    "gradient penalty and noise": [
        *CNN,
        "model.norm=batch",
        "regularizer=[gradient_penalty,input_noise,r_drop,jacobian,gradient_noise,dropout]",
        "seed=0,1",
    ],
    "r-drop": ["regularizer=[dropout,r_drop]", "regularizer.r_drop.strength=0,2", "regularizer.dropout.rate=0.3,0.6"],
    "gaussian dropout": ["regularizer=gaussian_dropout", "regularizer.dropout.rate=0.2,0.5", "seed=0,1"],
    "spatial dropout": [*CNN, "regularizer=spatial_dropout", "regularizer.spatial_dropout.rate=0.1,0.4"],
}


TOGETHER = {  # several mechanisms in one study each, for the quick tests
    "penalties and activities": [
        "regularizer=[l2,orthogonal,activity_l2,jacobian,dropout,gradient_noise]",
        "regularizer.activity_l2.strength=1e-4,1e-2",
        "regularizer.jacobian.strength=1e-3,1e-1",
    ],
    "decay in the gradient and a schedule": [
        "regularizer=[coupled_decay,l2,augment]",
        "regularizer.weight_decay.strength=0.01,1",
        "regularizer.l2.strength=1e-2,1e-3",
        "regularizer.l2.schedule=warmup:0.5",
    ],
    "layers of weights": [
        "regularizer=[drop_connect,variational_dropout,mixup]",
        "regularizer.drop_connect.rate=0.1,0.3",
        "regularizer.variational_dropout.strength=1e-3,1e-2",
    ],
}
CASES |= TOGETHER
MECHANISMS = {  # one case for each way in which packs compute something; the others with the slow tests
    *("r-drop", "sgd", "regression", "proximal group lasso", "weight norm, max-norm and decay", "mixup", "batch norm"),
    *("drop path", "l0", "sam", "accumulated gradients", *TOGETHER),
}
ROUNDED = {"batch norm", "cnn"}  # rounding of float32 is one thing for all
EVERY = [
    pytest.param(case, precision, relative, marks=[] if case in fast else pytest.mark.slow)
    for precision, relative, fast in (("64-true", 1e-9, MECHANISMS), ("32-true", 1e-4, ROUNDED))
    for case in CASES
    # some of its gradients are zero but for rounding, of which Adam makes its full step
    if (case, precision) != ("batch norm, adam", "32-true")
]


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch):
    """Neither the clock nor the memory that others leave decides what is compared: each step takes another size."""

    def took(chunks, _):
        chunks.size = chunks.size % chunks.runs + 1

    monkeypatch.setattr(Chunks, "took", took)
    monkeypatch.setattr(regnet.packed.memory, "_free", lambda _: 2**30)


@pytest.mark.parametrize(("case", "precision", "relative"), EVERY)
def test_packed_equals_alone(case, precision, relative, tmp_path):
    other = any(word.startswith("model=") for word in CASES[case])
    small = [] if other else ["model.widths=[16]"]
    command = ["-m", "study=s", "logger=none", *SMALL, *small, *CASES[case], f"trainer.precision={precision}"]
    for name in ("alone", "packed"):
        (tmp_path / name).mkdir()
    alone = train(*command, cwd=tmp_path / "alone")
    assert alone.code == 0, alone.out + alone.err
    packed = train(*command, "hydra/launcher=packed", cwd=tmp_path / "packed")
    assert packed.code == 0, packed.out + packed.err
    assert "in 1 pack" in packed.out, packed.out
    assert "alone" not in packed.out, packed.out
    runs = folders(tmp_path / "alone" / "outputs" / "multirun" / "s")
    others = folders(tmp_path / "packed" / "outputs" / "multirun" / "s")
    assert len(runs) > 1
    assert runs.keys() == others.keys()
    for name, folder in runs.items():
        compare(folder, others[name], relative)
