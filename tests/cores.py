"""How much of the processors each process of a run takes: set before anything else is imported.

Libraries of linear algebra read it once, when they are loaded. Every process that a test starts inherits it.
"""

from __future__ import annotations

import os

# Without it threads of OpenMP that wait for others keep their processor: beside other tests a training took five
# times its time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# The processes of a run fill the processors by themselves: threads within each would only wait for one another.
for library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")
# Programs in Go, Prometheus' among them, live for seconds here: collecting garbage is a third of what they do.
os.environ.setdefault("GOGC", "400")
# After each commit, git would begin a process to see whether a repository of three files is to be packed.
for name, value in (("COUNT", "1"), ("KEY_0", "maintenance.auto"), ("VALUE_0", "false")):
    os.environ.setdefault(f"GIT_CONFIG_{name}", value)
