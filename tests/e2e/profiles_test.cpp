// SPDX-License-Identifier: GPL-3.0-or-later
// Learning servers from NetworkManager itself, and from its files while it is away.
#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/apply/programs/profiles.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/daemons/network_manager.hpp"
#include "tests/support/lab/lab.hpp"

namespace failclosed::lab {

namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char folder[] = "/etc/NetworkManager/system-connections/";
constexpr char office_uuid[] = "11111111-2222-4333-8444-555555555555";
constexpr char home_uuid[] = "66666666-7777-4888-9999-aaaaaaaaaaaa";
/// The time limit for a program that does not answer.
constexpr auto limit = 2000ms;
/// And for a NetworkManager that answers, if slowly: it must not be taken for one that hangs.
constexpr auto patient_limit = 20s;

std::string openvpn_keyfile(const std::string& id, const std::string& uuid,
                            const std::string& remote)
{
    return "[connection]\nid=" + id + "\nuuid=" + uuid +
           "\ntype=vpn\nautoconnect=false\n[vpn]\n"
           "service-type=org.freedesktop.NetworkManager.openvpn\nconnection-type=password\n"
           "username=me\npassword-flags=0\nca=/etc/ca.pem\nremote=" +
           remote + "\n[vpn-secrets]\npassword=topsecret\n";
}

std::string wireguard_keyfile(const std::string& id, const std::string& uuid,
                              const std::string& endpoint)
{
    return "[connection]\nid=" + id + "\nuuid=" + uuid +
           "\ntype=wireguard\ninterface-name=wg7\nautoconnect=false\n"
           "[wireguard]\nfwmark=51820\nprivate-key=EBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLk8=\n"
           "[wireguard-peer.uGz9FnYoLEt/YsPGPfVLD/zGtQt5Ww5KT7QfQRhj5G8=]\nendpoint=" +
           endpoint +
           "\nallowed-ips=0.0.0.0/0;\n[ipv4]\nmethod=disabled\n[ipv6]\nmethod=disabled\n";
}

constexpr char wire_keyfile[] = "[connection]\nid=wire\nuuid=bbbbbbbb-cccc-4ddd-8eee-ffffffffffff\n"
                                "type=ethernet\nautoconnect=false\n";

constexpr char office[] = "office 11111111-2222-4333-8444-555555555555 "
                          "org.freedesktop.NetworkManager.openvpn remote=203.0.113.2:1194 "
                          "ca=/etc/ca.pem\n";
constexpr char home[] = "home 66666666-7777-4888-9999-aaaaaaaaaaaa wireguard "
                        "vpn.example:51820 fwmark=51820\n";

/// Whether this process has loaded it.
bool has_libnm()
{
    std::ifstream maps("/proc/self/maps");
    const std::string text{std::istreambuf_iterator<char>(maps), {}};
    return text.find("/libnm.so") != std::string::npos;
}

struct Loaded {
    std::string profiles; ///< a line each
    std::string warnings; ///< a line each
    double milliseconds = 0;
    std::chrono::milliseconds limit{}; ///< how long it was to wait
    bool libnm = false;
};

class Profiles : public testing::Test {
  protected:
    Profiles()
    {
        const std::string module = std::string(FAILCLOSED_MODULE_DIR) + "/failclosed-nm.so";
        std::ifstream file(Lab::install_root() + module, std::ios::binary);
        if (!file) {
            throw LabError("not installed: " + module);
        }
        client_.write_file(module, {std::istreambuf_iterator<char>(file), {}}, 0755);
        // Without the host's profiles.
        client_.must({"sh", "-c",
                      "rm -rf /etc/NetworkManager/system-connections/* "
                      "/usr/lib/NetworkManager/system-connections/*"});
    }

    void add(const std::string& name, const std::string& keyfile, mode_t mode = 0600) const
    {
        client_.write_file(folder + name, keyfile, mode);
    }

    void add_all() const
    {
        add("office.nmconnection", openvpn_keyfile("office", office_uuid, "203.0.113.2:1194"));
        add("home.nmconnection", wireguard_keyfile("home", home_uuid, "vpn.example:51820"));
        add("wire.nmconnection", wire_keyfile);
    }

    void start_bus() { bus_.emplace(client_); }

    /// Starts it with the profiles that are there then.
    void start_manager(const std::vector<std::string>& ids)
    {
        start_bus();
        NetworkManager::Options options;
        options.record = false;
        options.start = false;
        manager_.emplace(*bus_, options); // which empties the folder
        add_all();
        manager_->start();
        for (const auto& id : ids) {
            ASSERT_THAT(manager_->nmcli({"-g", "NAME", "connection", "show"}), HasSubstr(id));
        }
    }

    /// Loads in a process of its own, as a hook would.
    Loaded load(const std::optional<std::string>& uuid = {},
                std::chrono::milliseconds longest = limit) const
    {
        const Process process = Process::fork(client_, [&] {
            const auto start = std::chrono::steady_clock::now();
            const VpnProfiles found = load_vpn_profiles(longest, uuid);
            const std::chrono::duration<double, std::milli> time =
                std::chrono::steady_clock::now() - start;
            for (const auto& profile : found.profiles) {
                std::printf("%s %s %s", profile.id.c_str(), profile.uuid.c_str(),
                            profile.service.c_str());
                for (const auto& [key, value] : profile.data) {
                    std::printf(" %s=%s", key.c_str(), value.c_str());
                }
                for (const auto& endpoint : profile.endpoints) {
                    std::printf(" %s", endpoint.c_str());
                }
                if (profile.fwmark) {
                    std::printf(" fwmark=%u", *profile.fwmark);
                }
                std::printf("\n");
            }
            std::printf("%.3f %d\n", time.count(), has_libnm() ? 1 : 0);
            std::fflush(stdout);
            for (const auto& warning : found.warnings) {
                std::fprintf(stderr, "%s\n", warning.c_str());
            }
            std::fflush(stderr);
            return 0;
        });
        if (process.wait() != 0) {
            throw LabError("load: " + process.output());
        }
        Loaded loaded{.profiles = process.out(), .warnings = process.err(), .limit = longest};
        const auto last = loaded.profiles.rfind('\n', loaded.profiles.size() - 2) + 1;
        int libnm = 0;
        std::sscanf(loaded.profiles.c_str() + last, "%lf %d", &loaded.milliseconds, &libnm);
        loaded.libnm = libnm != 0;
        loaded.profiles.erase(last);
        std::printf("loaded in %.2f ms: %s%s\n", loaded.milliseconds, loaded.profiles.c_str(),
                    loaded.warnings.c_str());
        std::fflush(stdout); // else the next child has it, too
        return loaded;
    }

    Box client_{"client"};
    std::optional<SystemBus> bus_;
    std::optional<NetworkManager> manager_;
};

void expect_both(const Loaded& loaded)
{
    EXPECT_THAT(loaded.profiles,
                AllOf(HasSubstr(office), HasSubstr(home), Not(HasSubstr("wire "))));
    EXPECT_THAT(loaded.profiles,
                AllOf(Not(HasSubstr("topsecret")), Not(HasSubstr("username")),
                      Not(HasSubstr("EBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLk8"))));
    // Else it has waited twice.
    EXPECT_LT(loaded.milliseconds, 2.0 * static_cast<double>(loaded.limit.count()));
}

TEST_F(Profiles, AreReadFromARunningNetworkManager)
{
    ASSERT_NO_FATAL_FAILURE(start_manager({"office", "home"}));
    // Only the running NetworkManager still knows them.
    client_.must({"sh", "-c", std::string("rm ") + folder + "*"});
    const Loaded all = load({}, patient_limit);
    expect_both(all);
    EXPECT_EQ(all.warnings, "");
    EXPECT_EQ(load(office_uuid, patient_limit).profiles, office);
    EXPECT_EQ(load(home_uuid, patient_limit).profiles, home);
    EXPECT_EQ(load("00000000-0000-4000-8000-000000000000", patient_limit).profiles, "");

    manager_->stop();
    EXPECT_EQ(load().profiles, "") << "with their files they are gone";
}

TEST_F(Profiles, ReadRepeatedlyLeaveNoDescriptorOpen)
{
    ASSERT_NO_FATAL_FAILURE(start_manager({"office", "home"}));
    const Process process = Process::fork(client_, [] {
        const auto descriptors = [] {
            return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
        };
        std::ptrdiff_t first = 0;
        for (int i = 0; i < 20; i++) {
            if (load_vpn_profiles(patient_limit).profiles.size() != 2) {
                std::puts("profiles are missing");
                return 1;
            }
            first = i == 0 ? descriptors() : first;
        }
        // The bus's thread may be about to close the last ones.
        const bool closed = eventually([&] { return descriptors() <= first + 1; });
        std::printf("%td descriptors, then %td\n", first, descriptors());
        std::fflush(stdout);
        return closed ? 0 : 1;
    });
    EXPECT_EQ(process.wait(2 * patience), 0) << process.output();
}

TEST_F(Profiles, AreReadFromFilesWithoutNetworkManager)
{
    add_all();
    const Loaded loaded = load();
    expect_both(loaded);
    EXPECT_EQ(loaded.warnings, "");
    EXPECT_EQ(load(office_uuid).profiles, office);

    // Stopped, as at a shutdown; then with a bus that died.
    client_.must({"mkdir", "-p", "/run/NetworkManager"});
    start_bus();
    const Loaded stopped = load();
    expect_both(stopped);
    EXPECT_EQ(stopped.warnings, "");
    bus_->kill();
    const Loaded dead = load();
    expect_both(dead);
    EXPECT_EQ(dead.warnings, "");
}

TEST_F(Profiles, AreReadFromFilesIfNetworkManagerHangs)
{
    ASSERT_NO_FATAL_FAILURE(start_manager({"office", "home"}));
    manager_->process().signal(SIGSTOP);
    const Loaded hung = load();
    expect_both(hung);
    EXPECT_GE(hung.milliseconds, static_cast<double>(limit.count()) * 0.9) << "it did not hang";
    EXPECT_THAT(hung.warnings, HasSubstr("cannot get VPN profiles from NetworkManager: no answer "
                                         "in time; its files are read instead"));
    client_.must({"sh", "-c", std::string("rm ") + folder + "*"});
    const Loaded empty = load();
    EXPECT_EQ(empty.profiles, "");
    EXPECT_LT(empty.milliseconds, 2.0 * static_cast<double>(limit.count()));
    EXPECT_THAT(empty.warnings, HasSubstr("no answer in time"));

    manager_->process().signal(SIGCONT);
    expect_both(load({}, patient_limit));
}

TEST_F(Profiles, AreReadFromFilesIfTheBusHangs)
{
    add_all();
    client_.must({"mkdir", "-p", "/run/NetworkManager", "/run/dbus"});
    const Process silent = Process::fork(client_, listen_silently);
    ASSERT_TRUE(silent.wait_for("listening"));
    const Loaded loaded = load();
    expect_both(loaded);
    EXPECT_THAT(loaded.warnings, HasSubstr("no answer in time"));
}

TEST_F(Profiles, WithoutAnyCostNothing)
{
    const Loaded none = load();
    EXPECT_EQ(none.profiles + none.warnings, "");
    EXPECT_FALSE(none.libnm);

    add("wire.nmconnection", wire_keyfile);
    const Loaded wire = load();
    EXPECT_EQ(wire.profiles + wire.warnings, "");
    EXPECT_FALSE(wire.libnm);

    add("office", openvpn_keyfile("office", office_uuid, "203.0.113.2:1194"));
    const Loaded old_name = load();
    EXPECT_EQ(old_name.profiles, office);
    EXPECT_TRUE(old_name.libnm);
}

TEST_F(Profiles, WritableByOthersAreRefused)
{
    add("office.nmconnection", openvpn_keyfile("office", office_uuid, "203.0.113.2:1194"));
    const auto keyfile = [](const std::string& id) {
        return openvpn_keyfile(id, id, "192.0.2.66");
    };
    add("group.nmconnection", keyfile("group"), 0660);
    add("world.nmconnection", keyfile("world"), 0602);
    add("other.nmconnection", keyfile("other"));
    client_.must({"chown", "65534", std::string(folder) + "other.nmconnection"});
    client_.write_file("/etc/elsewhere", keyfile("link"), 0600);
    client_.must({"ln", "-s", "/etc/elsewhere", std::string(folder) + "link.nmconnection"});
    client_.must({"mkfifo", "-m", "600", std::string(folder) + "fifo.nmconnection"});
    client_.must({"mkdir", std::string(folder) + "folder.nmconnection"});
    add("garbage.nmconnection", "[vpn]\ntopsecret\n\x01\n[[[");
    add("big.nmconnection", keyfile("big") + std::string(2U << 20U, '\n'));
    for (const char* ignored : {".hidden.nmconnection", "backup.nmconnection~", "x.nmmeta"}) {
        add(ignored, keyfile(ignored));
    }

    const Loaded loaded = load();

    EXPECT_EQ(loaded.profiles, office);
    for (const char* refused :
         {"group", "world", "other", "link", "fifo", "folder", "garbage", "big"}) {
        EXPECT_THAT(loaded.warnings, HasSubstr(refused + std::string(".nmconnection")));
    }
    EXPECT_THAT(loaded.warnings, AllOf(Not(HasSubstr("hidden")), Not(HasSubstr("topsecret"))));

    client_.must({"chmod", "777", folder});
    const Loaded none = load();
    EXPECT_EQ(none.profiles, "");
    EXPECT_THAT(none.warnings, HasSubstr("others than user 0 can write to it"));
}

TEST_F(Profiles, OfTheSameUuidTheFirstCounts)
{
    add("office.nmconnection", openvpn_keyfile("office", office_uuid, "192.0.2.66"));
    client_.write_file("/run/NetworkManager/system-connections/office.nmconnection",
                       openvpn_keyfile("office", office_uuid, "203.0.113.2:1194"), 0600);
    client_.write_file("/usr/lib/NetworkManager/system-connections/home.nmconnection",
                       wireguard_keyfile("home", home_uuid, "vpn.example:51820"), 0600);
    const Loaded loaded = load();
    EXPECT_EQ(loaded.profiles, std::string(office) + home);
    EXPECT_EQ(loaded.warnings, "");
}

TEST_F(Profiles, WithoutLibnmAreReportedWithoutAnError)
{
    add_all();
    client_.must({"sh", "-c", "rm /usr/lib/*/libnm.so.0* || rm /usr/lib*/libnm.so.0*"});
    const Loaded loaded = load();
    EXPECT_EQ(loaded.profiles, "");
    EXPECT_THAT(loaded.warnings, AllOf(HasSubstr("install libnm"), HasSubstr("libnm.so.0")));

    client_.must({"sh", "-c", std::string("rm ") + folder + "*"});
    EXPECT_EQ(load().warnings, "") << "no setting needs it";
}

} // namespace

} // namespace failclosed::lab
