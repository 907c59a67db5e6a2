#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds the test programs of a build folder by name, and repeats their test cases.

usage: programs.py names BUILD WORD...          names of the tests
       programs.py targets BUILD WORD...        what ninja has to build for them
       programs.py repeat BUILD TIMES [WORD...] run each test case TIMES times

A WORD is the name of a test, or of a suite, or `quick`: style, unit and kernel. `repeat` without one
takes all but soak, style and bench. It runs each test case in a process of its own, in random order, as
many at once as there are processors, beside as many processes that only compute. What a failed run
printed is kept in BUILD/repeat. Exits with 1 if a run failed, and with 64 for an unknown word.
"""
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import re
import subprocess
import sys

QUICK = ("style", "unit", "kernel")
NOT_REPEATED = ("soak", "style", "bench")
# Ends with its parent, however that ends.
COMPUTES = "import os\nparent = os.getppid()\nwhile os.getppid() == parent: sum(range(10000))"


def tests_of(build):
    shown = subprocess.run(["meson", "introspect", "--tests", build], check=True, text=True,
                           stdout=subprocess.PIPE).stdout
    tests = json.loads(shown)
    for test in tests:
        test["suite"] = [suite.split(":")[-1] for suite in test["suite"]]
    return tests


def chosen(tests, words):
    """The tests that the words name, each once, in the order of the build folder."""
    suites = {suite for test in tests for suite in test["suite"]}
    known = suites | {test["name"] for test in tests} | {"quick"}
    for word in words:
        if word not in known:
            raise LookupError(f"unknown test \"{word}\"; tests: {', '.join(sorted(known))}")
    wanted = {part for word in words for part in (QUICK if word == "quick" else (word,))}
    return [test for test in tests if test["name"] in wanted or wanted & set(test["suite"])]


def target_of(test, build):
    """The program below the build folder, or None if it is not built: a script."""
    path = os.path.relpath(test["cmd"][0], build)
    return None if path.startswith("..") else path


def cases_of(test):
    """Names of the test cases of a program of GoogleTest; None stands for another program."""
    if test["protocol"] != "gtest":
        return [None]
    listed = subprocess.run([*test["cmd"], "--gtest_list_tests"], check=True, text=True,
                            errors="replace", stdout=subprocess.PIPE).stdout
    cases, suite = [], ""
    for line in listed.splitlines():
        name = line.split("#")[0].rstrip()
        if re.match(r"\S+\.$", name):
            suite = name
        elif name.startswith("  "):
            cases.append(suite + name.strip())
    return cases


def run_case(folder, number, test, case):
    """Whether the test case passes. What it printed is kept if not."""
    command = [test["cmd"][0], f"--gtest_filter={case}"] if case else test["cmd"]
    try:
        done = subprocess.run(command, env=os.environ | test["env"], text=True, errors="replace",
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=test["timeout"], check=False)
        good, text = done.returncode == 0, done.stdout
    except subprocess.TimeoutExpired as late:
        good, text = False, f"{late.stdout}\nno end after {test['timeout']} s\n"
    if not good:
        name = f"{test['name']}-{case or 'all'}-{number}.log".replace("/", "_")
        (folder / name).write_text(text)
    return good


def repeat(build, times, tests):
    folder = pathlib.Path(build, "repeat")
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    runs = [(number, test, case) for test in tests for case in cases_of(test)
            for number in range(times)]
    seed = random.randrange(2**32)
    random.Random(seed).shuffle(runs)
    processors = os.cpu_count()
    print(f"{len(runs)} runs in the order of seed {seed}", flush=True)
    load = [subprocess.Popen([sys.executable, "-c", COMPUTES]) for _ in range(processors)]
    try:
        with concurrent.futures.ThreadPoolExecutor(processors) as pool:
            good = list(pool.map(lambda run: run_case(folder, *run), runs))
    finally:
        for process in load:
            process.kill()
            process.wait()
    failed = collections.Counter((test["name"], case or "") for (_, test, case), passed
                                 in zip(runs, good) if not passed)
    for (name, case), count in failed.most_common():
        print(f"failed {count} of {times}: {name} {case}".rstrip())
    print(f"{good.count(True)} runs passed, {good.count(False)} failed" +
          (f": see {folder}" if failed else ""))
    return 1 if failed else 0


def main(arguments):
    if len(arguments) < 2 or arguments[0] not in ("names", "targets", "repeat"):
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 64
    verb, build, *words = arguments
    tests = tests_of(build)
    try:
        if verb == "repeat":
            times, *words = words
            of_words = chosen(tests, words)
            return repeat(build, int(times), of_words if words else [
                test for test in tests if not set(test["suite"]) & set(NOT_REPEATED)])
        lines = [test["name"] if verb == "names" else target_of(test, build)
                 for test in chosen(tests, words)]
        print("\n".join(sorted({line for line in lines if line})))
    except LookupError as unknown:
        print(f"setup: {unknown.args[0]}", file=sys.stderr)
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
