"""Exit statuses of the commands, as docs/how_to/resume.md lists them."""

DONE = 0
FAILED = 1
BAD_CONFIG = 2
NO_CHECKPOINT = 3
STOPPED = 75
PEER_LOST = 76
HUNG = 77
DIVERGED = 78
