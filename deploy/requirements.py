"""Print the project's requirements and those of some extras: `python deploy/requirements.py serve gpu`.

`python -m app` runs from the repository's root, so a venv needs only what the project depends on. Installing
the project itself (`pip install -e .`) downloads and runs a build backend first, which takes 8 s more.
"""

import sys
import tomllib
from pathlib import Path


def requirements(extras: list[str]) -> list[str]:
    """Return the requirements of pyproject.toml, in its order."""
    with Path(__file__).resolve().parents[1].joinpath("pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    lists = [project["dependencies"], *(project["optional-dependencies"][extra] for extra in extras)]
    return list(dict.fromkeys(line for lines in lists for line in lines))


if __name__ == "__main__":
    sys.stdout.write("\n".join(requirements(sys.argv[1:])) + "\n")
