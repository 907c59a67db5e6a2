// SPDX-License-Identifier: GPL-3.0-or-later
// State and configuration on disk: first start, round trip, damage, and files of other users.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apply/storage/state_store.hpp"

namespace failclosed {
namespace {

namespace fs = std::filesystem;

class StateStoreTest : public testing::Test {
  protected:
    StateStoreTest()
    {
        std::string name = (fs::temp_directory_path() / "state_store_test.XXXXXX").string();
        root_ = mkdtemp(name.data());
        paths_ = {root_ / "run", root_ / "lib", root_ / "etc", geteuid(), root_ / "boot_id"};
        write(paths_.boot_id, "first\n");
    }

    ~StateStoreTest() override { fs::remove_all(root_); }

    static void write(const fs::path& path, const std::string& text)
    {
        fs::create_directories(path.parent_path());
        std::ofstream(path) << text;
    }

    [[nodiscard]] static State some_state()
    {
        State state;
        state.tunnels.push_back(Tunnel{InterfaceName::parse("tun0").value()});
        state.servers.push_back({Remote::parse("vpn.example:1194/udp").value(), {}, {}});
        state.inside.push_back(
            {InterfaceName::parse("tun1").value(), {IpPrefix::parse("10.99.0.0/16").value()}});
        state.underlay.leases = {
            {InterfaceName::parse("eth0").value(), IpAddress::parse("192.0.2.1").value()}};
        state.programs = {{7, 9}};
        state.openvpn_configs = {"/etc/my vpn;.conf"};
        return state;
    }

    [[nodiscard]] StoredState load() const { return StateStore(paths_).load(); }

    void save(const State& state) const
    {
        const auto saved = StateStore(paths_).save(state);
        ASSERT_TRUE(saved) << saved.error().message();
    }

    fs::path root_;
    StorePaths paths_;
};

TEST_F(StateStoreTest, WithoutFilesTheStateIsAbsent)
{
    const auto stored = load();
    EXPECT_TRUE(stored.absent);
    EXPECT_TRUE(stored.damage.empty());
    EXPECT_EQ(stored.state, State{});
}

TEST_F(StateStoreTest, RoundTrip)
{
    save(some_state());
    const auto stored = load();
    EXPECT_FALSE(stored.absent);
    EXPECT_TRUE(stored.damage.empty());
    EXPECT_EQ(stored.state, some_state());
    State open = some_state();
    open.armed = Armed::No;
    save(open);
    EXPECT_EQ(load().state, open);
}

TEST_F(StateStoreTest, AfterARebootTunnelsAreGone)
{
    save(some_state());
    fs::remove_all(paths_.run);
    write(paths_.boot_id, "second\n");
    const auto stored = load();
    EXPECT_FALSE(stored.absent);
    EXPECT_TRUE(stored.state.tunnels.empty());
    EXPECT_EQ(stored.state.underlay, Underlay{});
    EXPECT_EQ(stored.state.servers, some_state().servers);
    EXPECT_EQ(stored.state.inside, some_state().inside);
    EXPECT_EQ(stored.state.armed, Armed::Yes);
}

TEST_F(StateStoreTest, WithoutTheRunDirectoryTheCopyIsUsed)
{
    save(some_state());
    fs::remove_all(paths_.run);
    EXPECT_EQ(load().state, some_state());
    EXPECT_TRUE(load().damage.empty());
    // One that is damaged is told of, and its copy counts as well.
    write(paths_.run + "/state", "garbage\n");
    EXPECT_EQ(load().state, some_state());
    EXPECT_EQ(load().damage.size(), 1U);
    fs::remove_all(paths_.run);
    // Neither a copy of nowhere nor a damaged one counts, and neither is worth a word.
    write(paths_.boot_id, "");
    EXPECT_TRUE(load().state.tunnels.empty());
    write(paths_.boot_id, "first\n");
    write(paths_.persistent + "/state", "garbage\n");
    EXPECT_TRUE(load().state.tunnels.empty());
    EXPECT_TRUE(load().damage.empty());
}

TEST_F(StateStoreTest, ASignInEndsWithAReboot)
{
    State state = some_state();
    state.portal = Portal{1000, 998, {IpAddress::parse("192.0.2.53").value()}, Seconds(600)};
    save(state);
    EXPECT_EQ(load().state, state);
    const fs::path running = paths_.run + "/state";
    const fs::path kept = root_ / "kept";
    fs::rename(running, kept);
    EXPECT_EQ(load().state, some_state()) << "the copy";
    fs::rename(kept, running);
    for (const char* boot : {"second\n", ""}) {
        write(paths_.boot_id, boot);
        EXPECT_EQ(load().state.portal, std::nullopt);
    }
}

TEST_F(StateStoreTest, ServersWithoutArmedAreArmed)
{
    State open = some_state();
    open.armed = Armed::No;
    save(open);
    fs::remove(paths_.persistent + "/armed");
    const auto stored = load();
    EXPECT_FALSE(stored.absent);
    EXPECT_EQ(stored.state.armed, Armed::Yes);
}

TEST_F(StateStoreTest, WritesOnlyWhatChanged)
{
    save(some_state());
    StateStore store(paths_);
    const State state = store.load().state;
    const auto servers = fs::path(paths_.persistent) / "servers";
    const auto armed = fs::path(paths_.persistent) / "armed";
    fs::remove(servers);
    fs::remove(armed);
    ASSERT_TRUE(store.save(state));
    EXPECT_FALSE(fs::exists(servers));
    State changed = state;
    changed.servers.clear();
    ASSERT_TRUE(store.save(changed));
    EXPECT_TRUE(fs::exists(servers));
    EXPECT_FALSE(fs::exists(armed));
}

TEST_F(StateStoreTest, DamageIsArmedAndKeepsTheRest)
{
    State open = some_state();
    open.armed = Armed::No;
    const std::vector<std::string> files = {paths_.run + "/state", paths_.persistent + "/servers",
                                            paths_.persistent + "/inside",
                                            paths_.persistent + "/armed"};
    for (const auto& file : files) {
        save(open);
        write(file, "garbage\n");
        fs::remove(paths_.persistent + "/state");
        const auto stored = load();
        EXPECT_FALSE(stored.absent) << file;
        EXPECT_EQ(stored.damage.size(), 1U) << file;
        EXPECT_EQ(stored.state.armed, Armed::Yes) << file;
        EXPECT_EQ(stored.state.tunnels.size() + stored.state.servers.size() +
                      stored.state.inside.size(),
                  file == files.back() ? 3U : 2U);
    }
}

TEST_F(StateStoreTest, FilesOfOtherUsersAreIgnored)
{
    State open = some_state();
    open.armed = Armed::No;
    const fs::path armed = paths_.persistent + "/armed";
    const auto expect_damage = [&](const char* what) {
        const auto stored = load();
        EXPECT_FALSE(stored.damage.empty()) << what;
        EXPECT_EQ(stored.state.armed, Armed::Yes) << what;
        // The next run puts right what it can.
        save(open);
    };
    save(open);
    fs::permissions(armed, fs::perms::group_write, fs::perm_options::add);
    expect_damage("group may write");
    EXPECT_EQ(load().state.armed, Armed::No);
    fs::permissions(armed, fs::perms::others_write, fs::perm_options::add);
    expect_damage("others may write");
    fs::rename(armed, root_ / "real");
    fs::create_symlink(root_ / "real", armed);
    expect_damage("link");
    fs::remove(armed);
    ASSERT_EQ(mkfifo(armed.c_str(), 0600), 0);
    expect_damage("fifo");
    EXPECT_EQ(load().state.armed, Armed::No);
    fs::permissions(paths_.persistent, fs::perms::others_write, fs::perm_options::add);
    EXPECT_EQ(load().damage.size(), 5U);
    fs::permissions(paths_.persistent, fs::perms::others_write, fs::perm_options::remove);
    paths_.owner = geteuid() + 1;
    EXPECT_EQ(load().damage.size(), 6U);
}

TEST_F(StateStoreTest, TooLargeFilesAreDamaged)
{
    write(paths_.persistent + "/servers", std::string(17 << 20, '#'));
    const auto stored = load();
    EXPECT_EQ(stored.damage.size(), 1U);
    EXPECT_FALSE(stored.absent);
}

TEST_F(StateStoreTest, SavingToAnUnusableFolderIsAnError)
{
    paths_.persistent = root_ / "no" / "such" / "parent";
    const auto saved = StateStore(paths_).save(some_state());
    ASSERT_FALSE(saved);
    EXPECT_EQ(load().state.tunnels, some_state().tunnels) << "the others are tried";
}

// ---- Configuration ----

TEST_F(StateStoreTest, NoConfigurationMeansDefaults)
{
    EXPECT_EQ(load_config(paths_).config, Config{});
    fs::create_directories(paths_.config);
    EXPECT_EQ(load_config(paths_).config, Config{});
    EXPECT_TRUE(load_config(paths_).damage.empty());
}

TEST_F(StateStoreTest, FragmentsInOrder)
{
    write(paths_.config + "/failclosed.conf", "[failclosed]\nlan=private\nlog=no\n");
    write(paths_.config + "/conf.d/20.conf", "[failclosed]\nlan=deny\n");
    write(paths_.config + "/conf.d/10.conf", "[failclosed]\nlan=on-link\n");
    write(paths_.config + "/conf.d/30.conf~", "garbage");
    write(paths_.config + "/conf.d/.40.conf", "garbage");
    const auto stored = load_config(paths_);
    EXPECT_TRUE(stored.damage.empty());
    EXPECT_EQ(stored.config.lan.kind, LanPolicy::Kind::Deny);
    EXPECT_FALSE(stored.config.log);
}

TEST_F(StateStoreTest, UnusableConfigurationMeansTheStrictest)
{
    const std::string main = paths_.config + "/failclosed.conf";
    const auto expect_strictest = [&](const char* what) {
        const auto stored = load_config(paths_);
        EXPECT_EQ(stored.config, strictest_config()) << what;
        EXPECT_EQ(stored.damage.size(), 1U) << what;
    };
    write(main, "[failclosed]\nlan=everything\n");
    expect_strictest("value");
    write(main, "[failclosed]\nlan=private\n");
    write(paths_.config + "/conf.d/10.conf", "x");
    expect_strictest("fragment");
    fs::remove_all(paths_.config + "/conf.d");
    EXPECT_TRUE(load_config(paths_).damage.empty());
    fs::permissions(main, fs::perms::group_write, fs::perm_options::add);
    expect_strictest("group may write");
    fs::remove(main);
    fs::create_symlink("/dev/null", main);
    expect_strictest("link");
    fs::remove(main);
    fs::create_directory(main);
    expect_strictest("directory");
    fs::remove(main);
    write(paths_.config + "/conf.d", "a file");
    expect_strictest("conf.d is a file");
}

TEST_F(StateStoreTest, AConfigurationThatIsALinkIsRefusedInPlainWords)
{
    const fs::path main = paths_.config + "/failclosed.conf";
    write(root_ / "real", "[failclosed]\nlan=private\n");
    fs::create_directories(paths_.config);
    fs::create_symlink(root_ / "real", main);
    const auto expect_refused = [&](const std::string& path) {
        const auto stored = load_config(paths_);
        ASSERT_EQ(stored.damage.size(), 1U);
        EXPECT_EQ(stored.damage.front(),
                  path + ": is a symbolic link, which is not followed; put the file or folder "
                         "itself there; the strictest settings apply until this is corrected");
    };
    expect_refused(main);
    fs::remove(main);
    fs::create_directories(root_ / "real.d");
    fs::create_directory_symlink(root_ / "real.d", paths_.config + "/conf.d");
    expect_refused(paths_.config + "/conf.d");
}

} // namespace
} // namespace failclosed
