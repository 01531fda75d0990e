"""Writes docs/catalogue.md from the docstrings, the comments in conf/regularizer, and the measured costs and gains.

python scripts/catalogue.py            # writes it
python scripts/catalogue.py --check    # exit code 1 if it is out of date
"""

import inspect
import json
import re
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from pkgutil import resolve_name
from typing import NamedTuple

from hydra import compose, initialize_config_dir
from lightning.pytorch.callbacks import Callback
from omegaconf import OmegaConf

from regnet.compose.config_files import config_folder
from regnet.core.exact import Exact
from regnet.packed.plan import obstacle
from regnet.regularizers import BatchTransform, Constraint, Penalty, Update, WeightLayer

ROOT = Path(__file__).parents[1]
PAGE, COSTS, GAINS = (ROOT / "docs" / name for name in ("catalogue.md", "costs.json", "gains.json"))
KINDS = {  # the sections, and what each is a function of
    "Layers": (object, "activations ─► activations, in training only, at a site that the network offers"),
    "Weight layers": (WeightLayer, "weight ─► weight, in every forward pass"),
    "Penalties": (Penalty, "the ingredients of the loss ─► a scalar that is added to it"),
    "Constraints": (Constraint, "weight ─► weight, after the optimizer's step"),
    "Updates": (Update, "weights and gradients, around the optimizer's step"),
    "Batch transforms": (BatchTransform, "batch ─► batch, in training only"),
    "The course of training": (Callback, "when to stop, and which weights to keep"),
}
INTRO = """# The catalogue

<!-- made by scripts/catalogue.py from the docstrings, conf/regularizer and docs/*.json: change it there -->

Every regularizer, by what it acts on. `regularizer=<name>` chooses it, `regularizer=[a,b]` several;
`regularizer.<key>.<knob>=...` sets a knob. Conventions: a rate is the fraction dropped; a strength is λ; L2 is λ Σ w²
without ½; penalties of weights are sums, those of activations and outputs means over the batch.

**Weights** are the parameters of two axes or more that multiply inputs: of Linear, convolutions, Embedding, recurrent
layers and attention, and matrices in modules of your own. Biases, norms, tokens, tables of positions and scales are
none, nor is what a network names in its own `no_weight_decay()`, as timm's do. A plain parameter is judged by its
shape (all axes but one, or the first of three or more, are 1), then by its name. An `nn.Embedding` that holds
positions looks like any other: `select="re:^(?!.*position).*weight$"` leaves it out. A tied weight counts once. A
frozen one (`requires_grad=False`) is left as it is for as long as it is frozen, and a decay passes over weights
without a gradient, as AdamW does; `weights/norm`, `weights/zeros` and `weights/sparsity` count all. Under weight norm
(`model.norm=weight`) the weight is w = g v / ||v||, which is penalized, decayed and constrained; proximal methods
refuse it, and constraints and `weight_decay` refuse what cannot be given a value, as under spectral norm.
`drop_connect`, `l0` and `variational_dropout` act on top of a weight, which stays what is penalized and constrained.
`regnet-inspect` shows the role of each parameter.

**Knobs that many share.** `select` chooses parameters: globs of names (`"head.*"`, `"*.bias"`), `"re:conv[12]"`,
positions (`"layer:0"`, `"layer:-1"`, `"layer:1:3"`), classes (`Conv2d`); a pattern that matches nothing is an error.
`scale` multiplies the strength by such patterns. A layer's `rate` may be a list, one for each site; `rule: linear`
lets it grow with depth; `after` puts the layer behind modules of a network without sites (`after=ReLU`).
`schedule` moves a strength or rate while training goes on:

| schedule | the configured value times |
|---|---|
{schedules}

Points of training are shares of all steps, or epochs as `5e`. `regnet-inspect <overrides>` shows what acts where, how
strongly, and what each decay is in the other conventions.

**Cost** is the time of a training step with the entry's defaults by the same step without it, MLP 784-1024-1024-10 of
batches of 128 unless another model is named: {where}, median of {rounds} rounds (smallest to largest), measured by
`python scripts/benchmark.py cost`. These machines are noisy: a few percent are nothing.

**Gain** is that of the entry with its defaults over none on test, in points, with the half width of its 95 % interval
over {seeds} seeds: one interval each, not corrected for so many comparisons. `experiment=defaults` and
`experiment=strengths` measure it, an MLP with one hidden layer of 128 units unless another model is named, regnet
{version}, Adam at 1e-3. Without ± the runs of all seeds gain the same. The **best strength**, where it was searched, is
the best of four on validation, so it may be luck; its gain is on other seeds. Other data, networks and budgets have
other numbers: these say whether a default acts, and where to begin.

| data | training samples | epochs | none on test |
|---|---|---|---|
{data}

| {kinds} |
|{lines}|
"""


class Entry(NamedTuple):
    """One file of conf/regularizer: its class, and what its comments say."""

    name: str
    kind: str
    target: type
    first: str
    notes: dict[str, str]  # Try, Helps, Not
    knobs: list[tuple[str, str, str]]  # name, default, meaning
    packed: str


@cache
def entries() -> list[Entry]:
    found = []
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        base = compose("train", ["regularizer=none"])
    OmegaConf.set_struct(base, False)
    for path in sorted((config_folder() / "regularizer").glob("*.yaml")):
        if path.stem == "none":
            continue
        cfg = OmegaConf.merge(base, {"regularizer": OmegaConf.load(path)})
        (node,) = cfg.regularizer.values()
        target = resolve_name(node["_target_"])
        kinds = {name: base for name, (base, _) in KINDS.items() if issubclass(target, base)}
        kind = max(kinds, key=lambda name: len(kinds[name].__mro__))
        unpackable = target.unpackable if issubclass(target, Exact) else None
        reason = unpackable or obstacle(OmegaConf.to_container(cfg, resolve=False)) or ""
        reason = re.sub(r"^regularizer\.\w+ \((.*)\)$", r"\1", reason)
        first, notes, knobs = comments(path.read_text())
        found.append(Entry(path.stem, kind, target, first, notes, knobs, reason))
    return found


def comments(text: str) -> tuple[str, dict[str, str], list[tuple[str, str, str]]]:
    """The first line, the notes by their names, and the knobs of a file."""
    head, knobs = [], []
    for line in text.splitlines():
        if line.startswith("# "):
            head.append(line[2:].strip())
        elif match := re.match(r"  (\w+): *(.*?)  +# *(.*)", line):
            knobs.append(match.groups())
        elif knobs and (more := re.match(r" {10,}# *(.*)", line)):
            knobs[-1] = (*knobs[-1][:2], f"{knobs[-1][2]} {more[1]}")
    notes: dict[str, str] = {}
    for line in head[1:]:
        if match := re.match(r"(Try|Helps|Not): *(.*)", line):
            notes[match[1]] = match[2]
        elif notes:
            notes[list(notes)[-1]] += " " + line
    return head[0], notes, knobs


def section(entry: Entry, cost: dict | None, gains: dict) -> str:
    formula, text = description(entry.target)
    lines = [f"### {entry.name}", "", f"**{formula}**", ""]
    if text:
        lines += [text, ""]
    lines += [f"- *{name}*: {entry.notes[name]}" for name in ("Try", "Helps", "Not") if name in entry.notes]
    lines.append(f"- *Gain*: {gain_of(gains['defaults'].get(entry.name))}")
    if tried := gains["strengths"].get(entry.name):
        lines.append(f"- *Best strength*: {strength_of(tried)}")
    lines.append(f"- *Cost*: {cost_of(cost)}")
    lines.append(f"- *Packed*: {'alone: ' + entry.packed if entry.packed else 'yes'}")
    lines.append(f"- `regnet.{entry.target.__module__.split('.', 1)[1]}.{entry.target.__name__}`")
    if entry.knobs:
        lines += ["", "| knob | default | |", "|---|---|---|"]
        lines += [f"| `{name}` | `{default}` | {_cell(meaning)} |" for name, default, meaning in entry.knobs]
    return "\n".join(lines) + "\n"


def cost_of(measured: dict | None) -> str:
    """What the page says of one entry in docs/costs.json, which may be missing: it takes MNIST and an idle machine."""
    if measured is None:
        return "not measured"
    where = "" if measured["model"] == "mlp" else f", in a {measured['model']}"
    return f"{measured['ratio']:.2f}x ({measured['from']:.2f} to {measured['to']:.2f}){where}"


def gain_of(measured: dict | None) -> str:
    """What the page says of an entry of docs/gains.json, by data set."""
    if measured is None:
        return "not measured"
    return "; ".join(f"{data} {_points(one)}" for data, one in measured.items())


def strength_of(tried: dict) -> str:
    """The best of the values tried on each data set."""
    said = []
    for data, one in tried.items():
        knobs = ", ".join(f"{name} {value:g}" for name, value in one["knobs"].items())
        said.append(f"{data} {knobs} ({_points(one)})")
    return "; ".join(said)


def data_row(name: str, one: dict) -> str:
    """What was trained for the gains, as a row of a table."""
    none = f"{100 * one['none']:.2f} ± {100 * one['half']:.2f} %"
    return f"| `{name}` | {one['samples']:,} | {one['epochs']} | {none} |"


def each(values: Iterable[object]) -> str:
    """The different ones, as 3 and 5."""
    return " and ".join(map(str, sorted(set(values), key=str)))


def _points(one: dict) -> str:
    """+0.93 ± 0.41, in percentage points."""
    half = "" if one["half"] is None else f" ± {100 * one['half']:.2f}"
    return f"{100 * one['gain']:+.2f}{half}" + (f", in a {one['model']}" if "model" in one else "")


def description(target: type) -> tuple[str, str]:
    """The first paragraph of a class's docstring, and the rest of it before ``Args:``."""
    doc = re.split(r"\n\n(?=(?:Args|Raises):)", inspect.getdoc(target))[0]
    formula, _, text = doc.partition("\n\n")
    return " ".join(formula.split()), text.replace("``", "`").strip()


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def page() -> str:
    costs, gains = json.loads(COSTS.read_text()), json.loads(GAINS.read_text())
    found = entries()
    kinds = {kind: [entry for entry in found if entry.kind == kind] for kind in KINDS}
    names = [" ".join(f"[{e.name}](#{e.name})" for e in of_kind) for of_kind in kinds.values()]
    parts = [
        INTRO.format(
            where=costs["where"],
            rounds=costs["rounds"],
            schedules="\n".join(schedules()),
            seeds=each(one["n"] for of in gains["defaults"].values() for one in of.values()),
            version=each(one["version"] for one in gains["data"].values()),
            data="\n".join(data_row(name, one) for name, one in gains["data"].items()),
            kinds=" | ".join(kinds),
            lines="|".join("---" for _ in kinds),
        ).rstrip("\n")
        + f"\n| {' | '.join(names)} |\n"
    ]
    for kind, of_kind in kinds.items():
        parts.append(f"## {kind}\n\n{KINDS[kind][1]}\n")
        parts += [section(entry, costs["entries"].get(entry.name), gains) for entry in of_kind]
    return "\n".join(parts)


def schedules() -> list[str]:
    """The table in the docstring of regnet.regularizers.schedules, as rows."""
    from regnet.regularizers import schedules as module

    rows: list[list[str]] = []
    for line in module.__doc__.splitlines():
        if match := re.match(r"    (\w\S*)\s{2,}(.*)", line):
            rows.append([match[1], match[2]])
        elif rows and (more := re.match(r" {20,}(\S.*)", line)):
            rows[-1][1] += " " + more[1]
    return [f"| `{name}` | {_cell(meaning)} |" for name, meaning in rows]


if __name__ == "__main__":
    text = page()
    if "--check" in sys.argv:
        sys.exit("docs/catalogue.md is out of date: python scripts/catalogue.py" if PAGE.read_text() != text else 0)
    PAGE.write_text(text)
