from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture
def compose_data(tmp_path):
    """conf/data/<name>.yaml as train.py composes it, but without the rest of the configuration."""
    main = tmp_path / "main"
    main.mkdir()
    (main / "main.yaml").write_text("defaults: [_self_, {data: digits}]\nseed: 0\n")

    def composed(name: str, *overrides: str) -> DictConfig:
        with initialize_config_dir(str(main), version_base="1.3"):
            search = f"hydra.searchpath=[file://{CONF}]"
            return compose("main", [f"data={name}", search, *overrides]).data

    return composed
