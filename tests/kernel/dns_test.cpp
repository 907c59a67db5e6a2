// SPDX-License-Identifier: GPL-3.0-or-later
// resolv.conf and hosts as files: every kind of them, every failure, and a crash at every step.
// Takes root: mounts are made, in a mount namespace of the test's own.
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <ostream>
#include <sstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/fs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "core/apply/dns/dns.hpp"
#include "core/apply/dns/hosts.hpp"
#include "core/apply/storage/journal.hpp"
#include "core/base/file.hpp"
#include "core/base/owned.hpp"
#include "core/codec/files/resolv_conf.hpp"

namespace failclosed {
namespace {

namespace fs = std::filesystem;

DnsPlan make_plan(const char* resolver)
{
    return {{{*InterfaceName::parse("tun0"),
              {*IpAddress::parse(resolver), *IpAddress::parse("2001:db8:c0::53")},
              {*HostName::parse("corp.example")}}}};
}

const DnsPlan kPlan = make_plan("10.8.0.1");
const std::string kOurs = render_resolv_conf({kPlan.resolvers(), kPlan.search_domains()});
constexpr const char* kOriginal = "# mine\nnameserver 192.168.77.1\noptions edns0\n\n";

void write(const std::string& path, const std::string& contents)
{
    std::ofstream(path, std::ios::binary) << contents;
}

std::string read(const std::string& path)
{
    return read_file(path, 1 << 20).value_or("(unreadable)");
}

/// All that must come back: type, mode, owner, attribute, and contents or target.
std::string describe(const std::string& path)
{
    struct stat info{};
    if (lstat(path.c_str(), &info) != 0) {
        return "absent";
    }
    std::ostringstream text;
    if (S_ISLNK(info.st_mode)) {
        text << "link to " << *read_link(path);
    } else {
        char note[16] = "";
        (void)getxattr(path.c_str(), "trusted.note", note, sizeof note - 1);
        text << std::oct << info.st_mode << ' ' << info.st_uid << ':' << info.st_gid << ' ' << note
             << ' ' << read(path);
    }
    return text.str();
}

/// A file system of its own for each test, gone with it.
class Files : public testing::Test {
  protected:
    static void SetUpTestSuite()
    {
        ASSERT_EQ(unshare(CLONE_NEWNS), 0) << "takes root";
        ASSERT_EQ(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
    }

    void SetUp() override
    {
        std::string name = testing::TempDir() + "failclosed-dns-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        root_ = name;
        ASSERT_EQ(mount("test", root_.c_str(), "tmpfs", 0, "size=1m"), 0);
        for (const char* directory : {"/etc", "/run", "/journal", "/bin"}) {
            fs::create_directory(root_ + directory);
        }
        conf_ = root_ + "/etc/resolv.conf";
        paths_ = {.resolv_conf = conf_,
                  .journal_directory = root_ + "/journal",
                  .module_directory = root_ + "/none",
                  .resolvconf_programs = {root_ + "/bin/resolvconf"}};
    }

    void TearDown() override
    {
        EXPECT_EQ(umount2(root_.c_str(), MNT_DETACH), 0);
        fs::remove(root_);
    }

    [[nodiscard]] Dns dns() const { return Dns(paths_); }

    void expect_applied()
    {
        const Result<DnsSystem> applied = dns().apply(kPlan);
        ASSERT_TRUE(applied) << applied.error().message();
        EXPECT_EQ(*applied, DnsSystem::File);
        EXPECT_EQ(read(conf_), kOurs);
        EXPECT_EQ(dns().holds(kPlan), true);
    }

    void expect_restored(const std::string& original)
    {
        const Status restored = dns().restore();
        ASSERT_TRUE(restored) << restored.error().message();
        EXPECT_EQ(describe(conf_), original);
        EXPECT_EQ(dns().holds({}), true);
        EXPECT_FALSE(fs::exists(root_ + "/journal/journal"));
    }

    /// Since the link was put back, as the journal says it.
    void let_pass(std::int64_t seconds) const
    {
        const JournalFile file(paths_.journal_directory);
        Journal journal = *file.load();
        ASSERT_TRUE(journal.resolv_conf_left);
        *journal.resolv_conf_left -= seconds;
        ASSERT_TRUE(file.save(journal));
    }

    std::string root_;
    std::string conf_;
    DnsPaths paths_;
};

// ---- What was there before comes back ----

enum class Before { Absent, Regular, Private, Empty, Link, Dangling, BindMount, LongBindMount };

void PrintTo(Before before, std::ostream* out)
{
    constexpr const char* kNames[] = {"Absent", "Regular",  "Private",   "Empty",
                                      "Link",   "Dangling", "BindMount", "LongBindMount"};
    *out << kNames[static_cast<int>(before)];
}

class EveryKind : public Files, public testing::WithParamInterface<Before> {
  protected:
    void SetUp() override
    {
        Files::SetUp();
        make_original();
        original_ = describe(conf_);
    }

    void make_original()
    {
        switch (GetParam()) {
        case Before::Absent:
            break;
        case Before::Regular:
            write(conf_, kOriginal);
            break;
        case Before::Private:
            write(conf_, kOriginal);
            ASSERT_EQ(chown(conf_.c_str(), 7, 8), 0);
            ASSERT_EQ(chmod(conf_.c_str(), 0640), 0);
            ASSERT_EQ(setxattr(conf_.c_str(), "trusted.note", "kept", 4, 0), 0);
            break;
        case Before::Empty:
            write(conf_, "");
            break;
        case Before::Link:
            write(root_ + "/run/resolv.conf", kOriginal);
            ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
            break;
        case Before::Dangling:
            ASSERT_EQ(symlink("../run/gone", conf_.c_str()), 0);
            break;
        case Before::BindMount:
            bind(kOriginal);
            break;
        case Before::LongBindMount:
            bind(std::string(3000, '#') + "\n" + kOriginal);
            break;
        }
    }

    void bind(const std::string& contents)
    {
        const std::string source = root_ + "/run/mounted";
        write(conf_, "below");
        write(source, contents);
        ASSERT_EQ(mount(source.c_str(), conf_.c_str(), nullptr, MS_BIND, nullptr), 0);
    }

    std::string original_;
};

INSTANTIATE_TEST_SUITE_P(Kinds, EveryKind,
                         testing::Values(Before::Absent, Before::Regular, Before::Private,
                                         Before::Empty, Before::Link, Before::Dangling,
                                         Before::BindMount, Before::LongBindMount));

TEST_P(EveryKind, IsRestoredByteForByte)
{
    expect_applied();
    expect_restored(original_);
}

TEST_P(EveryKind, IsRestoredAfterManyPlansAndCalls)
{
    expect_applied();
    ASSERT_TRUE(dns().apply(make_plan("10.9.0.1")));
    EXPECT_EQ(dns().holds(kPlan), false);
    expect_applied();
    expect_restored(original_);
    expect_restored(original_);
    expect_applied();
    EXPECT_EQ(*dns().apply({}), DnsSystem::None);
    EXPECT_EQ(describe(conf_), original_);
}

TEST_P(EveryKind, LeavesNoOtherFile)
{
    expect_applied();
    expect_restored(original_);
    for (const auto& file : fs::directory_iterator(root_ + "/etc")) {
        EXPECT_EQ(file.path(), conf_);
    }
}

/// Runs `work` in a child that dies at its `calls`th entry into or exit from the kernel. True
/// where it came to its end before that.
bool run_until_call(int calls, const std::function<void()>& work)
{
    const pid_t child = fork();
    if (child == 0) {
        ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        raise(SIGSTOP);
        work();
        _exit(0);
    }
    int status = 0;
    waitpid(child, &status, 0);
    for (int i = 0; i < calls && WIFSTOPPED(status); i++) {
        ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
        waitpid(child, &status, 0);
    }
    if (!WIFSTOPPED(status)) {
        return true;
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    return false;
}

TEST_P(EveryKind, IsRestoredAfterApplyWasKilledAtAnyStep)
{
    int calls = 0;
    for (bool finished = false; !finished; calls++) {
        finished = run_until_call(calls, [&] { (void)dns().apply(kPlan); });
        expect_applied();
        expect_restored(original_);
        ASSERT_FALSE(HasFailure()) << "killed at " << calls;
    }
    EXPECT_GT(calls, 20) << "the child was not stopped at all";
}

TEST_P(EveryKind, IsRestoredWithoutAnotherApplyAfterApplyWasKilledAtAnyStep)
{
    int calls = 0;
    for (bool finished = false; !finished; calls++) {
        finished = run_until_call(calls, [&] { (void)dns().apply(kPlan); });
        expect_restored(original_);
        ASSERT_FALSE(HasFailure()) << "killed at " << calls;
    }
}

TEST_P(EveryKind, IsRestoredAfterRestoreWasKilledAtAnyStep)
{
    const std::function<void()> ways[] = {[&] { (void)dns().restore(); },
                                          [&] { (void)dns().apply({}); }};
    for (const auto& put_back : ways) {
        int calls = 0;
        for (bool finished = false; !finished; calls++) {
            expect_applied();
            finished = run_until_call(calls, put_back);
            expect_restored(original_);
            ASSERT_FALSE(HasFailure()) << "killed at " << calls;
        }
        EXPECT_GT(calls, 20) << "the child was not stopped at all";
    }
}

// ---- Nothing is written for nothing ----

TEST_F(Files, SecondApplyWritesNothing)
{
    write(conf_, kOriginal);
    expect_applied();
    const auto inode = [](const std::string& path) {
        struct stat info{};
        EXPECT_EQ(stat(path.c_str(), &info), 0);
        return info.st_ino;
    };
    const ino_t conf = inode(conf_);
    const ino_t journal = inode(root_ + "/journal/journal");
    expect_applied();
    EXPECT_EQ(inode(conf_), conf);
    EXPECT_EQ(inode(root_ + "/journal/journal"), journal);
}

TEST_F(Files, RestoreWithoutApplyTouchesNothing)
{
    write(conf_, kOriginal);
    expect_restored(describe(conf_));
}

// ---- Others write, too ----

TEST_F(Files, ContentsWrittenByAnotherProgramAreRestored)
{
    write(conf_, kOriginal);
    expect_applied();
    fs::remove(conf_);
    write(conf_, "nameserver 192.168.77.2\n");
    EXPECT_EQ(dns().holds(kPlan), false);
    const std::string strangers = describe(conf_);
    expect_applied();
    expect_restored(strangers);
}

TEST_F(Files, ContentsWrittenByAnotherProgramAreKeptAtTheEnd)
{
    write(conf_, kOriginal);
    expect_applied();
    fs::remove(conf_);
    ASSERT_EQ(symlink("../run/other", conf_.c_str()), 0);
    expect_restored("link to ../run/other");
}

TEST_F(Files, TheUnderlaysPresentResolversAreRestoredThroughALink)
{
    write(root_ + "/run/resolv.conf", kOriginal);
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    expect_applied();
    write(root_ + "/run/resolv.conf", "nameserver 192.168.99.1\n");
    expect_applied();
    expect_restored("link to ../run/resolv.conf");
    EXPECT_EQ(read(conf_), "nameserver 192.168.99.1\n");
}

// It writes over a file, and would have left the link alone.
TEST_F(Files, AFileOfNetworkManagerOverOursIsReplacedByTheLink)
{
    const std::string managers = "# Generated by NetworkManager\nnameserver 192.168.77.2\n";
    for (const char* target : {"../run/resolv.conf", "/run/NetworkManager/resolv.conf"}) {
        write(root_ + "/run/resolv.conf", kOriginal);
        ASSERT_EQ(symlink(target, conf_.c_str()), 0);
        expect_applied();
        write(conf_, managers);
        EXPECT_EQ(dns().holds(kPlan), false);
        expect_applied();
        write(conf_, managers);
        expect_restored(std::string("link to ") + target);
        fs::remove(conf_);
    }
}

// It looks what the file is, writes another one, and renames that: the link may come back
// meanwhile.
TEST_F(Files, AFileOfNetworkManagerAtTheTunnelsEndIsReplacedByTheLink)
{
    write(root_ + "/run/resolv.conf", kOriginal);
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    const std::string original = describe(conf_);
    expect_applied();
    ASSERT_TRUE(dns().apply({}));
    EXPECT_EQ(describe(conf_), original);
    EXPECT_EQ(dns().holds({}), true);
    const std::string managers = root_ + "/etc/resolv.conf.managers";
    const std::function<Status()> ways[] = {[&] {
                                                const auto applied = dns().apply({});
                                                return applied ? Status()
                                                               : Failure(applied.error());
                                            },
                                            [&] { return dns().restore(); }};
    for (const auto& put_back : ways) {
        write(managers, "# Generated by NetworkManager\nnameserver 192.168.77.2\n");
        fs::rename(managers, conf_);
        EXPECT_EQ(dns().holds({}), false);
        EXPECT_TRUE(put_back());
        EXPECT_EQ(describe(conf_), original);
    }
    expect_restored(original);
}

// By then another program has requested it.
TEST_F(Files, AFileOfNetworkManagerAMinuteAfterTheTunnelIsKept)
{
    const std::string managers = "# Generated by NetworkManager\nnameserver 192.168.77.2\n";
    write(root_ + "/run/resolv.conf", kOriginal);
    for (const std::int64_t seconds : {61, -1000}) {
        ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
        expect_applied();
        ASSERT_TRUE(dns().apply({}));
        let_pass(seconds);
        fs::remove(conf_);
        write(conf_, managers);
        const std::string expected = describe(conf_);
        EXPECT_EQ(dns().holds({}), true);
        ASSERT_TRUE(dns().apply({}));
        EXPECT_EQ(describe(conf_), expected);
        expect_applied();
        expect_restored(expected);
        fs::remove(conf_);
    }
}

// Each tunnel counts for itself.
TEST_F(Files, AFileOfNetworkManagerInTheNextTunnelIsReplacedByTheLink)
{
    write(root_ + "/run/resolv.conf", kOriginal);
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    const std::string original = describe(conf_);
    expect_applied();
    ASSERT_TRUE(dns().apply({}));
    let_pass(61);
    expect_applied();
    write(conf_, "# Generated by NetworkManager\nnameserver 192.168.77.2\n");
    expect_applied();
    expect_restored(original);
}

TEST_F(Files, AnInterruptedRunIsCompletedAfterTheLinkWasRestored)
{
    const JournalFile file(paths_.journal_directory);
    write(root_ + "/run/resolv.conf", kOriginal);
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    expect_applied();
    ASSERT_TRUE(dns().apply({}));
    Journal journal = *file.load();
    journal.resolv_conf_left.reset();
    ASSERT_TRUE(file.save(journal));
    EXPECT_EQ(dns().holds({}), false);
    ASSERT_TRUE(dns().apply({}));
    EXPECT_EQ(dns().holds({}), true);
    EXPECT_TRUE(file.load()->resolv_conf_left);
}

TEST_F(Files, AFileWrittenAfterTheTunnelIsRestoredAfterTheNextOne)
{
    write(root_ + "/run/resolv.conf", kOriginal);
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    expect_applied();
    ASSERT_TRUE(dns().apply({}));
    fs::remove(conf_);
    write(conf_, "nameserver 192.168.77.3\n");
    const std::string anothers = describe(conf_);
    EXPECT_EQ(dns().holds({}), true);
    ASSERT_TRUE(dns().apply({}));
    EXPECT_EQ(describe(conf_), anothers);
    expect_applied();
    expect_restored(anothers);
}

// No program updates the link's target any more.
TEST_F(Files, AFileOfNetworkManagerIsKeptIfTheLinksTargetIsOlder)
{
    write(root_ + "/run/resolv.conf", "# Generated by NetworkManager\nnameserver 192.168.77.1\n");
    ASSERT_EQ(symlink("../run/resolv.conf", conf_.c_str()), 0);
    expect_applied();
    write(conf_, "# Generated by NetworkManager\nnameserver 192.168.77.2\n");
    expect_restored(describe(conf_));
}

TEST_F(Files, OurFileWithoutAJournalIsNotSavedAsTheOriginal)
{
    write(conf_, kOurs);
    expect_applied();
    expect_restored("absent");
}

// ---- Which system is in charge ----

TEST_F(Files, AStubWithoutItsServiceIsAPlainFile)
{
    write(conf_, "nameserver 127.0.0.53\noptions edns0 trust-ad\n");
    expect_applied();
}

TEST_F(Files, AResolvconfThatHasNoExclusiveModeIsNotRun)
{
    const std::string trace = root_ + "/run/was-run";
    write(root_ + "/bin/resolvectl", "#!/bin/sh\ntouch " + trace + "\n");
    fs::permissions(root_ + "/bin/resolvectl", fs::perms::all);
    ASSERT_EQ(symlink("resolvectl", (root_ + "/bin/resolvconf").c_str()), 0);
    write(conf_, "# Generated by resolvconf\nnameserver 192.168.77.1\n");
    const std::string original = describe(conf_);
    expect_applied();
    expect_restored(original);
    EXPECT_FALSE(fs::exists(trace));
}

TEST_F(Files, OpenresolvIsNotUsedIfItDoesNotMakeResolvConf)
{
    write(root_ + "/bin/resolvconf", "#!/bin/sh\nOPENRESOLV_VERSION=\"3.12.0\"\nexit 1\n");
    fs::permissions(root_ + "/bin/resolvconf", fs::perms::all);
    write(conf_, kOriginal);
    expect_applied();
}

TEST_F(Files, ABrokenOpenresolvIsAnError)
{
    write(root_ + "/bin/resolvconf",
          "#!/bin/sh\nOPENRESOLV_VERSION=\"3.12.0\"\necho no room >&2\nexit 1\n");
    fs::permissions(root_ + "/bin/resolvconf", fs::perms::all);
    write(conf_, "# Generated by resolvconf\nnameserver 192.168.77.1\n");
    const Result<DnsSystem> applied = dns().apply(kPlan);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().message(), root_ + "/bin/resolvconf failed: no room");
    EXPECT_FALSE(dns().restore());
    fs::remove(root_ + "/bin/resolvconf");
    expect_restored(describe(conf_));
}

TEST_F(Files, AnOpenresolvThatWasReplacedIsNotRunAgain)
{
    const std::string program = root_ + "/bin/resolvconf";
    write(program, "#!/bin/sh\nOPENRESOLV_VERSION=\"3.12.0\"\nexit 1\n");
    fs::permissions(program, fs::perms::all);
    write(conf_, "# Generated by resolvconf\nnameserver 192.168.77.1\n");
    EXPECT_FALSE(dns().apply(kPlan));
    write(program, "#!/bin/sh\nexit 99 # has no -f\n");
    expect_restored(describe(conf_));
}

// ---- Failures ----

TEST_F(Files, ADamagedJournalPreventsEveryChange)
{
    write(conf_, kOriginal);
    expect_applied();
    write(root_ + "/journal/journal", "rubbish");
    for (const std::string& message :
         {dns().apply(make_plan("10.9.0.1")).error().message(), dns().restore().error().message(),
          dns().holds(kPlan).error().message()}) {
        EXPECT_TRUE(message.starts_with(root_ + "/journal/journal: ")) << message;
        EXPECT_NE(message.find("remove this file"), std::string::npos) << message;
    }
    EXPECT_EQ(read(conf_), kOurs);
    EXPECT_EQ(read(root_ + "/journal/journal"), "rubbish");
}

TEST_F(Files, WithoutAFolderForTheJournalNoFileIsChanged)
{
    write(conf_, kOriginal);
    fs::remove(root_ + "/journal");
    EXPECT_FALSE(dns().apply(kPlan));
    EXPECT_EQ(read(conf_), kOriginal);
}

TEST_F(Files, AFifoIsRefusedWithoutWaiting)
{
    ASSERT_EQ(mkfifo(conf_.c_str(), 0644), 0);
    const Result<DnsSystem> applied = dns().apply(kPlan);
    EXPECT_EQ(applied.error().message(), conf_ + ": is not a regular file");
    EXPECT_TRUE(fs::is_fifo(conf_));
}

TEST_F(Files, APlantedTemporaryLinkIsNotFollowed)
{
    write(root_ + "/run/victim", "untouched");
    ASSERT_EQ(symlink("../run/victim", (root_ + "/etc/.resolv.conf.failclosed").c_str()), 0);
    write(conf_, kOriginal);
    expect_applied();
    EXPECT_EQ(read(root_ + "/run/victim"), "untouched");
}

/// A directory whose file system has inode flags: tmpfs has since Linux 6.6.
class Immutable : public Files {
  protected:
    void SetUp() override
    {
        Files::SetUp();
        write(conf_, kOriginal);
        if (!set_flags(FS_IMMUTABLE_FL)) {
            std::string name = "failclosed-immutable-XXXXXX";
            ASSERT_NE(mkdtemp(name.data()), nullptr);
            elsewhere_ = fs::absolute(name);
            conf_ = elsewhere_ + "/resolv.conf";
            paths_.resolv_conf = conf_;
            write(conf_, kOriginal);
            ASSERT_TRUE(set_flags(FS_IMMUTABLE_FL)) << "no file system here has inode flags";
        }
    }

    void TearDown() override
    {
        set_flags(0);
        if (!elsewhere_.empty()) {
            fs::remove_all(elsewhere_);
        }
        Files::TearDown();
    }

    bool set_flags(int flags)
    {
        const UniqueFd file(open(conf_.c_str(), O_RDONLY | O_CLOEXEC));
        return ioctl(file.get(), FS_IOC_SETFLAGS, &flags) == 0;
    }

    std::string elsewhere_;
};

TEST_F(Immutable, FileIsRefusedWithOneClearLine)
{
    const Result<DnsSystem> applied = dns().apply(kPlan);
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().number(), EPERM);
    EXPECT_EQ(applied.error().message(),
              conf_ + ": is immutable; allow changes with: chattr -ia " + conf_);
    EXPECT_EQ(read(conf_), kOriginal);
    EXPECT_EQ(dns().holds(kPlan), false);
    EXPECT_TRUE(dns().restore());
    ASSERT_TRUE(set_flags(0));
    expect_applied();
}

TEST_F(Immutable, HostsFileIsRefusedToo)
{
    const HostsPlan plan = {{{*HostName::parse("vpn.example"), *IpAddress::parse("203.0.113.2")}}};
    EXPECT_EQ(apply_hosts(plan, conf_).error().number(), EPERM);
    EXPECT_EQ(read(conf_), kOriginal);
}

/// /etc of two pages: one for a file, one to fill.
class FullDisk : public Files {
  protected:
    void SetUp() override
    {
        Files::SetUp();
        const std::string etc = root_ + "/etc";
        ASSERT_EQ(mount("tiny", etc.c_str(), "tmpfs", 0, "nr_blocks=2"), 0);
        write(conf_, kOriginal);
        write(etc + "/ballast", std::string(2 << 20, 'x'));
    }
};

TEST_F(FullDisk, LeavesTheOldFileWhole)
{
    const std::string original = describe(conf_);
    EXPECT_EQ(dns().apply(kPlan).error().number(), ENOSPC);
    EXPECT_EQ(describe(conf_), original);
    fs::remove(root_ + "/etc/ballast");
    expect_applied();
    write(root_ + "/etc/ballast", std::string(2 << 20, 'x'));
    EXPECT_EQ(dns().restore().error().number(), ENOSPC);
    EXPECT_EQ(read(conf_), kOurs);
    fs::remove(root_ + "/etc/ballast");
    expect_restored(original);
}

TEST_F(FullDisk, LeavesAMountedFileWhole)
{
    const std::string mounted = root_ + "/etc/mounted";
    fs::remove(root_ + "/etc/ballast");
    write(mounted, "");
    ASSERT_EQ(mount(mounted.c_str(), conf_.c_str(), nullptr, MS_BIND, nullptr), 0);
    write(root_ + "/etc/ballast", std::string(2 << 20, 'x'));
    EXPECT_EQ(dns().apply(kPlan).error().number(), ENOSPC);
    EXPECT_EQ(read(conf_), "");
    fs::remove(root_ + "/etc/ballast");
    expect_applied();
}

TEST_F(Files, AFullJournalPreventsTheChange)
{
    ASSERT_EQ(mount("tiny", (root_ + "/journal").c_str(), "tmpfs", 0, "nr_blocks=1"), 0);
    write(root_ + "/journal/ballast", std::string(2 << 20, 'x'));
    write(conf_, kOriginal);
    EXPECT_EQ(dns().apply(kPlan).error().number(), ENOSPC);
    EXPECT_EQ(read(conf_), kOriginal);
}

// ---- Hosts ----

const HostsPlan kHosts = {{{*HostName::parse("vpn.example"), *IpAddress::parse("203.0.113.2")},
                           {*HostName::parse("vpn.example"), *IpAddress::parse("2001:db8::2")}}};

TEST_F(Files, HostsAreAddedAndRemovedWithModeAndOwner)
{
    const std::string hosts = root_ + "/etc/hosts";
    write(hosts, "127.0.0.1 localhost");
    ASSERT_EQ(chmod(hosts.c_str(), 0604), 0);
    ASSERT_EQ(chown(hosts.c_str(), 7, 8), 0);
    ASSERT_EQ(setxattr(hosts.c_str(), "trusted.note", "kept", 4, 0), 0);
    const std::string original = describe(hosts);
    EXPECT_EQ(hosts_hold(kHosts, hosts), false);
    ASSERT_TRUE(apply_hosts(kHosts, hosts));
    EXPECT_EQ(hosts_hold(kHosts, hosts), true);
    EXPECT_EQ(hosts_hold({}, hosts), false);
    EXPECT_NE(read(hosts).find("203.0.113.2 vpn.example"), std::string::npos);
    ASSERT_TRUE(remove_hosts(hosts));
    EXPECT_EQ(describe(hosts), original);
}

TEST_F(Files, MissingHostsFileIsMissingAgain)
{
    const std::string hosts = root_ + "/etc/hosts";
    ASSERT_TRUE(apply_hosts(kHosts, hosts));
    EXPECT_TRUE(fs::exists(hosts));
    ASSERT_TRUE(remove_hosts(hosts));
    EXPECT_EQ(describe(hosts), "absent");
}

TEST_F(Files, LinkedHostsFileIsChangedInItsFolder)
{
    const std::string hosts = root_ + "/etc/hosts";
    write(root_ + "/run/hosts", "127.0.0.1 localhost\n");
    ASSERT_EQ(symlink("../run/hosts", hosts.c_str()), 0);
    ASSERT_TRUE(apply_hosts(kHosts, hosts));
    EXPECT_EQ(describe(hosts), "link to ../run/hosts");
    EXPECT_EQ(hosts_hold(kHosts, hosts), true);
    ASSERT_TRUE(remove_hosts(hosts));
    EXPECT_EQ(read(root_ + "/run/hosts"), "127.0.0.1 localhost\n");
}

TEST_F(Files, HostsFileThatIsALinkToNothingIsNamedAndDoesNotPreventOpening)
{
    const std::string hosts = root_ + "/etc/hosts";
    ASSERT_EQ(symlink("../run/gone", hosts.c_str()), 0);
    for (const Status& status : {apply_hosts(kHosts, hosts), hosts_writable(hosts)}) {
        ASSERT_FALSE(status);
        EXPECT_EQ(status.error().number(), ELOOP);
        EXPECT_EQ(status.error().message(),
                  "is a symbolic link to ../run/gone, which does not exist, so that the addresses "
                  "of VPN servers cannot be written there: create that file or remove the link, "
                  "then failclosed reapply");
    }
    EXPECT_FALSE(hosts_hold(kHosts, hosts)) << "reapply cannot repair it";
    EXPECT_EQ(hosts_hold({}, hosts), true);
    EXPECT_TRUE(remove_hosts(hosts));
    EXPECT_EQ(describe(hosts), "link to ../run/gone");
    write(root_ + "/run/gone", "");
    EXPECT_TRUE(hosts_writable(hosts));
    EXPECT_TRUE(apply_hosts(kHosts, hosts));
    fs::remove(hosts);
    EXPECT_TRUE(hosts_writable(hosts)) << "a missing file is made";
}

TEST_F(Files, MountedHostsFileIsWrittenInPlace)
{
    const std::string hosts = root_ + "/etc/hosts";
    write(hosts, "");
    write(root_ + "/run/hosts", "127.0.0.1 localhost\n");
    ASSERT_EQ(mount((root_ + "/run/hosts").c_str(), hosts.c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_TRUE(apply_hosts(kHosts, hosts));
    EXPECT_EQ(hosts_hold(kHosts, hosts), true);
    ASSERT_TRUE(remove_hosts(hosts));
    EXPECT_EQ(read(hosts), "127.0.0.1 localhost\n");
}

// ---- Kernel parameters in the journal ----

TEST_F(Files, KernelParametersKeepTheirFirstValueBesideDns)
{
    const JournalFile journal(paths_.journal_directory);
    const std::vector<std::string> name = {"net", "ipv4", "ip_forward"};
    write(conf_, kOriginal);
    expect_applied();
    ASSERT_TRUE(journal.remember_sysctls({{name, "1", "0"}}));
    ASSERT_TRUE(journal.remember_sysctls({{name, "2", "1"}}));
    ASSERT_TRUE(dns().restore());
    const SysctlRecord expected{name, "2", "0"};
    EXPECT_EQ(journal.load()->sysctls, std::vector{expected});
    ASSERT_TRUE(journal.forget_sysctls());
    EXPECT_FALSE(fs::exists(root_ + "/journal/journal"));
}

} // namespace
} // namespace failclosed
