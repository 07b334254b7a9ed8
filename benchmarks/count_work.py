"""How many points a tracker's own reader finds: python count_work.py TRACKER FOLDER, in the tracker's environment."""

from __future__ import annotations

import sys
from pathlib import Path

from recorders import find_tracker

if __name__ == "__main__":
    print(find_tracker(sys.argv[1]).count_points(Path(sys.argv[2])))
