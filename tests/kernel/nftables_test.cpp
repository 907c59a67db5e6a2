// SPDX-License-Identifier: GPL-3.0-or-later
// The nftables applier against the kernel, and nft(8) as the judge of what we send.
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <regex>
#include <thread>

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <linux/if_ether.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <sys/socket.h>

#include "core/apply/kernel/nftables.hpp"
#include "core/codec/nftables/text.hpp"
#include "core/plan/firewall/firewall.hpp"
#include "core/plan/firewall/interpreter.hpp"
#include "tests/kernel/network.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::ip;
using test::must;
using test::NetworkNamespace;
using test::port;
using test::prefix;

const std::vector<TableName> kTables = {{TableFamily::Inet, "failclosed"},
                                        {TableFamily::Arp, "failclosed"},
                                        {TableFamily::Netdev, "failclosed"}};

/// Each test in a network namespace of its own.
class NftablesTest : public testing::Test {
  protected:
    NetworkNamespace network = make_network();
    Nftables nftables = Nftables::open().value();

    /// With the devices of the sample.
    static NetworkNamespace make_network()
    {
        NetworkNamespace made = NetworkNamespace::make();
        ip("link add egress0 type veth peer name egress1\n");
        return made;
    }

    void load(const Ruleset& ruleset)
    {
        const Status status = nftables.replace(ruleset);
        ASSERT_TRUE(status) << status.error().message();
    }

    NftablesTest() { EXPECT_NE(mkdtemp(folder_.data()), nullptr); }

    ~NftablesTest() override { std::filesystem::remove_all(folder_); }

    /// The next run of a program whose earlier runs have noted what they saw.
    [[nodiscard]] Nftables next_run() const
    {
        Nftables run = Nftables::open().value();
        run.remember_in(memory());
        return run;
    }

    /// Replaces and looks, as one run.
    void run(const Ruleset& ruleset) const
    {
        Nftables run = next_run();
        const Status status = run.replace(ruleset);
        ASSERT_TRUE(status) << status.error().message();
        ASSERT_TRUE(*run.holds(ruleset));
    }

    /// By a look that remembers nothing.
    static bool really_holds(const Ruleset& ruleset)
    {
        return *Nftables::open().value().holds(ruleset);
    }

    [[nodiscard]] FirewallMemory memory() const { return FirewallMemory(folder_); }

    /// Whether a run believes that the kernel holds `ruleset`, where a note says so.
    [[nodiscard]] bool is_believed(const Ruleset& ruleset, SeenRules note) const
    {
        note.batch = encode(ruleset)->bytes;
        EXPECT_TRUE(memory().save(note));
        return *next_run().holds(ruleset);
    }

    bool holds(const Ruleset& ruleset)
    {
        const Result<bool> result = nftables.holds(ruleset);
        EXPECT_TRUE(result) << result.error().message();
        return result && *result;
    }

    static void nft(const std::string& command) { must({"nft", "-f", "-"}, command + "\n"); }

    /// What nft(8) says is loaded, one thing a line, without numbers that differ each time.
    static std::string listing()
    {
        const std::string json = std::regex_replace(must({"nft", "-j", "list", "ruleset"}),
                                                    std::regex("\"handle\": [0-9]+,? ?"), "");
        return std::regex_replace(json, std::regex("\\}\\}, \\{"), "}},\n{");
    }

  private:
    std::string folder_ = testing::TempDir() + "nftables_test.XXXXXX";
};

/// One base chain that accepts what the rule matches.
Ruleset with_rule(Rule rule, Hook hook = Hook::Output)
{
    return {{{TableFamily::Inet,
              "failclosed",
              {},
              {{"only", BaseChain{hook, 0, Verdict::Accept}, {std::move(rule)}}}}}};
}

TEST_F(NftablesTest, HoldsWhatItLoaded)
{
    const Ruleset ruleset = test::sample_ruleset();
    EXPECT_FALSE(holds(ruleset));
    EXPECT_FALSE(*nftables.exists());
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    EXPECT_TRUE(*nftables.exists());
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
}

/// The closing table was removed; the other one alone must not count as a lock.
TEST_F(NftablesTest, OnlyTheInetTableIsALock)
{
    State state;
    load(plan_firewall(state, {}, {}));
    EXPECT_TRUE(*nftables.exists());
    must({"nft", "delete", "table", "inet", "failclosed"});
    EXPECT_FALSE(*nftables.exists());
    EXPECT_FALSE(holds({}));
}

TEST_F(NftablesTest, NftReadsOurTextAsWeLoadIt)
{
    load(test::sample_ruleset());
    const std::string loaded = listing();
    const auto other = make_network();
    nft(to_nft(test::sample_ruleset()));
    EXPECT_EQ(loaded, listing());
}

TEST_F(NftablesTest, HoldsWhatNftLoadedFromOurText)
{
    nft(to_nft(with_rule({"only this", {test::sample_output_rules()[17].matches}, true, {}, {}})));
    EXPECT_TRUE(holds(with_rule({"only this", {IcmpType{8}}, true, {}, {}})));
}

/// Without sets, of which nft(8) tells the kernel more than we do, and two ports, which it reads in
/// one.
TEST_F(NftablesTest, HoldsWhatNftLoadedOfFramesAndTranslations)
{
    Ruleset ruleset = test::sample_ruleset();
    for (Table& table : ruleset.tables) {
        const auto is_said_otherwise = [](const Rule& rule) {
            return rule.comment == "DHCP" || std::holds_alternative<Dispatch>(rule.end) ||
                   std::ranges::any_of(rule.matches, [](const Match& match) {
                       return std::holds_alternative<InSet>(match);
                   });
        };
        table.sets.clear();
        for (Chain& chain : table.chains) {
            std::erase_if(chain.rules, is_said_otherwise);
        }
    }
    std::erase_if(ruleset.tables[0].chains, [](const Chain& chain) {
        return !chain.base || chain.base->type != ChainType::Nat;
    });
    ASSERT_EQ(ruleset.tables[0].chains.size(), 2U);
    nft(to_nft(ruleset));
    EXPECT_TRUE(holds(ruleset));
}

TEST_F(NftablesTest, NftPrintsFramesAndTranslations)
{
    load(test::sample_ruleset());
    // nft 1.1 writes masks as hexadecimal numbers, and a 0 that they are compared with as 0x0.
    const auto any_base = [](std::string text) {
        text = std::regex_replace(text, std::regex(R"(0x0*1fff\b)"), "8191");
        return std::regex_replace(text, std::regex(R"(\b0x0+\b)"), "0");
    };
    const std::string list = any_base(must({"nft", "list", "ruleset"}));
    for (const char* line :
         {"type filter hook egress device \"egress0\" priority filter; policy drop;",
          "type filter hook egress device \"egress1\" priority filter; policy drop;",
          "type nat hook prerouting priority dstnat; policy accept;",
          "dnat ip to 10.8.0.1 comment \"to our resolver\"",
          "dnat ip6 to fd00:8::1 comment \"to our resolver\"",
          "oifname \"tun0\" counter packets 0 bytes 0 masquerade comment \"guests\"",
          "ether saddr @macs counter packets 0 bytes 0 accept comment \"a guest\"",
          "ether daddr 01:80:c2:00:00:00 counter",
          "ip frag-off & 8191 != 0 meta skuid 1000 counter packets 0 bytes 0 accept comment \"a "
          "user's pieces\"",
          "frag frag-off != 0 meta mark 0x00000007 counter",
          "meta skgid . ip6 daddr @groups counter"}) {
        EXPECT_NE(list.find(line), std::string::npos) << line << "\n" << list;
    }
}

TEST_F(NftablesTest, NftPrintsComments)
{
    load(test::sample_ruleset());
    const std::string list = must({"nft", "list", "table", "inet", "failclosed"});
    EXPECT_NE(
        list.find("ip daddr @lan4 counter packets 0 bytes 0 accept comment \"the local network\""),
        std::string::npos)
        << list;
}

TEST_F(NftablesTest, ReplacesOneRulesetByAnother)
{
    const Ruleset small = with_rule({"small", {}, true, {}, Verdict::Drop});
    load(small);
    EXPECT_TRUE(holds(small));
    Ruleset large = test::sample_ruleset();
    load(large);
    EXPECT_TRUE(holds(large));
    EXPECT_FALSE(holds(small));
    large.tables[0].chains[1].base->priority = 5; // a base chain under the same name elsewhere
    large.tables[0].chains[2].base->policy = Verdict::Drop;
    load(large);
    EXPECT_TRUE(holds(large));
    load(small);
    EXPECT_TRUE(holds(small));
}

TEST_F(NftablesTest, DoesNotChangeOtherTables)
{
    const std::string foreign = "table inet other { chain c { type filter hook output priority 1; "
                                "tcp dport { 1, 2 } counter drop; }\n}\ntable ip failclosed { "
                                "chain c { }\n}";
    nft(foreign);
    const std::string before = listing();
    load(test::sample_ruleset());
    load(test::sample_ruleset());
    EXPECT_NE(before, listing());
    ASSERT_TRUE(nftables.remove(kTables));
    EXPECT_EQ(before, listing());
    EXPECT_TRUE(nftables.remove(kTables)) << "removing nothing is no failure";
    EXPECT_EQ(before, listing());
    EXPECT_FALSE(*nftables.exists());
}

TEST_F(NftablesTest, AnEmptyRulesetCanBeLoaded)
{
    EXPECT_TRUE(holds({}));
    load(test::sample_ruleset());
    EXPECT_FALSE(holds({}));
    Ruleset inet = test::sample_ruleset();
    inet.tables.pop_back();
    EXPECT_FALSE(holds(inet)) << "the table of ARP is too many";
    load(inet);
    EXPECT_TRUE(holds(inet));
    load({});
    EXPECT_TRUE(holds({}));
    EXPECT_FALSE(*nftables.exists());
}

struct ForeignChange {
    const char* name;
    const char* command;
};

State planned_state()
{
    State state;
    state.servers = {{*Remote::parse("203.0.113.2:1194/udp"), {}, {}},
                     {*Remote::parse("[2001:db8::2]:443/tcp"), {{0, 65534}, 7}, {}},
                     {*Remote::parse("203.0.113.3/esp"), {}, {}}};
    Tunnel& tunnel =
        state.tunnels.emplace_back(Tunnel{test::device("tun0"), {}, {}, {}, {}, {}, {}});
    tunnel.addresses = {{address("10.8.0.2"), 24}, {address("fd00:8::2"), 64}};
    tunnel.networks = {prefix("10.8.0.0/24"), prefix("10.9.0.0/16")};
    return state;
}

/// With all that a configuration can ask for.
Config every_role()
{
    Config config;
    config.forward = {test::device("egress1")};
    config.inbound = {{Transport::Tcp, port(22), prefix("198.51.100.0/24")},
                      {Transport::Udp, port(51820), prefix("::/0")}};
    config.belt_allow = {test::mac("52:54:00:12:34:56"), prefix("192.168.50.77/32"),
                         EtherType{0x88e5}};
    return config;
}

State state_with_portal()
{
    State state = planned_state();
    state.tunnels[0].resolvers = {address("10.8.0.1"), address("fd00:8::1")};
    state.portal = Portal{1000, 4321, {address("192.168.50.1")}, std::chrono::hours(1)};
    return state;
}

Snapshot two_links()
{
    Snapshot snapshot;
    unsigned index = 2;
    for (const InterfaceName& name : test::sample_devices()) {
        const std::string network = "192.168." + std::to_string(48 + index) + ".10";
        Link link{name, index++, true};
        link.addresses = {{address(network), 24}};
        snapshot.links.push_back(link);
    }
    return snapshot;
}

TEST_F(NftablesTest, HoldsPlannedRulesets)
{
    for (const Ruleset& ruleset :
         {base_ruleset(), plan_firewall(planned_state(), Config(), Snapshot()),
          plan_firewall(planned_state(), Config(), two_links()),
          plan_firewall(state_with_portal(), every_role(), two_links()),
          plan_firewall(state_with_portal(), every_role(), two_links(), Expressions::WithoutBelt),
          plan_firewall(planned_state(), Config(), two_links(), Expressions::Essential)}) {
        load(ruleset); // in the place of the one before
        EXPECT_TRUE(holds(ruleset));
        ASSERT_TRUE(nftables.remove(kTables));
        load(ruleset);
        const std::string loaded = listing();
        ASSERT_TRUE(nftables.remove(kTables));
        nft(to_nft(ruleset));
        EXPECT_EQ(loaded, listing());
    }
}

class ForeignChangeTest : public NftablesTest, public testing::WithParamInterface<ForeignChange> {};

TEST_P(ForeignChangeTest, IsSeenAndRepaired)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    ASSERT_TRUE(holds(ruleset));
    nft(GetParam().command);
    EXPECT_FALSE(holds(ruleset));
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
}

TEST_P(ForeignChangeTest, IsSeenAndRepairedByTheNextRun)
{
    const Ruleset ruleset = test::sample_ruleset();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_TRUE(*next_run().holds(ruleset));
    nft(GetParam().command);
    EXPECT_FALSE(*next_run().holds(ruleset));
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_TRUE(really_holds(ruleset));
}

INSTANTIATE_TEST_SUITE_P(
    Nft, ForeignChangeTest,
    testing::Values(
        ForeignChange{"RuleAdded", "add rule inet failclosed forward accept"},
        ForeignChange{"RuleInserted", "insert rule inet failclosed output accept"},
        ForeignChange{"RuleWithAnonymousSet",
                      "insert rule inet failclosed output tcp dport { 1, 2 } accept"},
        ForeignChange{"RuleWithAnonymousMap",
                      "insert rule inet failclosed output tcp dport vmap { 1 : drop }"},
        ForeignChange{"RulesOfChainGone", "flush chain inet failclosed output"},
        ForeignChange{"CommentOnly",
                      "flush chain inet failclosed tunnel\n"
                      "add rule inet failclosed tunnel meta nfproto ipv4 counter return comment "
                      "\"beck\""},
        ForeignChange{"ElementAdded", "add element inet failclosed lan4 { 8.8.8.0/24 }"},
        ForeignChange{"ElementRemoved", "delete element inet failclosed lan4 { 10.0.0.0/8 }"},
        ForeignChange{"ServerAdded",
                      "add element inet failclosed servers4 { 0 . 8.8.8.8 . udp . 53 }"},
        ForeignChange{"VerdictChanged",
                      "delete element inet failclosed by_device { \"old\" }\n"
                      "add element inet failclosed by_device { \"old\" : accept }"},
        ForeignChange{"PolicyChanged", "chain inet failclosed output { policy accept; }"},
        ForeignChange{"ChainAdded", "add chain inet failclosed extra"},
        ForeignChange{"BaseChainAdded",
                      "add chain inet failclosed extra { type filter hook output priority -5; }"},
        ForeignChange{"NatChainAdded",
                      "add chain inet failclosed extra { type nat hook output priority -5; }"},
        ForeignChange{"ChainDeleted", "delete chain inet failclosed forward"},
        ForeignChange{"ChainElsewhere",
                      "delete chain inet failclosed forward\nadd chain inet failclosed forward { "
                      "type filter hook forward priority 7; policy drop; }"},
        ForeignChange{"SetAdded", "add set inet failclosed extra { type ipv4_addr; }"},
        ForeignChange{"CounterAdded", "add counter inet failclosed extra"},
        ForeignChange{"TableDormant", "add table inet failclosed { flags dormant; }"},
        ForeignChange{"TableFlushed", "flush table inet failclosed"},
        ForeignChange{"TableDeleted", "delete table inet failclosed"},
        ForeignChange{"ArpTableDeleted", "delete table arp failclosed"},
        ForeignChange{"BeltDeleted", "delete table netdev failclosed"},
        ForeignChange{"DeviceReleased", "delete chain netdev failclosed device_egress1"},
        ForeignChange{"DeviceOpened", "chain netdev failclosed device_egress1 { policy accept; }"},
        ForeignChange{
            "DeviceAdded",
            "add chain netdev failclosed device_egress1 { type filter hook egress devices "
            "= { lo } priority 0; policy drop; }"},
        ForeignChange{"DeviceExchanged",
                      "delete chain netdev failclosed device_egress1\n"
                      "add chain netdev failclosed device_egress1 { type filter hook egress device "
                      "lo priority 0; policy drop; }"},
        ForeignChange{"MacAdded", "add element netdev failclosed macs { 2:0:0:0:0:1 }"},
        ForeignChange{"RedirectedElsewhere",
                      "insert rule inet failclosed guests_dns udp dport 53 dnat ip to 8.8.8.8"},
        ForeignChange{
            "FilterForNat",
            "delete chain inet failclosed guests_source\n"
            "add chain inet failclosed guests_source { type filter hook postrouting priority "
            "100; }"},
        ForeignChange{"EverythingDeleted", "flush ruleset"}),
    [](const auto& test) { return std::string(test.param.name); });

class ElementChangeTest : public NftablesTest, public testing::WithParamInterface<std::size_t> {
  protected:
    /// What names the rules, chains and sets that are loaded: other ones would have other numbers.
    static std::string handles()
    {
        const std::string json = must({"nft", "-a", "-j", "list", "ruleset"});
        const std::regex number("\"handle\": [0-9]+");
        std::string list;
        for (std::sregex_iterator match(json.begin(), json.end(), number), end; match != end;
             ++match) {
            list += match->str() + "\n";
        }
        return list;
    }

    /// The sample, with other elements in the set at `place`.
    static Ruleset changed(std::size_t place)
    {
        Ruleset ruleset = test::sample_ruleset();
        std::vector<SetElement>& elements = ruleset.tables[0].sets[place].elements;
        switch (place) {
        case 0: // verdicts: one changes, one goes
            elements[0].decision = Verdict::Drop;
            elements.pop_back();
            break;
        case 1: // a hash of concatenations
            elements[1].key[0] = Uid{7};
            elements.push_back({{Uid{8}, address("203.0.113.3"), Transport::Udp, port(1)}, {}});
            break;
        case 3: // intervals: two that touch, one that grows, one that shrinks, one at the end
            elements = {{{prefix("10.0.0.0/9")}, {}},
                        {{prefix("10.128.0.0/9")}, {}},
                        {{prefix("11.0.0.0/8")}, {}},
                        {{prefix("192.168.1.0/24")}, {}},
                        {{prefix("255.255.255.255/32")}, {}}};
            break;
        case 5: // all of it
            elements = {{{prefix("::/1")}, {}}};
            break;
        case 6: // intervals in concatenations
            elements[0].key[1] = prefix("10.8.0.0/16");
            elements.push_back({{test::device("tun2"), prefix("10.9.0.1/32")}, {}});
            break;
        default: // verdicts of intervals
            elements[0].decision = Verdict::Drop;
            elements[1].key[0] = prefix("240.0.0.0/5");
            break;
        }
        return ruleset;
    }
};

TEST_P(ElementChangeTest, ReplacesOnlyElements)
{
    const Ruleset before = test::sample_ruleset();
    const Ruleset after = changed(GetParam());
    load(before);
    const std::string loaded = handles();
    for (int i = 0; i < 2; ++i) {
        load(after);
        EXPECT_TRUE(holds(after));
        EXPECT_FALSE(holds(before));
        EXPECT_EQ(handles(), loaded);
        EXPECT_TRUE(*Nftables::open().value().holds(after)) << "seen by another look";
        load(before);
        EXPECT_TRUE(holds(before));
        EXPECT_EQ(handles(), loaded);
    }
}

TEST_P(ElementChangeTest, IsRepairedWithoutReplacingRules)
{
    const Ruleset ruleset = changed(GetParam());
    load(ruleset);
    const std::string loaded = handles();
    nft("delete element inet failclosed protocols { esp }\n"
        "add element inet failclosed lan4 { 8.8.8.0/24 comment \"theirs\" }\n"
        "add element inet failclosed by_device { \"eth7\" : goto tunnel }");
    EXPECT_FALSE(holds(ruleset));
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    EXPECT_EQ(handles(), loaded);
}

TEST_P(ElementChangeTest, IsAppliedByConsecutiveRuns)
{
    const Ruleset before = test::sample_ruleset();
    const Ruleset after = changed(GetParam());
    ASSERT_NO_FATAL_FAILURE(run(before));
    const std::string loaded = handles();
    for (int i = 0; i < 2; ++i) {
        ASSERT_NO_FATAL_FAILURE(run(after));
        EXPECT_TRUE(really_holds(after));
        EXPECT_FALSE(*next_run().holds(before));
        ASSERT_NO_FATAL_FAILURE(run(before));
        EXPECT_TRUE(really_holds(before));
    }
    EXPECT_EQ(handles(), loaded);
}

INSTANTIATE_TEST_SUITE_P(Sets, ElementChangeTest, testing::Values(0, 1, 3, 5, 6, 7));

/// `set` with one element: a resolver that may be asked over UDP.
Set with_resolver(const Set& set)
{
    return {set.handle, {{{address("192.0.2.53"), Transport::Udp}, {}}}};
}

TEST_F(NftablesTest, ExchangingElementsKeepsTimedOnesAndSeesLaterChanges)
{
    Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const Set timed = with_resolver(ruleset.tables[0].sets[8]);
    ASSERT_TRUE(nftables.add_timed(kTables[0], timed, std::chrono::minutes(10)));
    ruleset.tables[0].sets[1].elements.pop_back();
    load(ruleset);
    EXPECT_NE(must({"nft", "list", "set", "inet", "failclosed", "resolvers"}).find("192.0.2.53"),
              std::string::npos);
    EXPECT_TRUE(holds(ruleset));
    nft("add rule inet failclosed forward accept");
    EXPECT_FALSE(holds(ruleset)) << "what was seen before is not taken for what is there";
}

// ---- From one run to the next ----

/// The sample without a rule: what is not in the kernel.
Ruleset other_rules()
{
    Ruleset ruleset = test::sample_ruleset();
    ruleset.tables[0].chains[0].rules.pop_back();
    return ruleset;
}

TEST_F(NftablesTest, RulesReadByARunAreNotReadAgain)
{
    const Ruleset ruleset = test::sample_ruleset();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    const auto seen = memory().load();
    ASSERT_TRUE(seen);
    EXPECT_TRUE(is_believed(other_rules(), *seen));
    EXPECT_FALSE(really_holds(other_rules()));
    EXPECT_TRUE(*next_run().holds(ruleset)) << "others are looked for";
    EXPECT_EQ(memory().load(), seen);
}

TEST_F(NftablesTest, RulesWithoutAUsableNoteAreRead)
{
    ASSERT_NO_FATAL_FAILURE(run(test::sample_ruleset()));
    const SeenRules seen = *memory().load();
    EXPECT_TRUE(is_believed(other_rules(), seen)) << "else this shows nothing";
    SeenRules elsewhere = seen;
    ++elsewhere.network;
    EXPECT_FALSE(is_believed(other_rules(), elsewhere));
    SeenRules earlier = seen;
    --earlier.generation;
    EXPECT_FALSE(is_believed(other_rules(), earlier));

    EXPECT_TRUE(is_believed(other_rules(), seen));
    nft("add table inet strangers");
    EXPECT_FALSE(*next_run().holds(other_rules())) << "anything may have changed";
}

// Before Linux 6.16 a chain goes with its device, and no ruleset is said to have changed.
TEST_F(NftablesTest, ChainsAreReadInAnyCase)
{
    ASSERT_NO_FATAL_FAILURE(run(test::sample_ruleset()));
    const SeenRules seen = *memory().load();
    Ruleset more = test::sample_ruleset();
    more.tables[0].chains.push_back({"more", std::nullopt, {}});
    EXPECT_FALSE(is_believed(more, seen));
    Ruleset fewer = test::sample_ruleset();
    fewer.tables[2].chains.pop_back();
    EXPECT_FALSE(is_believed(fewer, seen));
    Ruleset elsewhere = test::sample_ruleset();
    elsewhere.tables[2].chains.back().base->device = test::device("lo");
    EXPECT_FALSE(is_believed(elsewhere, seen));
}

TEST_F(NftablesTest, EachNetworkNamespaceHasItsOwnNumber)
{
    const Ruleset ruleset = test::sample_ruleset();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    const SeenRules here = *memory().load();
    const NetworkNamespace another = make_network();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_NE(memory().load()->network, here.network);
}

TEST_F(NftablesTest, RefusedBatchChangesNothing)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const std::string before = listing();
    Ruleset broken = ruleset;
    broken.tables[0].chains[1].rules[3] = {
        "broken",
        {InSet{{.name = "no_such_set", .key = {Field::Source4}}}},
        true,
        {},
        Verdict::Accept};
    const Status status = nftables.replace(broken);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().number(), ENOENT);
    EXPECT_NE(status.error().message().find("rule 'broken' in chain output"), std::string::npos)
        << status.error().message();
    EXPECT_EQ(before, listing());
    EXPECT_TRUE(holds(ruleset));

    broken = ruleset; // the same prefix twice, as a bad element
    broken.tables[0].sets[3].elements.push_back({{prefix("10.1.0.0/16")}, {}});
    const Status refused = nftables.replace(broken);
    ASSERT_FALSE(refused);
    EXPECT_NE(refused.error().message().find("elements of set lan4"), std::string::npos)
        << refused.error().message();
    EXPECT_TRUE(holds(ruleset));
}

/// As a kernel without the hook refuses it: what was there stays, also in the other tables.
TEST_F(NftablesTest, RefusedBeltChangesNothing)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const std::string before = listing();
    Ruleset broken = ruleset;
    broken.tables[0].chains[0].rules.pop_back();
    broken.tables[2].chains.push_back(broken.tables[2].chains.back()); // one device, another chain
    broken.tables[2].chains.back().name = "again";
    broken.tables[2].chains.back().rules = {
        {"broken",
         {InSet{{.name = "no_such_set", .key = {Field::SourceMac}}}},
         true,
         {},
         Verdict::Accept}};
    const Status status = nftables.replace(broken);
    ASSERT_FALSE(status);
    EXPECT_NE(status.error().message().find("rule 'broken' in chain again"), std::string::npos)
        << status.error().message();
    EXPECT_EQ(before, listing());
    EXPECT_TRUE(holds(ruleset));
}

TEST_F(NftablesTest, RefusesWhatNftablesCannotExpress)
{
    Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const auto refused = [&](const Ruleset& bad) { return !nftables.replace(bad).has_value(); };
    EXPECT_TRUE(refused(with_rule({std::string(128, 'x'), {}, true, {}, {}})));
    EXPECT_TRUE(refused(with_rule({"\"; drop", {}, true, {}, {}})));
    EXPECT_TRUE(refused(with_rule({"line\nbreak", {}, true, {}, {}})));
    EXPECT_TRUE(refused(with_rule({"jump", {}, true, {}, Jump{"nowhere"}})));
    EXPECT_TRUE(holds(ruleset));
}

Ruleset with_servers(std::uint32_t count)
{
    Set servers{
        {.name = "servers",
         .key = {Field::SocketUid, Field::Destination4, Field::Protocol, Field::DestinationPort}},
        {}};
    Set networks{{.name = "networks", .key = {Field::Destination4}, .intervals = true}, {}};
    for (std::uint32_t i = 0; i < count; ++i) {
        const std::array<std::uint8_t, 4> bytes = {10, static_cast<std::uint8_t>(i >> 16),
                                                   static_cast<std::uint8_t>(i >> 8),
                                                   static_cast<std::uint8_t>(i)};
        const auto host = IpAddress::from_bytes(bytes).value();
        servers.elements.push_back({{Uid{0}, host, Transport::Udp, port(1194)}, {}});
        networks.elements.push_back({{IpPrefix::host(host)}, {}});
    }
    const Rule rule{"a server", {InSet{servers.handle}}, true, {}, Verdict::Accept};
    return {{{TableFamily::Inet,
              "failclosed",
              {servers, networks},
              {{"output", BaseChain{Hook::Output, 0, Verdict::Drop}, {rule}}}}}};
}

TEST_F(NftablesTest, TakesTenThousandServers)
{
    Ruleset ruleset = with_servers(10'000);
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    ruleset.tables[0].sets[0].elements.pop_back();
    EXPECT_FALSE(holds(ruleset));
}

TEST_F(NftablesTest, TimedElementsExpireAndDoNotCount)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const Set resolvers = with_resolver(ruleset.tables[0].sets[8]);
    // More than nft(8) needs to look, on a machine that is busy as well.
    const Status status = nftables.add_timed(kTables[0], resolvers, std::chrono::seconds(3));
    ASSERT_TRUE(status) << status.error().message();
    const auto listed = [] {
        return must({"nft", "list", "set", "inet", "failclosed", "resolvers"}).find("192.0.2.53") !=
               std::string::npos;
    };
    EXPECT_TRUE(listed());
    EXPECT_TRUE(holds(ruleset));
    const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (listed() && std::chrono::steady_clock::now() < limit) {
    }
    EXPECT_FALSE(listed());
    EXPECT_FALSE(nftables.add_timed(kTables[0], with_resolver(ruleset.tables[0].sets[1]),
                                    std::chrono::seconds(1)));
}

TEST_F(NftablesTest, TakesTimedElementsInTheBelt)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    const Set resolvers = with_resolver(ruleset.tables[2].sets[4]);
    const Status status = nftables.add_timed(kTables[2], resolvers, std::chrono::minutes(10));
    ASSERT_TRUE(status) << status.error().message();
    EXPECT_NE(must({"nft", "list", "set", "netdev", "failclosed", "resolvers"}).find("192.0.2.53"),
              std::string::npos);
    EXPECT_TRUE(holds(ruleset));
}

/// Sends one datagram over loopback; false where the kernel refused it.
bool send_datagram(const char* target, std::uint16_t number, int* error = nullptr)
{
    const bool v6 = std::string(target).find(':') != std::string::npos;
    const UniqueFd socket(::socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in6 to6{};
    sockaddr_in to4{};
    to6.sin6_family = AF_INET6;
    to6.sin6_port = htons(number);
    to4.sin_family = AF_INET;
    to4.sin_port = htons(number);
    inet_pton(v6 ? AF_INET6 : AF_INET, target,
              v6 ? static_cast<void*>(&to6.sin6_addr) : static_cast<void*>(&to4.sin_addr));
    const auto* to =
        v6 ? reinterpret_cast<const sockaddr*>(&to6) : reinterpret_cast<const sockaddr*>(&to4);
    const socklen_t size = v6 ? sizeof to6 : sizeof to4;
    const bool sent = sendto(socket.get(), "x", 1, 0, to, size) == 1;
    if (error != nullptr) {
        *error = sent ? 0 : errno;
    }
    return sent;
}

TEST_F(NftablesTest, CountersContinueAcrossReplacements)
{
    const Ruleset ruleset =
        with_rule({"counted", {ToPort{Transport::Udp, port(9)}}, true, {}, Verdict::Drop});
    load(ruleset);
    EXPECT_FALSE(send_datagram("127.0.0.1", 9));
    const CounterKey key{kTables[0], "only", "counted"};
    EXPECT_EQ(nftables.counters(kTables)->at(key), (Counter{1, 29}));
    Ruleset longer = ruleset;
    longer.tables[0].chains[0].rules.push_back({"more", {}, false, {}, Verdict::Accept});
    load(longer);
    EXPECT_EQ(nftables.counters(kTables)->at(key), (Counter{1, 29}));
    EXPECT_FALSE(send_datagram("127.0.0.1", 9));
    EXPECT_TRUE(holds(longer));
    nft("add counter inet failclosed foreign"); // makes the next one a replacement from nothing
    EXPECT_FALSE(holds(ruleset));
    load(ruleset);
    EXPECT_EQ(nftables.counters(kTables)->at(key), (Counter{2, 58}));
    EXPECT_TRUE(holds(ruleset));
}

TEST_F(NftablesTest, CountersContinueFromOneRunToTheNext)
{
    Ruleset ruleset =
        with_rule({"counted", {ToPort{Transport::Udp, port(9)}}, true, {}, Verdict::Drop});
    ruleset.tables[0].sets = {{{.name = "addresses", .key = {Field::Destination4}}, {}}};
    const CounterKey key{kTables[0], "only", "counted"};
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_FALSE(send_datagram("127.0.0.1", 9));
    // The same rules, which are not read, but more than elements to exchange.
    ruleset.tables[0].sets[0].handle.timeouts = true;
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_EQ(nftables.counters(kTables)->at(key), (Counter{1, 29}));
    ruleset.tables[0].chains[0].rules.push_back({"more", {}, false, {}, Verdict::Accept});
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_EQ(nftables.counters(kTables)->at(key), (Counter{1, 29}));
    EXPECT_TRUE(really_holds(ruleset));
}

TEST_F(NftablesTest, CountersOfRulesThatShareACommentAreSummed)
{
    Ruleset ruleset =
        with_rule({"DNS", {ToPort{Transport::Udp, port(53)}}, true, {}, Verdict::Drop});
    ruleset.tables[0].chains[0].rules.push_back(
        {"DNS", {ToPort{Transport::Udp, port(853)}}, true, {}, Verdict::Drop});
    load(ruleset);
    for (int i = 0; i < 3; ++i) {
        EXPECT_FALSE(send_datagram("127.0.0.1", 53));
        EXPECT_FALSE(send_datagram("::1", 853));
        ruleset.tables[0].chains[0].base->policy = i == 0 ? Verdict::Drop : Verdict::Accept;
        ruleset.tables[0].chains[0].rules.push_back({"more", {}, false, {}, {}});
        load(ruleset);
    }
    EXPECT_EQ(nftables.counters(kTables)->at({kTables[0], "only", "DNS"}).packets, 6U);
}

TEST_F(NftablesTest, RejectsReachProgramsAtOnce)
{
    load(with_rule({"refused", {}, true, {}, Verdict::Reject}));
    int error = 0;
    EXPECT_FALSE(send_datagram("127.0.0.1", 9, &error));
    EXPECT_EQ(error, EPERM);
    EXPECT_FALSE(send_datagram("::1", 9, &error));
    const std::string list = must({"nft", "list", "table", "inet", "failclosed"});
    EXPECT_NE(list.find("reject with icmp admin-prohibited"), std::string::npos) << list;
    EXPECT_NE(list.find("reject with icmpv6 no-route"), std::string::npos) << list;
}

TEST_F(NftablesTest, LogLimitDoesNotLimitTheVerdict)
{
    load(with_rule({"refused", {}, true, {Log{"x", 1, 1}}, Verdict::Drop}));
    for (int i = 0; i < 5; ++i) {
        EXPECT_FALSE(send_datagram("127.0.0.1", 9));
    }
}

TEST_F(NftablesTest, KernelAgreesWithTheInterpreter)
{
    Ruleset ruleset =
        with_rule({"to one address", {ToNetwork{prefix("127.0.0.2/32")}}, true, {}, Verdict::Drop});
    auto& table = ruleset.tables[0];
    table.sets = {
        {{.name = "ports", .key = {Field::SocketUid, Field::Protocol, Field::DestinationPort}},
         {{{Uid{0}, Transport::Udp, port(10)}, {}},
          {{Uid{7}, Transport::Udp, port(11)}, {}},
          {{Uid{0}, Transport::Tcp, port(12)}, {}}}},
        {{.name = "by_network", .key = {Field::Destination4}, .intervals = true, .verdicts = true},
         {{{prefix("127.1.0.0/16")}, Jump{"more"}}, {{prefix("127.2.0.0/15")}, Verdict::Drop}}}};
    table.chains.insert(
        table.chains.begin(),
        {"more", {}, {{"some", {ToPort{Transport::Udp, port(20)}}, false, {}, Verdict::Drop}}});
    auto& rules = table.chains[1].rules;
    rules.push_back({"in a set", {InSet{table.sets[0].handle}}, true, {}, Verdict::Drop});
    rules.push_back({"by map", {}, true, {}, Dispatch{table.sets[1].handle}});
    rules.push_back(
        {"of IPv6",
         {InFamily{Family::V6}, ToPort{Transport::Udp, port(30)}, ToInterface{test::device("lo")}},
         true,
         {},
         Verdict::Reject});
    load(ruleset);
    for (const char* target : {"127.0.0.1", "127.0.0.2", "127.1.2.3", "127.2.0.0", "127.3.255.255",
                               "127.4.0.0", "::1"}) {
        for (const std::uint16_t number : std::to_array<std::uint16_t>({10, 11, 12, 20, 30})) {
            Packet packet;
            packet.output = test::device("lo");
            packet.destination = packet.source = address(target);
            packet.source_port = port(1);
            packet.destination_port = port(number);
            packet.uid = 0;
            EXPECT_EQ(send_datagram(target, number),
                      evaluate(ruleset, Hook::Output, packet).verdict == Verdict::Accept)
                << target << " " << number;
        }
    }
}

/// Sends without a pause while it lives; counts what came through and what did not.
class Flood {
  public:
    Flood(const char* target, std::uint16_t number)
        : Flood([target, number] { return send_datagram(target, number); })
    {
    }

    explicit Flood(std::function<bool()> send)
        : thread_([this, send = std::move(send)] {
              while (!stop_) {
                  ++(send() ? sent : refused);
              }
          })
    {
    }

    ~Flood() { finish(); }

    void finish()
    {
        stop_ = true;
        if (thread_.joinable()) {
            thread_.join();
        }
    }

    std::atomic<long> sent = 0;
    std::atomic<long> refused = 0;

  private:
    std::atomic<bool> stop_ = false;
    std::thread thread_;
};

using Bytes = std::vector<std::uint8_t>;

Bytes& operator+=(Bytes& bytes, const Bytes& more)
{
    bytes.insert(bytes.end(), more.begin(), more.end());
    return bytes;
}

/// An Ethernet frame from `source` to `target`.
Bytes frame(const MacAddress& target, const MacAddress& source, std::uint16_t type,
            const Bytes& content)
{
    Bytes bytes(target.bytes().begin(), target.bytes().end());
    bytes.insert(bytes.end(), source.bytes().begin(), source.bytes().end());
    bytes += {static_cast<std::uint8_t>(type >> 8), static_cast<std::uint8_t>(type & 0xff)};
    return bytes += content;
}

/// A packet socket in the current network namespace.
class FrameSender {
  public:
    /// False where the kernel refused it. The kernel is told that its type is `said`.
    [[nodiscard]] bool send(const char* device, const Bytes& bytes, std::uint16_t said) const
    {
        sockaddr_ll to{};
        to.sll_family = AF_PACKET;
        to.sll_protocol = htons(said);
        to.sll_ifindex = static_cast<int>(if_nametoindex(device));
        return sendto(socket_.get(), bytes.data(), bytes.size(), 0,
                      reinterpret_cast<const sockaddr*>(&to),
                      sizeof to) == static_cast<ssize_t>(bytes.size());
    }

  private:
    UniqueFd socket_{socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0)};
};

/// The tests about frames: both devices are up.
class FramesTest : public NftablesTest {
  protected:
    FramesTest() { bring_up(); }

    static void bring_up() { ip("link set egress0 up\nlink set egress1 up\n"); }

    static void make_devices()
    {
        ip("link add egress0 type veth peer name egress1\n");
        bring_up();
    }

    /// Whether a frame of this type comes through.
    [[nodiscard]] bool passes(const char* device, std::uint16_t type) const
    {
        return sender.send(device, frame(kNeighbour, kOwn, type, Bytes(46)), type);
    }

    /// What nft(8) says of the chain, with its number and those of its rules.
    static std::string chain_with_handles(const std::string& name)
    {
        return must({"nft", "-a", "list", "chain", "netdev", "failclosed", name});
    }

    static std::string handle_of(const std::string& chain)
    {
        const std::string text = chain_with_handles(chain);
        std::smatch match;
        std::regex_search(text, match, std::regex("chain [^ ]+ \\{ # handle ([0-9]+)"));
        return match.str(1);
    }

    FrameSender sender;

    static inline const MacAddress kOwn = test::mac("02:00:00:00:00:01");
    static inline const MacAddress kNeighbour = test::mac("02:00:00:00:00:02");
};

constexpr std::uint16_t kEapol = 0x888e;
constexpr std::uint16_t kOther = 0x88b5;

/// A kernel that knows devices by name (Linux 6.16) holds on to one that is not there; before that
/// the chain is made again at the next look.
TEST_F(FramesTest, DeviceThatReturnsIsClosedAgain)
{
    const Ruleset ruleset = test::sample_ruleset();
    load(ruleset);
    EXPECT_TRUE(passes("egress0", kEapol));
    EXPECT_FALSE(passes("egress0", kOther));
    const std::string chain = handle_of("device_egress0");
    ip("link delete egress0\n");
    const bool by_name = holds(ruleset);
    make_devices();
    if (!by_name) {
        load(ruleset);
    }
    EXPECT_TRUE(holds(ruleset));
    EXPECT_EQ(handle_of("device_egress0") == chain, by_name);
    for (const char* device : {"egress0", "egress1"}) {
        EXPECT_TRUE(passes(device, kEapol)) << device;
        EXPECT_FALSE(passes(device, kOther)) << device;
    }
}

// No ruleset has changed, as the kernel counts.
TEST_F(FramesTest, DeviceThatReturnsIsClosedAgainByTheNextRun)
{
    const Ruleset ruleset = test::sample_ruleset();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    ip("link delete egress0\n");
    make_devices();
    EXPECT_EQ(*next_run().holds(ruleset), really_holds(ruleset));
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_TRUE(really_holds(ruleset));
    for (const char* device : {"egress0", "egress1"}) {
        EXPECT_TRUE(passes(device, kEapol)) << device;
        EXPECT_FALSE(passes(device, kOther)) << device;
    }
}

TEST_F(FramesTest, RenamedDeviceIsSeenByTheNextRun)
{
    const Ruleset ruleset = test::sample_ruleset();
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    ip("link set egress0 name elsewhere\nlink set egress1 name egress0\n"
       "link set elsewhere name egress1\n");
    EXPECT_EQ(*next_run().holds(ruleset), really_holds(ruleset));
    ASSERT_NO_FATAL_FAILURE(run(ruleset));
    EXPECT_TRUE(really_holds(ruleset));
}

TEST_F(FramesTest, DevicesAreReplacedOneByOneUnderAFlood)
{
    const Ruleset both = test::sample_ruleset();
    Ruleset one = both;
    one.tables[2].chains.pop_back();
    load(one);
    const std::string kept = handle_of("device_egress0");
    EXPECT_TRUE(passes("egress1", kOther));
    Flood admitted([this] { return passes("egress0", kEapol); });
    Flood refused([this] { return passes("egress0", kOther); });
    while (admitted.sent == 0 || refused.refused == 0) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 50; ++i) {
        load(i % 2 == 0 ? both : one);
    }
    load(both);
    admitted.finish();
    refused.finish();
    EXPECT_EQ(admitted.refused, 0);
    EXPECT_EQ(refused.sent, 0);
    EXPECT_TRUE(holds(both));
    EXPECT_EQ(handle_of("device_egress0"), kept);
    EXPECT_FALSE(passes("egress1", kOther));
}

TEST_F(FramesTest, ChainThatMovesToAnotherDeviceIsCreatedAgain)
{
    Ruleset ruleset = test::sample_ruleset();
    ruleset.tables[2].chains.pop_back();
    load(ruleset);
    ruleset.tables[2].chains.back().base->device = test::device("egress1");
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    EXPECT_TRUE(passes("egress0", kOther));
    EXPECT_FALSE(passes("egress1", kOther));
}

Bytes ipv4(const char* target, std::uint16_t fragment, std::uint8_t protocol, const Bytes& content)
{
    const auto length = static_cast<std::uint8_t>(20 + content.size());
    Bytes bytes = {0x45,
                   0,
                   0,
                   length,
                   0,
                   1,
                   static_cast<std::uint8_t>(fragment >> 8),
                   static_cast<std::uint8_t>(fragment & 0xff),
                   64,
                   protocol,
                   0,
                   0,
                   192,
                   168,
                   1,
                   2};
    const IpAddress receiver = address(target);
    for (const std::uint8_t byte : receiver.bytes()) {
        bytes.push_back(byte);
    }
    return bytes += content;
}

Bytes ipv6(const char* target, std::uint8_t header, const Bytes& content)
{
    Bytes bytes = {0x60, 0, 0, 0, 0, static_cast<std::uint8_t>(content.size()), header, 255};
    for (const char* side : {"fd00::2", target}) {
        const IpAddress end = address(side);
        for (const std::uint8_t byte : end.bytes()) {
            bytes.push_back(byte);
        }
    }
    return bytes += content;
}

struct FrameCase {
    const char* what;
    Bytes bytes;
    /// What the kernel is told.
    std::uint16_t type = 0;
    Packet packet;
};

/// Frames that a packet socket sends, and what they are to the interpreter.
std::vector<FrameCase> frame_cases()
{
    const MacAddress own = test::mac("02:00:00:00:00:01");
    const MacAddress guest = test::mac("52:54:00:12:34:56");
    const MacAddress other = test::mac("02:00:00:00:00:02");
    Packet base;
    base.output = test::device("egress0");
    base.source_mac = own;
    base.destination_mac = other;
    base.uid = 0;
    base.gid = 0;
    Packet to4 = base;
    to4.source = address("192.168.1.2");
    to4.destination = address("203.0.113.5");
    to4.source_port = port(68);
    to4.destination_port = port(67);
    Packet to6 = base;
    to6.source = address("fd00::2");
    to6.destination = address("2001:db8::53");
    to6.protocol = IPPROTO_ICMPV6;
    to6.icmp_type = 135;
    to6.hop_limit = 255;
    const Bytes udp = {0, 68, 0, 67, 0, 8, 0, 0};
    const Bytes solicitation = {135, 0, 0, 0, 0, 0, 0, 0};
    std::vector<FrameCase> cases;
    const auto add = [&](const char* what, const Bytes& bytes, std::uint16_t type, Packet packet) {
        cases.push_back({what, bytes, type, std::move(packet)});
    };
    const auto add_ip = [&](const char* what, std::uint16_t type, const Bytes& content,
                            const Packet& packet) {
        add(what, frame(other, own, type, content), type, packet);
    };

    add_ip("UDP", ETH_P_IP, ipv4("203.0.113.5", 0, IPPROTO_UDP, udp), to4);
    Packet packet = to4;
    packet.later_fragment = true;
    add_ip("a later fragment", ETH_P_IP, ipv4("203.0.113.5", 185, IPPROTO_UDP, udp), packet);
    packet = to4;
    packet.destination = address("192.168.1.9");
    add_ip("a first fragment", ETH_P_IP, ipv4("192.168.1.9", 0x2000, IPPROTO_UDP, udp), packet);
    add_ip("a neighbour solicitation", ETH_P_IPV6,
           ipv6("2001:db8::53", IPPROTO_ICMPV6, solicitation), to6);
    packet = to6;
    packet.later_fragment = true;
    Bytes fragment = {IPPROTO_ICMPV6, 0, 0, 8, 0, 0, 0, 1};
    add_ip("a later fragment of IPv6", ETH_P_IPV6,
           ipv6("2001:db8::53", IPPROTO_FRAGMENT, fragment += solicitation), packet);
    fragment = {IPPROTO_ICMPV6, 0, 0, 1, 0, 0, 0, 1};
    add_ip("a first fragment of IPv6", ETH_P_IPV6,
           ipv6("2001:db8::53", IPPROTO_FRAGMENT, fragment += solicitation), to6);
    packet = to4;
    packet.source_mac = guest;
    add("a guest's", frame(other, guest, ETH_P_IP, ipv4("203.0.113.5", 0, IPPROTO_UDP, udp)),
        ETH_P_IP, packet);

    packet = base;
    packet.arp = ArpAddresses{address("192.168.1.2"), address("192.168.1.1")};
    Bytes question = {0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0, 1, 192, 168, 1, 2, 0, 0, 0, 0, 0, 0};
    Bytes asked = question;
    add_ip("ARP", ETH_P_ARP, asked += {192, 168, 1, 1}, packet);
    packet.arp->target = address("203.0.113.5");
    add_ip("ARP for others", ETH_P_ARP, question += {203, 0, 113, 5}, packet);

    packet = base;
    packet.ether_type = EtherType{kEapol};
    add_ip("EAPOL", kEapol, Bytes(46), packet);
    packet.mislabelled = true;
    add("IP said to be EAPOL",
        frame(other, own, ETH_P_IP, ipv4("203.0.113.5", 0, IPPROTO_UDP, udp)), kEapol, packet);
    packet.mislabelled = false;
    packet.ether_type = EtherType{kOther};
    add_ip("another type", kOther, Bytes(46), packet);
    packet.destination_mac = test::mac("01:80:c2:00:00:00");
    add("spanning tree", frame(*packet.destination_mac, own, kOther, Bytes(46)), kOther, packet);

    // Where the rules look for the target stands 192.168.1.5: a part of the real sender's address.
    packet = to4;
    packet.mislabelled = true;
    packet.destination = address("192.168.1.5");
    Bytes hidden = ipv6("2001:db8::53", IPPROTO_UDP, udp);
    std::ranges::copy(Bytes{192, 168, 1, 5}, hidden.begin() + 16);
    add("IPv6 said to be IPv4", frame(other, own, ETH_P_IPV6, hidden), ETH_P_IP, packet);
    // The same behind VLAN tags that name no VLAN, whose bytes are the beginning of a header.
    packet = to6;
    packet.mislabelled = true;
    packet.destination = address("fd00:8::");
    Bytes tagged = {0x60, 0x00, 0x86, 0xdd};
    Bytes inner = ipv6("2001:db8::53", IPPROTO_ICMPV6, solicitation);
    std::ranges::copy(Bytes{0xfd, 0x00, 0x00, 0x08}, inner.begin() + 20);
    add("IPv6 in a VLAN said to be in none", frame(other, own, ETH_P_8021Q, tagged += inner),
        ETH_P_IPV6, packet);
    return cases;
}

TEST_F(FramesTest, KernelAgreesWithTheInterpreter)
{
    Ruleset ruleset = test::sample_ruleset();
    Table& belt = ruleset.tables[2];
    // All that decides has to be honest; who may send is a packet socket of the superuser.
    belt.chains.insert(
        belt.chains.begin(),
        {"packets",
         {},
         {{"pieces", {LaterFragment{Family::V4}, FromUid{Uid{0}}}, true, {}, Verdict::Accept},
          {"pieces", {LaterFragment{Family::V6}, HasMark{0}}, true, {}, Verdict::Accept},
          {"local", {InSet{belt.sets[1].handle}}, true, {}, Verdict::Accept},
          {"local", {ToNetwork{prefix("fd00:8::/32")}}, true, {}, Verdict::Accept},
          {"neighbours", {Icmpv6Type{135}, HopLimit{255}}, true, {}, Verdict::Accept}}});
    std::vector<Rule>& rules = belt.chains[1].rules;
    std::erase_if(rules, [](const Rule& rule) {
        return rule.comment != "a guest" && rule.comment != "EAPOL" &&
               rule.comment != "spanning tree" && rule.comment != "asked for";
    });
    for (const Family family : kFamilies) {
        rules.push_back({"honest", {AsLabelled{family}}, true, {}, Goto{"packets"}});
    }
    load(ruleset);
    EXPECT_TRUE(holds(ruleset));
    for (const FrameCase& one : frame_cases()) {
        EXPECT_EQ(sender.send("egress0", one.bytes, one.type),
                  evaluate_path(ruleset, Path::Frame, one.packet).verdict == Verdict::Accept)
            << one.what;
    }
    // Without that the lies pass: the tests can see a leak.
    for (Rule& rule : rules) {
        if (auto* honest = std::get_if<AsLabelled>(&rule.matches[0])) {
            rule.matches[0] = InFamily{honest->family};
        }
    }
    load(ruleset);
    for (const FrameCase& one : frame_cases()) {
        const bool hides_ip = one.packet.mislabelled && !one.packet.ether_type;
        EXPECT_EQ(sender.send("egress0", one.bytes, one.type),
                  evaluate_path(ruleset, Path::Frame, one.packet).verdict == Verdict::Accept)
            << one.what;
        EXPECT_TRUE(!hides_ip || sender.send("egress0", one.bytes, one.type)) << one.what;
    }
}

TEST_F(NftablesTest, ProbesTheEgressHookWithoutATrace)
{
    const Ruleset sample = test::sample_ruleset();
    load(sample);
    const std::string before = must({"nft", "list", "ruleset"});
    EXPECT_TRUE(nftables.has_egress_hook());
    EXPECT_EQ(must({"nft", "list", "ruleset"}), before);
    EXPECT_TRUE(holds(sample));
}

TEST_F(NftablesTest, ExchangingElementsUnderAFloodNeitherLosesNorLeaks)
{
    // A set of each kind that the kernel has; the flood's own elements stay.
    const auto to = [](const char* text) { return SetElement{{prefix(text)}, {}}; };
    const auto of = [](const char* device, const char* text) {
        return SetElement{{test::device(device), prefix(text)}, {}};
    };
    const auto port_is = [](std::uint16_t number) {
        return SetElement{{Transport::Udp, port(number)}, {}};
    };
    const auto with = [&](bool more) {
        Set networks{{.name = "networks", .key = {Field::Destination4}, .intervals = true},
                     {to("127.0.0.0/9")}};
        Set inside{{.name = "inside",
                    .key = {Field::OutputInterface, Field::Destination4},
                    .intervals = true},
                   {}};
        Set ports{{.name = "ports", .key = {Field::Protocol, Field::DestinationPort}}, {}};
        inside.elements = {of("lo", "127.0.0.0/8")};
        ports.elements = {port_is(7)};
        if (more) {
            networks.elements.push_back(to("127.128.0.0/9"));
            inside.elements.push_back(of("tun0", "127.0.0.0/16"));
            ports.elements.push_back(port_is(8));
        }
        const Rule rule{"admitted",
                        {InSet{networks.handle}, InSet{inside.handle}, InSet{ports.handle}},
                        true,
                        {},
                        Verdict::Accept};
        Table table{TableFamily::Inet, "failclosed", {networks, inside, ports}, {}};
        table.chains = {{"output", BaseChain{Hook::Output, 0, Verdict::Drop}, {rule}}};
        return Ruleset{{table}};
    };
    load(with(false));
    Flood admitted("127.0.0.1", 7);
    Flood refused("127.0.0.1", 9);
    while (admitted.sent == 0 || refused.refused == 0) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 200; ++i) {
        load(with(i % 2 == 0));
    }
    admitted.finish();
    refused.finish();
    EXPECT_EQ(admitted.refused, 0);
    EXPECT_EQ(refused.sent, 0);
    EXPECT_TRUE(holds(with(false)));
}

TEST_F(NftablesTest, ReplacingUnderAFloodNeitherLosesNorLeaks)
{
    Ruleset ruleset = with_servers(64);
    auto& rules = ruleset.tables[0].chains[0].rules;
    rules.push_back({"admitted", {ToPort{Transport::Udp, port(7)}}, true, {}, Verdict::Accept});
    rules.push_back({"all else", {}, true, {}, Verdict::Drop});
    load(ruleset);
    Flood admitted("127.0.0.1", 7);
    Flood refused("127.0.0.1", 9);
    while (admitted.sent == 0 || refused.refused == 0) {
        std::this_thread::yield();
    }
    for (int i = 0; i < 200; ++i) {
        rules[0].comment = "server " + std::to_string(i);
        load(ruleset);
    }
    admitted.finish();
    refused.finish();
    EXPECT_EQ(admitted.refused, 0);
    EXPECT_EQ(refused.sent, 0);
    EXPECT_TRUE(holds(ruleset));
}

} // namespace
} // namespace failclosed
