#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a command in another Debian's userland, on this kernel, in a fresh copy of these sources.

usage: userland.py [--fresh] debian:VERSION FOLDER COMMAND [ARGUMENT...]

The userland is made by mmdebstrap in FOLDER/debian-VERSION and kept there for a week. What COMMAND
installs in it is kept with it, as is the build folder of the copy (/root/failclosed/build), so that
a second run is short; --fresh makes both anew. Mirrors, proxies and the other settings for
downloads are those of this machine's apt.

COMMAND has its own mount and PID namespaces, and the network of this machine. All its processes end
with it, also when this program is killed, and every mount ends with the namespace. A second run in
the same userland waits for the first. Needs root; exits with the status of COMMAND, and with 1 if
the userland cannot be made.
"""
import ctypes
import fcntl
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

CODENAMES = {"12": "bookworm", "13": "trixie", "sid": "sid"}
KEPT_SECONDS = 7 * 24 * 3600

# Of apt's settings those that say how to download. Others may name programs of this machine.
DOWNLOAD_SETTINGS = ("Acquire::Check-", "Acquire::http::", "Acquire::https::", "Acquire::Retries",
                     "Acquire::ForceIP")
PASSED_ON = ("TERM", "http_proxy", "https_proxy", "no_proxy", "FAILCLOSED_WERROR")

CLONE_NEWNS, CLONE_NEWPID = 0x00020000, 0x20000000  # <sched.h>
PR_SET_PDEATHSIG = 1  # <sys/prctl.h>
libc = ctypes.CDLL(None, use_errno=True)


class Failure(Exception):
    """What could not be done, for people."""


class Stopped(BaseException):
    """A signal asks this program to end."""


def say(text):
    print(f"setup: {text}", flush=True)


def check(result, what):
    if result != 0:
        raise Failure(f"{what}: {os.strerror(ctypes.get_errno())}")


def output_of(*argv):
    return subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True).stdout


# ---- The userland ----


def sources_for(codename):
    """Lines of sources.list; empty where this machine's apt knows no mirror of Debian's archive."""
    mirrors = {}
    wanted = "$(ORIGIN)|$(LABEL)|$(COMPONENT)|$(REPO_URI)"
    for line in output_of("apt-get", "indextargets", "--format", wanted,
                          "Created-By: Packages").splitlines():
        origin, label, component, uri = line.split("|", 3)
        if origin == "Debian" and component == "main":
            mirrors.setdefault(label, uri)
    archive, security = mirrors.get("Debian"), mirrors.get("Debian-Security")
    if archive is None:
        return []
    lines = [f"deb {archive} {codename} main"]
    if codename != "sid":
        lines.append(f"deb {archive} {codename}-updates main")
        if security is not None:
            lines.append(f"deb {security} {codename}-security main")
    return lines


def download_settings():
    """Lines of apt.conf."""
    settings = output_of("apt-config", "dump", "--no-empty", "--format", '%f "%v";%n', "Acquire")
    return [line for line in settings.splitlines() if line.startswith(DOWNLOAD_SETTINGS) and
            "Proxy-Auto-Detect" not in line]


def remove(path):
    # Not into a mount, should there be one in spite of the namespace.
    subprocess.run(["rm", "-rf", "--one-file-system", path], check=True)


def is_kept(tree):
    try:
        return 0 <= time.time() - (tree / ".made").stat().st_mtime < KEPT_SECONDS
    except FileNotFoundError:
        return False


def make(tree, codename):
    """Leaves the old userland where it is until the new one is whole."""
    say(f"making the userland of Debian {codename} in {tree}")
    new, log = pathlib.Path(f"{tree}.new"), pathlib.Path(f"{tree}.log")
    remove(new)
    sources = sources_for(codename)
    argv = ["mmdebstrap", "--mode=root", "--variant=minbase"]
    argv += [f"--aptopt={setting}" for setting in download_settings()]
    if any("https:" in line for line in sources):
        argv.append("--include=ca-certificates")
    with log.open("w") as messages:
        made = subprocess.run([*argv, codename, new, *sources], stdin=subprocess.DEVNULL,
                              stdout=messages, stderr=subprocess.STDOUT, check=False)
    if made.returncode != 0:
        remove(new)
        last = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise Failure(f"{last}\nmmdebstrap could not make Debian {codename}: see {log}")
    (new / ".made").touch()
    remove(tree)
    new.rename(tree)


def copy_sources(copy):
    """Replaces everything in the copy but its build folder; times are kept for ninja."""
    copy.mkdir(mode=0o755, exist_ok=True)
    for old in copy.iterdir():
        if old.name != "build":
            remove(old)
    for entry in pathlib.Path.cwd().iterdir():
        if entry.name in (".git", "build") or entry.name.startswith("build-"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.copytree(entry, copy / entry.name, symlinks=True)
        else:
            shutil.copy2(entry, copy / entry.name, follow_symlinks=False)


def copy_name_service(tree):
    """Plain files, with what this machine looks names up by now."""
    for name in ("etc/resolv.conf", "etc/hosts"):
        target = tree / name
        target.unlink(missing_ok=True)
        target.write_bytes(pathlib.Path("/", name).read_bytes())
        target.chmod(0o644)


# ---- Namespaces ----


def mount(*argv):
    subprocess.run(["mount", *argv], check=True)


def enter(tree):
    """Makes the tree the root folder of this mount namespace, which keeps nothing of the old one."""
    mount("--bind", tree, tree)
    mount("-t", "proc", "proc", tree / "proc")
    for folder in ("sys", "dev"):
        mount("--rbind", f"/{folder}", tree / folder)
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", tree / "run")
    mount("-t", "tmpfs", "-o", "mode=1777", "tmpfs", tree / "tmp")
    os.chdir(tree)
    # pivot_root(2): with the same folder twice, the old root lies over the new one.
    check(libc.pivot_root(b".", b"."), "pivot_root")
    check(libc.umount2(b".", 2), "detach the old root")  # MNT_DETACH
    os.chdir("/")


def run_as_first_process(fresh, tree, codename, command):
    """The first process of the PID namespace: returns the exit status of the command."""
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    if fresh or not is_kept(tree):
        make(tree, codename)
    copy_sources(tree / "root/failclosed")
    copy_name_service(tree)
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                    "HOME": "/root", "LANG": "C.UTF-8"}
    enter(tree)
    say(f"in Debian {codename}: {' '.join(command)}")
    child = os.fork()
    if child == 0:
        # Python ignores these two, and ignored signals stay ignored in what is executed.
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
        os.chdir("/root/failclosed")
        os.execvpe(command[0], command, environment)
    # Processes that have lost their parent are reaped here too.
    ended, status = os.wait()
    while ended != child:
        ended, status = os.wait()
    return status_of(status)


def status_of(status):
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def in_namespaces(function):
    """Runs the function as first process of new namespaces, and returns its status.

    When this function ends, by an exception too, all processes in the namespaces have ended.
    """
    check(libc.unshare(CLONE_NEWNS | CLONE_NEWPID), "namespaces (root is needed)")
    child = os.fork()
    if child == 0:
        status = 1
        try:
            check(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL), "prctl")
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_DFL)
            status = function()
        except (Failure, OSError, subprocess.CalledProcessError, shutil.Error) as error:
            print(f"setup: {error}", file=sys.stderr)
        finally:
            sys.stdout.flush()
            os._exit(status)
    try:
        return status_of(os.waitpid(child, 0)[1])
    except Stopped:
        os.kill(child, signal.SIGKILL)
        # Returns after the kernel has ended all others in the namespace.
        os.waitpid(child, 0)
        raise


def lock(path):
    """The descriptor that holds the lock; waits for the run that has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say(f"waiting for another run that uses {path.removesuffix('.lock')}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def stop(number, _frame):
    raise Stopped(number)


def main(arguments):
    fresh = arguments[:1] == ["--fresh"]
    if fresh:
        del arguments[0]
    if len(arguments) < 3:
        print(__doc__.split("\n\n")[1], file=sys.stderr)
        return 64
    name, folder, *command = arguments
    version = name.removeprefix("debian:")
    if version == name or version not in CODENAMES:
        known = ", ".join(f"debian:{each}" for each in CODENAMES)
        print(f"setup: no userland '{name}': known are {known}", file=sys.stderr)
        return 64
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        tree = pathlib.Path(folder).absolute() / f"debian-{version}"
        tree.parent.mkdir(parents=True, exist_ok=True)
        held = lock(f"{tree}.lock")
        status = in_namespaces(
            lambda: run_as_first_process(fresh, tree, CODENAMES[version], command))
        os.close(held)
        return status
    except (Failure, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return 1
    except Stopped as stopped:
        return 128 + stopped.args[0]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
