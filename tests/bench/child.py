"""Runs a command and tells its wall seconds and the most memory (bytes, resident) that it or a process of it had.

In a process of its own: the kernel counts what the parent had before the command was there.
"""

import json
import resource
import subprocess
import sys
import time

start = time.monotonic()
code = subprocess.run(sys.argv[2:], check=False).returncode
seconds = time.monotonic() - start
with open(sys.argv[1], "w", encoding="utf-8") as told:
    json.dump([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024], told)
