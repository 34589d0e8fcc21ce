import os
import subprocess
import sys

import pytest


@pytest.fixture
def torchrun():
    """Runs a command in two processes that train together, and returns what they said on stdout."""

    def run(*words):
        launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        done = subprocess.run(
            [*launch, "-m", "bozzetto", *map(str, words)],
            capture_output=True,
            text=True,
            env=environment,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run
