"""What cannot be told apart in a study, or not be compared, by how its runs were made."""

from collections.abc import Mapping

from .study import Arm, Study, short_keys


def unpaired(arm: Arm, baseline: Arm, metric: str) -> str:
    """Why no run of `arm` pairs with one of `baseline` on test, as a sentence about `arm`; empty where some do."""
    ours, theirs = arm.measured("test", metric), baseline.measured("test", metric)
    if ours.keys() & theirs.keys():
        return ""
    for one, found in ((arm, ours), (baseline, theirs)):
        if not one.completed:
            return f"{one.label} has no completed run"
        if not found:
            return f"{one.label} has no test {metric}"
    if {key[:2] for key in ours} & {key[:2] for key in theirs}:
        return f"{arm.label} was run with another version of regnet than {baseline.label}"
    return f"{arm.label} shares no seed and split with {baseline.label}"


def notes(study: Study) -> list[str]:
    """Sentences on what is mixed: versions of regnet, and an axis along which each run began at the one before."""
    return [*_versions(study), *_path(study)]


def _versions(study: Study) -> list[str]:
    versions = {run.version for arm in study.arms for run in arm.completed}
    if len(versions) < 2:
        return []
    *first, last = [*sorted(version for version in versions if version), *["unknown"] * (None in versions)]
    mixed = any(len({run.version for run in arm.completed}) > 1 for arm in study.arms)
    means = " Means of one arm are over several of them." if mixed else ""
    return [f"Runs are of regnet {', '.join(first)} and {last}: runs of different versions are not paired.{means}"]


def _path(study: Study) -> list[str]:
    here = [arm.settings for arm in study.arms]
    begun = [arm for arm in study.arms if isinstance(arm.start, Mapping) and arm.start in here]
    keys = dict.fromkeys(
        key for arm in begun for key in arm.settings if key != "regularizer" and _differ(key, arm.settings, arm.start)
    )
    names = list(short_keys(keys).values())
    if not names:
        return []
    what = " and ".join(names)
    return [
        f"Runs began at the weights of runs with another {what} (warm_start): the effect of {what} cannot be told from "
        "that of the order, and of more training."
    ]


def _differ(key: str, own: Mapping[str, str], start: Mapping[str, str] | str | None) -> bool:
    return isinstance(start, Mapping) and own.get(key) != start.get(key)
