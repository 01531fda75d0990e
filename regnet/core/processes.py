"""The processes of one command."""

import os


def leads() -> bool:
    """Whether this is the first of DDP's processes, which it starts with the command that started this one."""
    return os.environ.get("LOCAL_RANK", "0") == "0"
