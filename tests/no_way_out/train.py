"""A training that uses all that a run records."""

import subprocess
import sys
from pathlib import Path

import cloister


@cloister.experiment(project="digits")
def train(run: cloister.Run, lr: float = 0.1, note: str = "see https://example.com/data") -> float:
    print("training from https://example.com/data")
    for step in range(20):
        run.log({"loss": 1 / (step + 1)})
    Path("model.bin").write_bytes(b"weights" * 1000)
    Path("page.html").write_text('<img src="https://example.com/pixel.png"><script src="//example.com/x.js"></script>')
    run.log_artifact("model.bin")
    run.log_artifact("page.html")
    run.info["homepage"] = "https://example.com/"
    return 0.5


if __name__ == "__main__":
    subprocess.run(["git", "init", "--quiet", "."], check=True)
    subprocess.run(["git", "remote", "add", "origin", "https://git.example.com/lab/digits.git"], check=True)
    train()
    sys.exit(0)
