"""The options that the programs share, and the trackers that those choose."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from peer_environments import PEERS
from tracked_work import OURS

AddOptions = Callable[[argparse.ArgumentParser], None]


def read_options(description: str, *, peers: bool = True, add: AddOptions | None = None) -> argparse.Namespace:
    """What the command line asks for: `quick`, with peers also `trackers`, and what `add` adds."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small size, to see that it works")
    if peers:
        names = [peer.name for peer in PEERS]
        parser.add_argument("--no-peers", action="store_true", help="Cloister alone")
        parser.add_argument("--peers", default=",".join(names), help=f"which of {', '.join(names)}")
    if add is not None:
        add(parser)
    options = parser.parse_args()
    if peers:
        chosen = () if options.no_peers else tuple(name for name in options.peers.split(",") if name)
        if unknown := set(chosen) - set(names):
            parser.error(f"no such peer: {', '.join(sorted(unknown))}; there are {', '.join(names)}")
        options.trackers = (OURS, *chosen)
    return options
