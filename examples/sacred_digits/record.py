"""Runs sacred_script.py as it is, with Cloister as its observer.

python record.py with wide epochs=5
"""

import sys

from cloister import MongoObserver
from sacred_script import ex

if __name__ == "__main__":
    ex.observers.append(MongoObserver())  # as Sacred's own; without arguments it is Cloister's database
    ex.run_commandline(sys.argv)
