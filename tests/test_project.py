"""What stands around the code: the version, the package's contents, the files for contributors and for public CI."""

import os
import re
import subprocess
import sys
from pathlib import Path

import yaml

import regnet

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text()


def test_the_version_is_written_once_and_needs_no_torch(tmp_path):
    program = "import regnet, sys; print(regnet.__version__, not {'torch', 'hydra', 'pandas'}.isdisjoint(sys.modules))"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.stdout == f"{regnet.__version__} False\n", done.stderr
    assert '\ndynamic = ["version"]\n' in PROJECT
    assert '[tool.hatch.version]\npath = "regnet/__init__.py"' in PROJECT


def test_the_changelog_begins_with_the_version_of_the_code():
    assert re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == regnet.__version__


def test_the_citation_has_what_its_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    assert citation["cff-version"] == "1.2.0"
    assert "version" not in citation, "the version is in regnet/__init__.py alone"


def test_imports_go_down_the_list_of_folders_only():
    floors = re.findall(r"^    regnet/(\w+)/", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert set(floors) == {path.parent.name for path in ROOT.glob("regnet/*/__init__.py")}
    for path in ROOT.glob("regnet/*/**/*.py"):
        folder, *below = path.relative_to(ROOT / "regnet").parts
        source = re.sub(r"^if TYPE_CHECKING:\n(    .*\n|\n)+", "", path.read_text(), flags=re.MULTILINE)
        for above in re.findall(rf"^ *from {re.escape('.' * (len(below) + 1))}(\w+)\b", source, re.MULTILINE):
            if above in floors:
                assert floors.index(above) >= floors.index(folder), f"{path.relative_to(ROOT)} imports {above}"


def test_the_source_package_takes_what_there_is():
    (included,) = re.findall(r"\[tool\.hatch\.build\.targets\.sdist\]\ninclude = \[(.*?)\]", PROJECT, re.DOTALL)
    names = re.findall(r'"(.+?)"', included)
    own = {"CHANGELOG.md", "CITATION.cff", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "constraints.txt"}
    assert own | {"conf", "docs", "examples", "hydra_plugins", "regnet", "scripts", "tests"} <= set(names)


def test_the_public_workflow_runs_the_targets_of_make_on_every_python():
    (job,) = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"].values()
    lower, upper = map(int, re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', PROJECT).groups())
    assert job["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in range(lower, upper)]
    targets = set(re.findall(r"make (\w+)", " ".join(step.get("run", "") for step in job["steps"])))
    assert targets <= set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {"test", "types"} <= targets


def test_the_hooks_run_what_make_lint_runs():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    entries = [hook["entry"] for hook in repository["hooks"]]
    linted = re.search(r"^lint:.*\n((?:\t.*\n)+)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert re.findall(r"ruff (\w+)", linted) == [re.search(r"ruff (\w+)", entry)[1] for entry in entries]
