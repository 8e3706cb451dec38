#!/usr/bin/python3
"""Runs a program and says what it took: measure.py DESCRIPTOR PROGRAM [WORD…]

One line of JSON goes to the descriptor: seconds, the CPU seconds of the program and of what it waited for, the most memory that
one process of these had at once, in bytes, and how it ended. The program dies with this script, and this script with its parent.
"""
import ctypes
import json
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1

libc = ctypes.CDLL(None)
report, words = int(sys.argv[1]), sys.argv[2:]
os.set_inheritable(report, False)
libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
started = time.monotonic()
child = os.fork()
if child == 0:
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        print(f"cannot start {words[0]}: {error}", file=sys.stderr)
        os._exit(127)
_, status, usage = os.wait4(child, 0)
seconds = time.monotonic() - started
result = {
    "seconds": seconds,
    "cpuSeconds": usage.ru_utime + usage.ru_stime,
    "peakBytes": usage.ru_maxrss * 1024,
    "code": os.waitstatus_to_exitcode(status),
}
os.write(report, json.dumps(result).encode())
