"""What each number of a report means, with its formula: for whoever points at a column, and for the page's foot."""

MEANINGS = {
    "technique": "The regularizers of the arm, and the settings in which arms differ.",
    "runs": "Runs that completed, of all that were started.",
    "validation": "Mean on validation, by which the best is chosen, ± its 95 % interval.",
    "test": "Mean on test, which takes no part in any choice, ± its 95 % interval.",
    "gain": "Mean difference on test between runs of the same seed and split; positive is better. ± is the interval at "
    "1 - 0.05/m for the m gains of the table, which all hold at once in 95 % of studies (Bonferroni). *: decided, that "
    "is, the interval excludes 0 and both arms were trained long enough.",
    "last": "The same gain at the last epoch of each run, without any choice of epochs.",
    "effect": "Hedges' g, the mean gain over the standard deviation of the gains, J(n - 1) · d/s, with the 95 % "
    "interval of the true ratio (noncentral t).",
    "wins": "Of all pairs of a run of this arm and a run of the other, those in which it is better on test, ties 1/2 "
    "(Mann-Whitney's U), with the 95 % interval of the share (Newcombe 2006).",
    "gap": "By how much validation is worse than training, both measured in evaluation mode; mean over runs.",
    "gap loss": "By how much the loss on validation is above that on training data; mean over runs.",
    "sparse": "Share of the weights below a thousandth of the largest of their tensor, in percent; mean over runs.",
    "zeros": "Share of the weights that are exactly 0, in percent; mean over runs.",
    "cost": "Arithmetic operations of the whole training (steps · operations of a step), relative to the other arm.",
    "seconds": "Mean seconds of a run by the clock. It depends on what else the machine did.",
}
METRIC = "Mean over runs ± its 95 % interval of what was logged under this name."
RUNS = {  # the columns of the table of all runs
    "settings": "What was given to the run.",
    "seed": "Of initialization, order of the batches and noise.",
    "status": "How it ended, with the reason where it gave no result.",
    "validation error": "At the chosen epoch: 100 - accuracy in percent, or the metric by which arms are ranked.",
    "test error": "The same on test.",
    "loss gap": "By how much the loss on validation is above that on training data.",
    "best epoch": "The chosen one, counted from 0.",
    "time (s)": "From start to end by the clock.",
}
GLOSSARY = {
    "★": "The best mean on validation. Settings whose runs all completed come first. Those with one or two runs, where "
    "others have twice as many or more, come last. Test takes no part in the choice.",
    "○": "The baseline. Where no row has this sign, gains are over ★.",
    "95 % interval": "mean ± t(n - 1, 0.975) · s/√n, by Student's t over n seeds or splits. Where all seeds were run "
    "on several splits it is that of a table of two random factors. None from fewer than three, nor where all values "
    "are equal: their spread then says nothing of the noise.",
    "on this split": "Validation and test are one split of the data: what holds on others is not known.",
    "for m comparisons at once": "The interval at 1 - 0.05/m instead of 0.95: all m hold at once in 95 % of studies.",
    "at any number of looks": "Seeds were added after looking at the earlier ones, as hydra/sweeper=decide does. The "
    "intervals of gains and p are those of a confidence sequence (Lai 1976; Wang and Ramdas 2024), which holds for all "
    "numbers of seeds at once, and m counts all pairs of arms.",
    "corrected p": "min(1, m·p), p of the paired t test that the true gain is 0. It is below 0.05 exactly where the "
    "interval excludes 0.",
    "decided": "The interval excludes 0, and both arms were trained long enough.",
    "in 22 of 25 pairs": "As in the column of the pairs won, of the best against the baseline.",
    "Hedges' g": "As in the column of the effect size, of the best against the baseline.",
    "margin": "A difference that does not matter: report.margin, by default 0.5 percentage points of accuracy, 2 % of "
    "the baseline's rmse or loss. Two arms are as good where two one-sided t tests, each at 0.05/m, find the gain "
    "within ± margin.",
    "could have shown": "The true difference that the test finds in 80 % of studies of this n and this spread "
    "(noncentral t).",
    "more seeds": "The n with which the test would find the measured difference in 80 % of studies, minus that of now. "
    "The rate of errors is kept only if n was fixed before, or by hydra/sweeper=decide.",
    "among the last": "The chosen epoch is in the last tenth (at least two) of all epochs of a run that ran its whole "
    "budget, and better than any before: it still improved.",
}
