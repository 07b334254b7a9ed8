"""For experiments that run under Sacred: an observer in place of its own, with the same arguments and documents."""
