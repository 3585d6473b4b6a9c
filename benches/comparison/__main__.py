"""Doorward beside the proxies that people use, on the same cores, with the same certificate and the same upstream."""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

import report
from places import Places
from stage import Stage
from subjects import SUBJECTS, prepare

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).absolute()
SETTLE = 0.3  # seconds for what was queued, such as audit records


@dataclass
class Sample:
    """One measured run. `cpu`: seconds a request; `memory`: bytes, at its end."""

    cpu: float
    rate: float
    p50: float
    p99: float
    memory: int


def main():
    options = arguments()
    # A shell starts what runs in its background deaf to SIGINT; and SIGTERM must stop the servers too.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    subjects = [subject for subject in SUBJECTS if any(fnmatch(subject.name, each) for each in options.only)]
    if not subjects:
        sys.exit(f"nothing of that name; there are: {' '.join(subject.name for subject in SUBJECTS)}")
    load = os.getloadavg()[0]
    build(options.profile)
    programs = TARGET / ("debug" if options.profile == "dev" else options.profile)
    places = Places(fresh(TARGET / "compare" / str(options.port)), options.port, programs, os.cpu_count())
    with Stage(places, {subject.server for subject in subjects}, say) as stage:
        prepared = [prepare(subject, stage) for subject in subjects]
        if options.serve:
            return serve(prepared)
        samples = measure(prepared, options)
    conclude(options, load, subjects, samples)


def arguments():
    parser = argparse.ArgumentParser(prog="benches/compare", description=__doc__)
    parser.add_argument("--seconds", type=int, default=10, help="of each measured run (10)")
    parser.add_argument("--warm-up", type=int, default=2, help="seconds before each (2)")
    parser.add_argument("--rounds", type=int, default=7, help="how often each is measured, in turns (7)")
    parser.add_argument("--only", nargs="+", default=["*"], metavar="NAME", help="measure these only, and write no results; * is a wildcard")
    parser.add_argument("--profile", default="dist", help="of cargo (dist)")
    parser.add_argument("--port", type=int, default=25000, help="the first of 20 ports on loopback (25000)")
    parser.add_argument("--json", action="store_true", help="print one line with the ratios")
    parser.add_argument("--serve", action="store_true", help="only start everything, and say how to ask it")
    return parser.parse_args()


def build(profile):
    command = ["cargo", "build", "--locked", "--profile", profile, "--bin", "doorward", "--example", "surroundings"]
    say(" ".join(command))
    subprocess.run(command, cwd=ROOT, check=True, stdout=sys.stderr)


def fresh(directory):
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    os.chdir(directory)
    return directory


def measure(prepared, options):
    """Rounds of all in turn, so that a slow minute of the machine meets everybody."""
    samples = {each.subject.name: [] for each in prepared}
    for number in range(1, options.rounds + 1):
        for each in prepared:
            each.warm_up(options.warm_up)
            sample = one(each, options.seconds)
            samples[each.subject.name].append(sample)
            say(f"round {number}: {each.subject.name:25} {sample.cpu * 1e6:7.1f} µs {sample.rate:8.0f} requests/s")
            each.forget()
    return samples


def one(prepared, seconds):
    time.sleep(SETTLE)
    before = prepared.tree.seconds()
    figures = prepared.measure(seconds)
    time.sleep(SETTLE)
    used = prepared.tree.seconds() - before
    rate = figures.requests / figures.seconds
    return Sample(used / figures.requests, rate, figures.p50, figures.p99, prepared.tree.memory())


def conclude(options, load, subjects, samples):
    medians = {name: median(all_of_it) for name, all_of_it in samples.items()}
    ratios = report.ratios(samples)
    print(report.text(subjects, samples, medians, ratios), file=sys.stderr)
    if options.only == ["*"]:
        conditions = report.conditions(ROOT, " ".join(["benches/compare", *sys.argv[1:]]), options, load)
        (ROOT / "benches" / "RESULTS.md").write_text(report.page(conditions, subjects, samples, medians, ratios))
    if options.json:
        print(report.line(ratios))


def median(samples):
    of = lambda name: statistics.median(getattr(sample, name) for sample in samples)
    return Sample(of("cpu"), of("rate"), of("p50"), of("p99"), int(of("memory")))


def serve(prepared):
    for each in prepared:
        asked, pids = each.request, " ".join(str(pid) for pid in each.tree.everyone())
        print(f"\n{each.subject.title}\n  processes {pids}\n  host {asked.authority}, at 127.0.0.1:{asked.port}")
        print(f"  cookie {asked.cookie}{f' and one of {asked.cookies}' if asked.cookies else ''}\n  path {asked.path}")
    print("\nUntil Ctrl-C.", flush=True)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        pass


def say(text):
    print(f"--- {text}", file=sys.stderr, flush=True)


try:
    main()
except (RuntimeError, subprocess.SubprocessError) as error:
    sys.exit(f"benches/compare: {error}")
except KeyboardInterrupt:
    sys.exit(130)
