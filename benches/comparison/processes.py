"""Processes that were started together, and what they used.

In: the first process of each tree. Out: processor time and memory of everything that descends from them, by /proc.
"""

import os
import re
import subprocess
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")


class Tree:
    def __init__(self, *roots):
        self.roots = list(roots)

    def seconds(self):
        """Processor time of all their threads. With the time of children that have ended, which the kernel adds to their parent's."""
        return sum(sum(times(pid)) for pid in self.everyone()) / TICK

    def memory(self):
        """Resident bytes: what is each process' own, and once what they share."""
        own, shared = 0, 0
        for pid in self.everyone():
            sizes = rollup(pid)
            mine = sizes.get("Private_Clean", 0) + sizes.get("Private_Dirty", 0)
            own += mine
            shared = max(shared, sizes.get("Rss", 0) - mine)
        return own + shared

    def everyone(self):
        children = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and (fields := stat(entry.name)):
                children.setdefault(int(fields[1]), []).append(int(entry.name))
        found = [root.pid for root in self.roots]
        for pid in found:
            found.extend(children.get(pid, []))
        return found


def stat(pid):
    """The fields behind the name, which may contain anything; the state is the first."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def times(pid):
    """utime, stime, cutime and cstime, in ticks."""
    return [int(field) for field in stat(pid)[11:15]]


def rollup(pid):
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return {}
    return {name: int(size) * 1024 for name, size in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}


def start(directory, name, *command, **options):
    """Starts a process in a directory of its own, where its output goes to a file."""
    home = directory / name
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "output.log", "ab") as log:
        return subprocess.Popen([str(word) for word in command], cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)


def stop(processes):
    """Asks all of them to end, then waits for it."""
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
