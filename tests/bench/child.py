"""Runs a command and writes its exit code, wall-clock seconds and peak resident memory (bytes) to a file, as JSON.

A separate process, since the kernel's peak includes the memory of the parent before the command is executed.
"""

import json
import resource
import subprocess
import sys
import time

start = time.monotonic()
code = subprocess.run(sys.argv[2:], check=False).returncode
seconds = time.monotonic() - start
with open(sys.argv[1], "w", encoding="utf-8") as result:
    json.dump([code, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024], result)
