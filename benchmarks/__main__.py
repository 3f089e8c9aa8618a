"""`python -m benchmarks [--python RIVALS]`: each comparison that needs no data but the shipped, with its defaults.

Rivals are compared where an interpreter that has them is named (docs/benchmarks.md says how to make it).
Soak, faults, training and GPU have commands of their own, for they take long, or data.
"""

import argparse

from benchmarks.retrieval import http, index
from benchmarks.serving import ceiling, overload, rivals

parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
parser.add_argument("--python", help="an interpreter with benchmarks/rivals/requirements.txt installed")
python = parser.parse_args().python

ceiling.main([])
overload.main([])
http.main([])
if python is None:
    index.main(["--rivals", ""])
else:
    rivals.main(["--python", python])
    index.main(["--python", python])
