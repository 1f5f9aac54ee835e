"""Run every check and every test, each part with the interpreter it needs, and close with one line that sums them up.

The arguments are the environments that have Blender; the interpreter that runs this is the backend's.
"""

import os
import re
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[1]
BACKEND_TESTS = [f"tests/{part}" for part in ("motion", "rigs", "backend", "setup", "packaging")]
OUTCOMES = re.compile(r"(\d+) (passed|failed|skipped|errors?|xfailed|xpassed)")


def main(environments: list[str]) -> int:
    start = time.monotonic()
    outcomes: Counter[str] = Counter()
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["pyright"]):
        outcomes["failed"] += subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode != 0
    zip_file = build_zip(environments[0])
    outcomes += run_pytest(sys.executable, BACKEND_TESTS, zip_file)
    # Side by side: each mostly waits for one thing at a time.
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(run_pytest, f"{e}/bin/python", ["tests/blender"], zip_file, mark=f"{Path(e).name}: ") for e in environments]
        for run in runs:
            outcomes += run.result()
    told = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items() if count)
    print(f"==== {told} in {time.monotonic() - start:.2f}s ====")
    return 1 if outcomes["failed"] or outcomes["error"] else 0


def build_zip(environment: str) -> str:
    """The path of the extension for this machine, built anew."""
    command = [f"{environment}/bin/python", "tools/build_extension.py"]
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def run_pytest(python: str, tests: list[str], zip_file: str, mark: str = "") -> Counter[str]:
    """Run `tests` and count how they came out; a run that breaks off is an error. `mark` stands before every line that it prints."""
    command = [python, "-m", "pytest", "--color=yes" if sys.stdout.isatty() else "--color=no", *tests]
    environment = os.environ | {"MOTIONGPT_ZIP": zip_file, "PYTHONUTF8": "1"}
    print(f"{mark}+", *command, flush=True)
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, encoding="utf-8") as process:
        closing = ""
        for line in process.stdout or ():
            print(f"{mark}{line}", end="", flush=True)
            closing = line if line.strip() else closing
    counts = Counter({outcome.removesuffix("s"): int(count) for count, outcome in OUTCOMES.findall(closing)})
    if process.returncode and not counts.keys() & {"failed", "error"}:
        counts["error"] = 1
    return counts


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
