#!/usr/bin/python3
"""virtnbdrestore with its own arguments, but with a hundredth of the second that its NBD client sleeps before it connects."""
import runpy
import shutil
import sys
import time

import libvirtnbdbackup.nbdcli

sys.modules["libvirtnbdbackup.nbdcli.client"].sleep = lambda _seconds: time.sleep(0.01)
program = shutil.which("virtnbdrestore")
sys.argv[0] = program
runpy.run_path(program, run_name="__main__")
