// SPDX-License-Identifier: GPL-3.0-or-later
// One machine of the lab: its own network, processes, mounts, host name; gone without a trace.
#include "tests/support/lab/box.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/lab/pidfd.hpp"

namespace failclosed::lab {

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& what)
{
    throw LabError(what + ": " + std::strerror(errno));
}

void check(int result, const std::string& what)
{
    if (result < 0) {
        fail(what);
    }
}

void mount_fs(const char* type, const std::string& target, const std::string& options = {})
{
    check(mount(type, target.c_str(), type, 0, options.c_str()), "mount " + target);
}

void overlay(const std::string& scratch, const std::string& name)
{
    const std::string upper = scratch + "/" + name;
    const std::string work = upper + "-work";
    check(mkdir(upper.c_str(), 0755), "mkdir " + upper);
    check(mkdir(work.c_str(), 0755), "mkdir " + work);
    mount_fs("overlay", "/" + name,
             "lowerdir=/" + name + ",upperdir=" + upper + ",workdir=" + work);
}

void put(const std::string& path, const std::string& content)
{
    std::ofstream file(path);
    file << content << std::flush;
    if (!file) {
        fail("write " + path);
    }
}

void make_mounts()
{
    check(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private");
    mount_fs("proc", "/proc");
    // A sysfs of our own shows our own devices; read-only, so that NetworkManager does without
    // udev.
    mount_fs("sysfs", "/sys");
    check(mount(nullptr, "/sys", nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr),
          "remount /sys");

    const std::string scratch = "/mnt";
    mount_fs("tmpfs", scratch, "mode=755");
    for (const char* name : {"etc", "usr", "var"}) {
        overlay(scratch, name);
    }
    check(umount2(scratch.c_str(), MNT_DETACH), "detach " + scratch);

    // Names of other people's network namespaces would be pinned by this mount namespace.
    umount2("/run/netns", MNT_DETACH);
    mount_fs("tmpfs", "/run", "mode=755");
    mount_fs("tmpfs", "/tmp", "mode=1777");
    fs::create_directories("/run/lock");
}

void make_identity(const std::string& name)
{
    check(sethostname(name.data(), name.size()), "sethostname");
    for (const char* file : {"/etc/hosts", "/etc/resolv.conf", "/etc/hostname"}) {
        fs::remove(file);
    }
    put("/etc/hosts", "127.0.0.1 localhost " + name + "\n::1 localhost ip6-localhost\n");
    put("/etc/resolv.conf", "");
    put("/etc/hostname", name + "\n");
    // Duplicate address detection costs seconds per address and finds nothing here.
    for (const char* scope : {"all", "default"}) {
        const std::string folder = std::string("/proc/sys/net/ipv6/conf/") + scope;
        put(folder + "/accept_dad", "0");
        put(folder + "/dad_transmits", "0");
    }
}

// Process 1 of a box. It holds nothing of the test but its end of the leash, says "ok" or what
// went wrong, and ends when the other end is gone.
[[noreturn]] void be_init(const std::string& name, int leash)
{
    std::string report = "ok";
    try {
        const int null = open("/dev/null", O_RDWR);
        for (int fd : {0, 1, 2}) {
            dup2(null, fd);
        }
        dup2(leash, 3);
        close_range(4, ~0U, 0);
        ::signal(SIGCHLD, SIG_IGN); // orphans are reaped by the kernel
        prctl(PR_SET_NAME, ("lab-" + name).c_str());
        check(unshare(CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC), "unshare");
        make_mounts();
        make_identity(name);
        check(chdir("/"), "chdir");
    } catch (const std::exception& error) {
        report = error.what();
    }
    char byte = 0;
    if (send(3, report.data(), report.size(), MSG_NOSIGNAL) > 0 && report == "ok") {
        while (recv(3, &byte, 1, 0) < 0 && errno == EINTR) {
        }
    }
    _exit(0);
}

} // namespace

Box::Box(const std::string& name) : name_(name)
{
    int ends[2];
    check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), "socketpair");
    leash_ = ends[0];
    // unshare(CLONE_NEWPID) changes where the children of this one thread are born.
    int error = 0;
    std::thread([&] {
        if (unshare(CLONE_NEWPID) == 0) {
            init_ = ::fork();
        }
        error = errno;
        if (init_ == 0) {
            be_init(name, ends[1]);
        }
    }).join();
    close(ends[1]);
    char report[256] = {};
    if (init_ > 0 && recv(leash_, report, sizeof(report) - 1, 0) < 0) {
        error = errno;
    }
    if (std::string(report) != "ok") {
        close(leash_);
        if (init_ > 0) {
            waitpid(init_, nullptr, 0);
        }
        throw LabError("box " + name + ": " + (report[0] ? report : std::strerror(error)));
    }
    init_fd_ = pidfd_open(init_, 0);
    network_ = open(("/proc/" + std::to_string(init_) + "/ns/net").c_str(), O_RDONLY | O_CLOEXEC);
}

Box::~Box()
{
    // Its end takes every process of the box along; those we started are reaped by their watchers.
    ::kill(init_, SIGKILL);
    waitpid(init_, nullptr, 0);
    for (int fd : {leash_, init_fd_, network_}) {
        close(fd);
    }
}

void Box::enter(const std::function<void()>& work) const
{
    std::exception_ptr thrown;
    std::thread([&] {
        try {
            check(unshare(CLONE_FS), "unshare");
            check(setns(init_fd_, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS), "enter " + name_);
            work();
        } catch (...) {
            thrown = std::current_exception();
        }
    }).join();
    if (thrown) {
        std::rethrow_exception(thrown);
    }
}

pid_t Box::spawn(const std::function<void()>& body) const
{
    pid_t pid = -1;
    int error = 0;
    std::thread([&] {
        if (setns(init_fd_, CLONE_NEWPID) == 0) {
            pid = ::fork();
        }
        error = errno;
        if (pid == 0) {
            if (setns(init_fd_, CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC) == 0) {
                body();
            }
            _exit(126);
        }
    }).join();
    if (pid < 0) {
        errno = error;
        fail("start a process in " + name_);
    }
    return pid;
}

Outcome Box::run(const Command& command, std::chrono::milliseconds timeout) const
{
    const Process process = start(command);
    const auto status = process.wait(timeout);
    if (!status) {
        throw LabError(name_ + ": " + command.argv.front() + " did not end in time:\n" +
                       process.output());
    }
    return {*status, process.out(), process.err()};
}

std::string Box::must(const Command& command) const
{
    Outcome outcome = run(command);
    if (!outcome.ok()) {
        std::string text = name_ + ":";
        for (const auto& word : command.argv) {
            text += " " + word;
        }
        throw LabError(text + ": status " + std::to_string(outcome.status) + "\n" + outcome.err +
                       outcome.out + command.input);
    }
    return outcome.out;
}

void Box::ip(const std::string& lines, std::optional<int> other) const
{
    const Command command = Command{"ip", "-batch", "-"}.with_input(lines);
    must(other ? command.with_descriptor(*other) : command);
}

void Box::nft(const std::string& ruleset) const
{
    must(Command{"nft", "-f", "-"}.with_input(ruleset));
}

std::string Box::read_file(const std::string& path) const
{
    return in([&] {
        std::ifstream file(path, std::ios::binary);
        if (!file) {
            fail(name_ + ": read " + path);
        }
        std::ostringstream text;
        text << file.rdbuf();
        return text.str();
    });
}

void Box::write_file(const std::string& path, const std::string& content, mode_t mode) const
{
    in([&] {
        const fs::path target(path);
        fs::create_directories(target.parent_path());
        fs::remove(target);
        put(path, content);
        check(chmod(path.c_str(), mode), "chmod " + path);
    });
}

bool Box::exists(const std::string& path) const
{
    return in([&] { return fs::exists(fs::symlink_status(path)); });
}

void Box::sysctl(const std::string& key, const std::string& value) const
{
    std::string path = key;
    std::replace(path.begin(), path.end(), '.', '/');
    in([&] { put("/proc/sys/" + path, value); });
}

std::string Box::outside_path(const std::string& path) const
{
    return "/proc/" + std::to_string(init_) + "/root" + path;
}

} // namespace failclosed::lab
