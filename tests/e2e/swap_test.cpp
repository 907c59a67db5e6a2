// SPDX-License-Identifier: GPL-3.0-or-later
// The ruleset is replaced under load: nothing gets out, and nothing in the tunnel is lost.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/owned.hpp"
#include "tests/e2e/scene.hpp"
#include "tests/support/lab/pidfd.hpp"
#include "tests/support/traffic/echo_flow.hpp"
#include "tests/support/traffic/sniffer.hpp"
#include "tests/support/traffic/traffic.hpp"

namespace failclosed::lab {

namespace {

unsigned swaps()
{
    return rounds(100);
}

bool is_for_site(const Kind& kind)
{
    return kind.to == addr::site4 || kind.to == addr::site6;
}

/// What only the firewall holds.
std::vector<Kind> bound_kinds()
{
    std::vector<Kind> kinds;
    for (const auto& kind : all_kinds()) {
        if (kind.via != Via::Route && is_for_site(kind)) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

/// What goes into the tunnel; few, so that all that is lost there is lost to us.
std::vector<Kind> ordinary_kinds()
{
    std::vector<Kind> kinds;
    for (const auto& kind : all_kinds()) {
        if (kind.way == Way::Udp && kind.via == Via::Route && is_for_site(kind)) {
            kinds.push_back(kind);
        }
    }
    return kinds;
}

struct Flow {
    std::uint64_t sent = 0;
    std::uint64_t refused = 0;
    std::uint64_t unanswered = 0;
};

/// A counted stream through the tunnel and back while `work` runs.
Flow stream_during(const Lab& lab, const std::function<void()>& work)
{
    EchoFlow flow(lab, addr::inside4, std::chrono::milliseconds(2));
    EXPECT_TRUE(flow.wait_answers(10));
    work();
    flow.stop();
    return {flow.sent(), flow.refused(), flow.sent() - flow.answered()};
}

/// Room in a program's sockets for seconds: what is lost because the machine had no time to run it
/// would look like a loss of ours. OpenVPN itself may ask for no more than the kernel's usual.
void give_room(const Process& program)
{
    const UniqueFd process(pidfd_open(program.pid(), 0));
    const std::string folder = "/proc/" + std::to_string(program.pid()) + "/fd";
    int sockets = 0;
    for (const auto& file : std::filesystem::directory_iterator(folder)) {
        const int number = std::stoi(file.path().filename());
        const UniqueFd same(pidfd_getfd(process.get(), number, 0));
        const int size = 16 << 20;
        for (const int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
            sockets += setsockopt(same.get(), SOL_SOCKET, option, &size, sizeof(size)) == 0 ? 1 : 0;
        }
    }
    ASSERT_GE(sockets, 2) << "OpenVPN has a socket";
}

void print(const char* what, const Flow& flow)
{
    std::printf("%s: %llu sent into the tunnel, %llu refused, %llu unanswered\n", what,
                static_cast<unsigned long long>(flow.sent),
                static_cast<unsigned long long>(flow.refused),
                static_cast<unsigned long long>(flow.unanswered));
}

class Swap : public ::testing::Test {
  protected:
    Swap() : lab_(with_product()), server_(lab_), sniffer_(lab_) {}

    void SetUp() override
    {
        ASSERT_EQ(failclosed(lab_.client(), {"lock", "--server", "203.0.113.2:1194/udp"}).status,
                  0);
        client_.emplace(lab_);
        ASSERT_TRUE(client_->wait_connected()) << client_->log();
        // For what waits while the machine is busy with something else.
        lab_.client().ip("link set tun0 txqueuelen 10000\n");
        lab_.internet().ip("link set vpn1 txqueuelen 10000\n");
        ASSERT_NO_FATAL_FAILURE(give_room(client_->process()));
        ASSERT_NO_FATAL_FAILURE(give_room(server_.process()));
        bound_.emplace(lab_, Traffic::Options{bound_kinds(), std::chrono::milliseconds(4)});
        ordinary_.emplace(lab_, Traffic::Options{ordinary_kinds(), std::chrono::milliseconds(10)});
        sniffer_.settle();
        sniffer_.reset();
    }

    void TearDown() override
    {
        const auto counts = sniffer_.counts();
        EXPECT_EQ(counts.leaked, 0U) << counts.text();
        EXPECT_EQ(counts.lost, 0U);
        // The flood is one that would have been seen.
        EXPECT_EQ(failclosed(lab_.client(), {"unlock"}).status, 0);
        EXPECT_TRUE(sniffer_.wait_until([](const Counts& seen) { return seen.leaked > 100; }));
    }

    /// A number that the kernel gives anew to each rule that it loads.
    std::string handle() const
    {
        const std::string rules =
            lab_.client().must({"nft", "-a", "list", "chain", "inet", "failclosed", "output"});
        return rules.substr(rules.rfind("# handle"));
    }

    void reapply() const { lab_.client().must({"failclosed", "reapply"}); }

    void configure(const std::string& line) const
    {
        lab_.client().write_file("/etc/failclosed/failclosed.conf", "[failclosed]\n" + line + "\n");
    }

    /// Changes between two configurations under load; nothing in the tunnel is lost to it.
    void expect_no_loss(const std::string& one, const std::string& other,
                        const std::function<void()>& after_swap = {})
    {
        const Flow quiet = stream_during(lab_, [&] { ASSERT_TRUE(bound_->wait_all_sent(500)); });
        print("without swaps", quiet);
        const Flow busy = stream_during(lab_, [&] {
            for (unsigned i = 0; i < swaps() && !HasFailure(); ++i) {
                configure(i % 2 == 0 ? one : other);
                EXPECT_NE(failclosed(lab_.client(), {"check"}).status, 0);
                reapply();
                if (after_swap) {
                    after_swap();
                }
            }
        });
        print("with swaps", busy);
        EXPECT_EQ(busy.refused, 0U);
        EXPECT_EQ(busy.unanswered, 0U);
        EXPECT_EQ(quiet.unanswered, 0U);
    }

    Lab lab_;
    VpnServer server_;
    Sniffer sniffer_;
    std::optional<VpnClient> client_;
    std::optional<Traffic> bound_;
    std::optional<Traffic> ordinary_;
};

// Rules that log are others than rules that do not: all of them are loaded anew.
TEST_F(Swap, OfAllRulesAndSetsLosesAndLeaksNothing)
{
    std::string before = handle();
    expect_no_loss("log=no", "log=yes", [&] {
        const std::string after = handle();
        EXPECT_NE(after, before);
        before = after;
    });
}

TEST_F(Swap, OfElementsLosesAndLeaksNothing)
{
    expect_no_loss("lan=deny", "lan=private");
}

// Another program's counter in our table: the table is replaced as a whole by an equal one.
TEST_F(Swap, OfTheWholeTableLeaksNothing)
{
    const Flow busy = stream_during(lab_, [&] {
        for (unsigned i = 0; i < swaps(); ++i) {
            lab_.client().must({"nft", "add", "counter", "inet", "failclosed", "stranger"});
            reapply();
        }
    });
    print("with whole tables", busy);
    EXPECT_FALSE(
        lab_.client().run({"nft", "list", "counter", "inet", "failclosed", "stranger"}).ok());
}

} // namespace

} // namespace failclosed::lab
