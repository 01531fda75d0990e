import pytest
from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer

from regnet.core.errors import UserError
from regnet.report.tensorboard import link, named
from regnet.run.events import EventFile
from regnet.run.record import find_runs
from tests.helpers.records import add_run, classification


def study(folder):
    for name in ("none", "[dropout,l2]"):
        for seed in (0, 1):
            keys = [f"regularizer={name}", "++regularizer.l2.strength=1e-05", "model.norm=batch", f"seed={seed}"]
            events = EventFile(add_run(folder, keys, classification(0.9)))
            events.log_metrics({"val/loss": 0.5}, 1)
            events.save()
    return list(find_runs(folder))


def test_tensorboard_calls_each_run_by_what_sets_it_apart(tmp_path):
    runs = study(tmp_path / "study")
    (tmp_path / "curves").mkdir()
    (tmp_path / "curves" / "earlier").symlink_to(tmp_path / "study", target_is_directory=True)
    (tmp_path / "curves" / "mine.txt").write_text("")
    for _ in range(2):  # the second time in place of the first
        link(runs, tmp_path / "curves")
    board = EventMultiplexer().AddRunsFromDirectory(str(tmp_path / "curves")).Reload()
    names = {"none,seed=0", "none,seed=1", "dropout+l2,strength=1e-5,seed=0", "dropout+l2,strength=1e-5,seed=1"}
    assert set(board.Runs()) == names
    assert {run["scalars"][0] for run in board.Runs().values()} == {"val/loss"}
    assert (tmp_path / "curves" / "mine.txt").exists()
    assert len(list(find_runs(tmp_path))) == 4  # a report of all does not see them twice


def test_a_single_seed_is_not_in_the_name_and_two_data_are_numbered(tmp_path):
    for size in (100, 200):
        add_run(tmp_path, ["regularizer=l2", f"data.train_size={size}", "seed=0"], classification(0.9))
    assert list(named(list(find_runs(tmp_path)))) == ["1_l2", "2_l2"]


def test_names_that_would_be_equal_are_numbered(tmp_path):
    for path in ("a/b", "a:b"):
        add_run(tmp_path / "x", ["regularizer=l2", f"my.path={path}", "seed=0"], classification(0.9))
    assert list(named(list(find_runs(tmp_path)))) == ["l2,path=a_b", "l2,path=a_b_2"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^--tensorboard .* cannot be written \(File exists\)"):
        link([], tmp_path / "file")
