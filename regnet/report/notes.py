"""What bears on an answer beside its numbers: how epochs were chosen, how long was trained, how evenly was tuned."""

from .answer import Answer
from .compare import excludes_zero
from .protocol import chosen_late, uneven
from .settings import monitor, takes_last
from .wording import difference, differences, listed


def train_longer(found: Answer) -> list[str]:
    """That training was too short to advise anything, where it was."""
    if not found.too_short:
        return []
    parts = [f"{len(chosen_late(arm))} of {len(arm.completed)} runs of {arm.label}" for arm in found.too_short]
    told = f"n {' and in '.join(parts)} the chosen epoch is among the last: train longer (trainer.max_epochs)."
    return [f"I{told}" if len(found.study.arms) == 1 else f"Nothing is advised yet: i{told}"]


def last_epoch(found: Answer) -> list[str]:
    """That the gain hangs on the choice of epochs, where the last epoch tells another."""
    pair = found.gain
    if pair is None or pair.last is None or pair.last_interval is None or not pair.depends_on_choice:
        return []
    word = "gains" if pair.last.mean >= 0 else "loses"
    amount = difference(abs(pair.last.mean), pair.metric)
    verdict = "decided" if excludes_zero(pair.last_interval) else "not decided"
    return [
        f"The choice of epochs makes a difference: at the last epoch it {word} {amount} "
        f"({differences(pair.last_interval, pair.metric)}): {verdict}."
    ]


def chosen_by(found: Answer) -> list[str]:
    """By what epochs were chosen and arms are ranked, as far as the records say."""
    ranked = f"val/{found.study.metric}"
    runs = [run for arm in found.study.arms for run in arm.completed]
    monitors = list(dict.fromkeys(filter(None, map(monitor, runs))))
    if any(map(takes_last, runs)):
        others = f", those of others by {' or '.join(monitors)}" if monitors else ""
        return [f"Runs end at their last epoch, without a choice of epochs{others}; arms are ranked by {ranked}."]
    if not monitors:
        return []
    if monitors == [ranked]:
        return [f"Epochs were chosen and arms ranked by {ranked}."]
    return [f"Epochs were chosen by {' or '.join(monitors)}, but arms are ranked by {ranked}: gains may come of that."]


def tuned_unevenly(found: Answer) -> list[str]:
    """That the best was tried with more settings than its rivals, where these had one learning rate."""
    told = uneven(found.study, found.best)
    if told is None:
        return []
    rivals = listed([f"{'one' if count == 1 else count} of {name}" for name, count in told.rivals.items()])
    its = "its" if len(told.rivals) == 1 else "their"
    return [f"{told.tried} settings of {told.technique} were tried, and {rivals}: {its} learning rate was not tuned."]
