// SPDX-License-Identifier: GPL-3.0-or-later
// Batches and the contents that are read back from them. What the kernel makes of the bytes is
// shown by the kernel tests.
#include <cstring>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "core/codec/nftables/contents.hpp"
#include "core/codec/nftables/message.hpp"
#include "core/codec/nftables/rules.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::prefix;

const TableName kTable{TableFamily::Inet, "failclosed"};
const TableName kBelt{TableFamily::Netdev, "failclosed"};
const std::vector<TableName> kTables = {kTable, {TableFamily::Arp, "failclosed"}, kBelt};

std::vector<nlmsghdr> headers(const NftBatch& batch)
{
    std::vector<nlmsghdr> result;
    for (std::size_t at = 0; at < batch.bytes.size();) {
        nlmsghdr& header = result.emplace_back();
        std::memcpy(&header, batch.bytes.data() + at, sizeof header);
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
    return result;
}

int type_of(const nlmsghdr& header)
{
    return header.nlmsg_type & 0xff;
}

NftContents contents_of(const Ruleset& ruleset, const EncodeOptions& options = {})
{
    NftContents contents(kTables);
    contents.add_all(encode(ruleset, options).value().bytes);
    contents.finish();
    return contents;
}

Ruleset with_set(Set set)
{
    return {{{TableFamily::Inet, "failclosed", {std::move(set)}, {}}}};
}

TEST(NftMessage, FramesOneBatchAndNumbersItsMessages)
{
    const NftBatch batch = encode(test::sample_ruleset()).value();
    const std::vector<nlmsghdr> messages = headers(batch);
    ASSERT_EQ(messages.size(), batch.operations.size() + 1);
    EXPECT_EQ(messages.front().nlmsg_type, NFNL_MSG_BATCH_BEGIN);
    EXPECT_EQ(messages.back().nlmsg_type, NFNL_MSG_BATCH_END);
    for (std::size_t i = 0; i < messages.size(); ++i) {
        EXPECT_EQ(messages[i].nlmsg_seq, i);
        EXPECT_EQ((messages[i].nlmsg_flags & NLM_F_ACK) != 0, i == batch.last_sequence());
    }
    EXPECT_EQ(type_of(messages[1]), NFT_MSG_NEWTABLE);
    EXPECT_EQ(type_of(messages[2]), NFT_MSG_DELTABLE);
    EXPECT_EQ(type_of(messages[3]), NFT_MSG_NEWTABLE);
    EXPECT_EQ(batch.describe(2), "removal of table inet failclosed");
    EXPECT_EQ(batch.describe(batch.last_sequence()), "rule 'whatever leaves' in chain "
                                                     "device_egress1");
    EXPECT_EQ(batch.describe(100'000), "an unknown operation");
}

TEST(NftMessage, KeepsBaseChainsThatAreLoaded)
{
    const Ruleset ruleset = test::sample_ruleset();
    const NftBatch batch = encode(ruleset, {{}, contents_of(ruleset).loaded()}).value();
    for (const nlmsghdr& header : headers(batch)) {
        EXPECT_NE(type_of(header), NFT_MSG_DELTABLE);
    }
    EXPECT_EQ(contents_of(ruleset), contents_of(ruleset, {{}, contents_of(ruleset).loaded()}));
}

TEST(NftMessage, KeepsChainsOfDevicesThatStayTheSame)
{
    const Ruleset ruleset = test::sample_ruleset();
    const std::vector<LoadedTable> loaded = contents_of(ruleset).loaded();
    EXPECT_FALSE(loaded.back().foreign);
    const auto deleted = [&](const Ruleset& wanted) {
        const NftBatch batch = encode(wanted, {{}, loaded}).value();
        std::vector<std::string> operations;
        for (const nlmsghdr& message : headers(batch)) {
            const std::string operation = batch.describe(message.nlmsg_seq);
            if (type_of(message) == NFT_MSG_DELCHAIN &&
                operation.find("of netdev") != std::string::npos) {
                operations.push_back(operation);
            }
        }
        return operations;
    };
    const std::string wire = "removal of chain wire of netdev failclosed";
    const std::string second = "removal of chain device_egress1 of netdev failclosed";
    EXPECT_EQ(deleted(ruleset), std::vector{wire});
    Ruleset other = ruleset;
    other.tables[2].chains.push_back(test::device_chain(device("eth0")));
    EXPECT_EQ(deleted(other), std::vector{wire});
    other = ruleset;
    other.tables[2].chains[2].base->policy = Verdict::Accept;
    EXPECT_EQ(deleted(other), std::vector{wire});
    other.tables[2].chains[2].base->device = device("eth0");
    EXPECT_EQ(deleted(other), (std::vector{wire, second}));
    other = ruleset;
    other.tables[2].chains[2].base->priority = 1;
    EXPECT_EQ(deleted(other), (std::vector{wire, second}));
    other.tables[2].chains.pop_back();
    EXPECT_EQ(deleted(other), (std::vector{wire, second}));
}

/// One message about a base chain at egress, whose devices the kernel tells in one way or another.
std::vector<std::uint8_t> chain_message(const std::vector<std::pair<int, std::string>>& devices,
                                        const std::string& single = {})
{
    std::vector<std::uint8_t> bytes(512);
    nlmsghdr* message = mnl_nlmsg_put_header(bytes.data());
    message->nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWCHAIN;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(message, sizeof(nfgenmsg)));
    header->nfgen_family = protocol_family(TableFamily::Netdev);
    mnl_attr_put_strz(message, NFTA_CHAIN_TABLE, "failclosed");
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, "c");
    nlattr* hook = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
    nlattr* list = mnl_attr_nest_start(message, NFTA_HOOK_DEVS);
    for (const auto& [type, name] : devices) {
        mnl_attr_put(message, static_cast<std::uint16_t>(type), name.size(), name.data());
    }
    mnl_attr_nest_end(message, list);
    if (!single.empty()) {
        mnl_attr_put_strz(message, NFTA_HOOK_DEV, single.c_str());
    }
    mnl_attr_nest_end(message, hook);
    bytes.resize(message->nlmsg_len);
    return bytes;
}

TEST(NftContents, ReadsDevicesInBothForms)
{
    using namespace std::string_literals;
    const auto of = [](const std::vector<std::uint8_t>& bytes) {
        NftContents contents({kBelt});
        contents.add_all(bytes);
        contents.finish();
        EXPECT_FALSE(contents.loaded().at(0).foreign);
        return contents;
    };
    const NftContents wanted = of(chain_message({{NFTA_DEVICE_NAME, "eth0\0"s}}));
    EXPECT_EQ(wanted.loaded()[0].chains[0].base->devices, std::vector<std::string>{"eth0"});
    EXPECT_EQ(of(chain_message({{NFTA_DEVICE_NAME, "eth0\0"s}}, "eth0")), wanted);
    EXPECT_EQ(of(chain_message({}, "eth0")), wanted);
    EXPECT_FALSE(of(chain_message({})) == wanted) << "before Linux 6.16, when the device has gone";
    EXPECT_FALSE(of(chain_message({{NFTA_DEVICE_NAME, "eth1\0"s}})) == wanted);
    EXPECT_FALSE(of(chain_message({{NFTA_DEVICE_NAME, "eth0"s}})) == wanted) << "a beginning";
    EXPECT_FALSE(of(chain_message({{NFTA_DEVICE_NAME + 1, "eth0\0"s}})) == wanted);
    const std::pair<int, std::string> first{NFTA_DEVICE_NAME, "eth0\0"s};
    const std::pair<int, std::string> second{NFTA_DEVICE_NAME, "eth1\0"s};
    EXPECT_FALSE(of(chain_message({first, second})) == wanted);
    EXPECT_EQ(of(chain_message({first, second})), of(chain_message({second, first})));
}

TEST(NftMessage, DeletesTablesWithForeignContents)
{
    const Ruleset ruleset = with_set({{.name = "s", .key = {Field::Mark}}, {}});
    LoadedTable loaded(kTable);
    loaded.foreign = true;
    const NftBatch batch = encode(ruleset, {{}, {loaded}}).value();
    EXPECT_EQ(type_of(headers(batch)[2]), NFT_MSG_DELTABLE);
}

TEST(NftMessage, RemovalAddsFirst)
{
    const NftBatch batch = encode_removal({kTable});
    const auto messages = headers(batch);
    ASSERT_EQ(messages.size(), 4U);
    EXPECT_EQ(type_of(messages[1]), NFT_MSG_NEWTABLE);
    EXPECT_EQ(type_of(messages[2]), NFT_MSG_DELTABLE);
}

TEST(NftMessage, SplitsManyElements)
{
    Set set{{.name = "s", .key = {Field::Mark, Field::Destination6}}, {}};
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        set.elements.push_back({{Mark{i}, address("2001:db8::1")}, {}});
    }
    long messages = 0;
    for (const nlmsghdr& header : headers(encode(with_set(set)).value())) {
        messages += type_of(header) == NFT_MSG_NEWSETELEM ? 1 : 0;
        EXPECT_LT(header.nlmsg_len, 66'000U);
    }
    EXPECT_GT(messages, 4);
}

TEST(NftMessage, RefusesElementsThatDoNotFit)
{
    const auto refused = [](Set set) { return !encode(with_set(std::move(set))).has_value(); };
    EXPECT_TRUE(refused({{.name = "s", .key = {}}, {}}));
    EXPECT_TRUE(refused({{.name = "s", .key = {Field::Mark}}, {{{Uid{1}}, {}}}}));
    EXPECT_TRUE(refused({{.name = "s", .key = {Field::Mark}}, {{{Mark{1}, Mark{2}}, {}}}}));
    EXPECT_TRUE(
        refused({{.name = "s", .key = {Field::Source4}}, {{{address("2001:db8::1")}, {}}}}));
    EXPECT_TRUE(refused({{.name = "s", .key = {Field::Source6}, .intervals = true},
                         {{{prefix("10.0.0.0/8")}, {}}}}));
    EXPECT_TRUE(refused({{.name = "s", .key = {Field::Source4}}, {{{prefix("10.0.0.0/8")}, {}}}}))
        << "a prefix where there are no intervals";
    EXPECT_TRUE(refused({{.name = "s", .key = {Field::Mark}, .verdicts = true}, {{{Mark{1}}, {}}}}))
        << "a map without a verdict";
    EXPECT_TRUE(refused(
        {{.name = "s", .key = {Field::Mark}, .verdicts = true}, {{{Mark{1}}, Verdict::Reject}}}));
}

TEST(NftMessage, RefusesIpInArpTables)
{
    const Rule rule{"x", {ToNetwork{prefix("10.0.0.0/8")}}, false, {}, Verdict::Drop};
    const auto result = encode({{{TableFamily::Arp, "t", {}, {{"c", {}, {rule}}}}}});
    ASSERT_FALSE(result);
    EXPECT_NE(result.error().message().find("rule 'x' in chain c"), std::string::npos);
    EXPECT_FALSE(encode(
        {{{TableFamily::Arp, "t", {}, {{"c", BaseChain{Hook::Forward, 0, Verdict::Drop}, {}}}}}}));
}

/// The error of a rule in a chain of a table that holds nothing else; empty where it can be said.
std::string error_of(TableFamily family, const Rule& rule, std::optional<BaseChain> base = {})
{
    const auto result = encode({{{family, "t", {}, {{"c", std::move(base), {rule}}}}}});
    return result ? "" : result.error().message();
}

TEST(NftMessage, RefusesMatchesThatAFamilyDoesNotHave)
{
    const auto matching = [](Match match) {
        return Rule{"x", {std::move(match)}, false, {}, Verdict::Drop};
    };
    const auto ends = [](auto end) { return Rule{"x", {}, false, {}, end}; };
    const auto refused = [](TableFamily family, const Rule& rule, const char* reason) {
        EXPECT_EQ(error_of(family, rule),
                  "table " + std::string(to_string(family)) + " t: rule 'x' in chain c: " + reason)
            << rule.matches.size();
    };
    const char* const frames = "matches frames in a table without frames";
    for (const TableFamily family : {TableFamily::Inet, TableFamily::Arp}) {
        refused(family, matching(OfEtherType{{0x888e}}), frames);
        refused(family, matching(ToMac{test::mac("02:00:00:00:00:01")}), frames);
        refused(family, matching(AsLabelled{Family::V4}), frames);
        refused(family, matching(InSet{{.name = "s", .key = {Field::SourceMac}}}), frames);
    }
    refused(TableFamily::Inet, matching(InSet{{.name = "s", .key = {Field::ArpTarget}}}),
            "matches ARP in an IP table");
    refused(TableFamily::Arp, matching(LaterFragment{Family::V4}), "matches IP in an ARP table");
    const char* const flows = "needs connection tracking, which this table does not have";
    for (const TableFamily family : {TableFamily::Netdev, TableFamily::Arp}) {
        refused(family, matching(HasConntrackMark{}), flows);
        refused(family, matching(InConntrackState{true, false}), flows);
        refused(family, {"x", {}, false, {SetConntrackMark{}}, {}}, flows);
        refused(family, matching(ToOthers{}), "needs routes, which this table does not have");
        refused(family, ends(Masquerade{}), "address translation is not possible in this chain");
    }
    refused(TableFamily::Netdev, ends(Verdict::Reject), "this table can drop, but not reject");
    EXPECT_EQ(error_of(TableFamily::Netdev, matching(OfEtherType{{0x888e}})), "");
    EXPECT_EQ(error_of(TableFamily::Inet, matching(LaterFragment{Family::V6})), "");
}

TEST(NftMessage, TranslatesOnlyInNatChains)
{
    const auto refused = [](const auto& end, std::optional<BaseChain> base) {
        return !error_of(TableFamily::Inet, {"x", {}, false, {}, end}, std::move(base)).empty();
    };
    const auto at = [](Hook hook, ChainType type) {
        return BaseChain{hook, 0, Verdict::Accept, type};
    };
    const RedirectTo redirect{address("10.8.0.1")};
    EXPECT_FALSE(refused(Masquerade{}, at(Hook::Postrouting, ChainType::Nat)));
    EXPECT_TRUE(refused(Masquerade{}, at(Hook::Postrouting, ChainType::Filter)));
    EXPECT_TRUE(refused(Masquerade{}, at(Hook::Prerouting, ChainType::Nat)));
    EXPECT_TRUE(refused(Masquerade{}, {}));
    EXPECT_FALSE(refused(redirect, at(Hook::Prerouting, ChainType::Nat)));
    EXPECT_TRUE(refused(redirect, at(Hook::Postrouting, ChainType::Nat)));
    EXPECT_TRUE(refused(redirect, at(Hook::Prerouting, ChainType::Filter)));
    EXPECT_TRUE(refused(redirect, {}));
}

TEST(NftMessage, RefusesChainsThatAFamilyDoesNotHave)
{
    const auto refused = [](TableFamily family, const BaseChain& base) {
        return !encode({{{family, "t", {}, {{"c", base, {}}}}}}).has_value();
    };
    const InterfaceName eth0 = device("eth0");
    const BaseChain egress{Hook::Egress, 0, Verdict::Drop, ChainType::Filter, eth0};
    EXPECT_FALSE(refused(TableFamily::Netdev, egress));
    EXPECT_TRUE(refused(TableFamily::Inet, egress));
    EXPECT_TRUE(refused(TableFamily::Arp, egress));
    EXPECT_TRUE(refused(TableFamily::Netdev, {Hook::Egress, 0, Verdict::Drop})) << "of no device";
    EXPECT_TRUE(refused(TableFamily::Netdev, {Hook::Output, 0, Verdict::Drop}));
    EXPECT_TRUE(
        refused(TableFamily::Netdev, {Hook::Egress, 0, Verdict::Accept, ChainType::Nat, eth0}));
    EXPECT_TRUE(
        refused(TableFamily::Inet, {Hook::Output, 0, Verdict::Drop, ChainType::Filter, eth0}));
    EXPECT_TRUE(refused(TableFamily::Arp, {Hook::Output, 0, Verdict::Accept, ChainType::Nat}));
    EXPECT_TRUE(refused(TableFamily::Inet, {Hook::Forward, 0, Verdict::Accept, ChainType::Nat}));
    EXPECT_FALSE(refused(TableFamily::Inet, {Hook::Output, 0, Verdict::Accept, ChainType::Nat}));
}

TEST(NftMessage, CountersStartWithTheirFormerValues)
{
    const Ruleset ruleset = test::sample_ruleset();
    const CounterKey key{kTable, "output", "the local network"};
    const Counters counters = {{key, {12, 345}}};
    const NftContents with = contents_of(ruleset, {counters, {}});
    EXPECT_EQ(with.counters().at(key), (Counter{12, 345})) << "two rules share the comment";
    EXPECT_EQ(contents_of(ruleset).counters().at(key), Counter{});
    EXPECT_EQ(with, contents_of(ruleset)) << "values are no contents";
}

TEST(NftContents, SeesEveryDifference)
{
    const Ruleset ruleset = test::sample_ruleset();
    const NftContents contents = contents_of(ruleset);
    const auto differs = [&](auto change) {
        Ruleset other = ruleset;
        change(other.tables[0]);
        return !(contents_of(other) == contents);
    };
    EXPECT_FALSE(differs([](Table&) {}));
    EXPECT_TRUE(differs([](Table& t) { t.chains[0].rules[0].comment = "other"; }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[0].rules[0].counted = false; }));
    EXPECT_TRUE(differs([](Table& t) { std::swap(t.chains[0].rules[0], t.chains[0].rules[1]); }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[1].rules.pop_back(); }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[1].base->policy = Verdict::Accept; }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[1].base->priority = 1; }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[3].base->hook = Hook::Input; }));
    EXPECT_TRUE(differs([](Table& t) { t.sets[3].elements.pop_back(); }));
    EXPECT_TRUE(differs([](Table& t) { t.sets[0].elements[0].decision = Verdict::Drop; }));
    EXPECT_TRUE(differs([](Table& t) { t.sets[0].elements[1].decision = Goto{"tunnel"}; }));
    EXPECT_TRUE(
        differs([](Table& t) { t.sets.push_back({{.name = "x", .key = {Field::Mark}}, {}}); }));
    const auto belt_differs = [&](auto change) {
        Ruleset other = ruleset;
        change(other.tables[2]);
        return !(contents_of(other) == contents);
    };
    EXPECT_TRUE(belt_differs([](Table& t) { t.chains.pop_back(); }));
    EXPECT_TRUE(belt_differs([](Table& t) { t.chains[1].base->device = device("eth0"); }));
    EXPECT_TRUE(belt_differs([](Table& t) { t.chains[1].base->policy = Verdict::Accept; }));
    EXPECT_TRUE(belt_differs(
        [](Table& t) { t.sets[0].elements[0].key = {test::mac("52:54:00:12:34:57")}; }));
    for (std::size_t i = 0; i < ruleset.tables[2].chains[0].rules.size(); ++i) {
        EXPECT_TRUE(belt_differs([i](Table& t) {
            t.chains[0].rules.erase(t.chains[0].rules.begin() + static_cast<long>(i));
        })) << i;
    }
    EXPECT_TRUE(differs([](Table& t) {
        t.chains[6].base->type = ChainType::Filter;
        t.chains[6].rules.clear();
    }));
    EXPECT_TRUE(
        differs([](Table& t) { t.chains[6].rules[0].end = RedirectTo{address("10.8.0.2")}; }));
    EXPECT_TRUE(differs([](Table& t) { t.chains[7].rules.pop_back(); }));
    for (std::size_t i = 0; i < ruleset.tables[0].chains[1].rules.size(); ++i) {
        EXPECT_TRUE(differs([i](Table& t) {
            t.chains[1].rules.erase(t.chains[1].rules.begin() + static_cast<long>(i));
        })) << i;
    }
}

TEST(NftContents, ElementsAreReplacedByTheirOwnBatch)
{
    const Ruleset ruleset = test::sample_ruleset();
    const NftContents contents = contents_of(ruleset);
    EXPECT_TRUE(contents.changes_to(contents)->empty());

    Ruleset other = ruleset;
    other.tables[0].sets[3].elements[0].key[0] = prefix("10.0.0.0/9"); // an interval: both its ends
    other.tables[0].sets[1].elements.pop_back();
    const auto changes = contents.changes_to(contents_of(other)).value();
    ASSERT_EQ(changes.size(), 2U);
    EXPECT_EQ(changes[0].set, "lan4");
    EXPECT_EQ(changes[0].removed.size(), 1U);
    EXPECT_EQ(changes[0].added.size(), 1U);
    EXPECT_EQ(changes[1].set, "servers4");
    EXPECT_EQ(changes[1].removed.size(), 1U);
    EXPECT_TRUE(changes[1].added.empty());

    const NftBatch batch = encode_changes(changes, 0x01020304);
    std::vector<int> types;
    for (const nlmsghdr& header : headers(batch)) {
        types.push_back(type_of(header));
    }
    EXPECT_EQ(types, (std::vector<int>{NFNL_MSG_BATCH_BEGIN, NFT_MSG_DELSETELEM, NFT_MSG_NEWSETELEM,
                                       NFT_MSG_DELSETELEM, NFNL_MSG_BATCH_END}));
    const std::vector<std::uint8_t> generation = {8, 0, NFNL_BATCH_GENID, 0, 1, 2, 3, 4};
    const auto at = batch.bytes.begin() + sizeof(nlmsghdr) + sizeof(nfgenmsg);
    EXPECT_TRUE(std::equal(generation.begin(), generation.end(), at));
    EXPECT_EQ(batch.describe(1), "removal of elements of set lan4 of inet failclosed");

    other.tables[0].chains[1].rules.pop_back();
    EXPECT_FALSE(contents.changes_to(contents_of(other))) << "a rule is no element";
}

TEST(NftContents, MalformedMessagesAreReadWithinBounds)
{
    std::vector<std::uint8_t> bytes = encode(test::sample_ruleset()).value().bytes;
    for (std::size_t i = 0; i < bytes.size(); i += 7) {
        bytes[i] = static_cast<std::uint8_t>(bytes[i] * 31 + i);
        NftContents contents({kTable});
        contents.add_all(std::span(bytes).first(i));
        contents.finish();
    }
}

TEST(NftContents, NoMessageExceedsTheBuffer)
{
    const std::vector<std::uint8_t> whole = encode(test::sample_ruleset())->bytes;
    for (std::size_t at = 0; at < whole.size();) {
        nlmsghdr header{};
        std::memcpy(&header, whole.data() + at, sizeof header);
        const auto rest = static_cast<std::uint32_t>(whole.size() - at);
        for (const std::uint32_t length : {std::uint32_t{0}, std::uint32_t{15}, rest + 1,
                                           0x7fff'fff0U, 0x8000'0000U, 0xffff'fff0U}) {
            std::vector<std::uint8_t> bytes = whole;
            std::memcpy(bytes.data() + at, &length, sizeof length);
            NftContents contents(kTables);
            contents.add_all(bytes);
            contents.finish();
            NftContents before(kTables);
            before.add_all(std::span(whole).first(at));
            before.finish();
            ASSERT_EQ(contents, before) << length << " at " << at;
            EXPECT_EQ(same_rules(bytes, whole), same_rules(std::span(whole).first(at), whole));
        }
        at += NLMSG_ALIGN(header.nlmsg_len);
    }
}

// ---- Rules without the rest ----

bool same_rules_as_sample(const Ruleset& ruleset)
{
    return same_rules(encode(test::sample_ruleset())->bytes, encode(ruleset)->bytes);
}

TEST(NftContents, RulesAreComparedWithoutElements)
{
    Ruleset ruleset = test::sample_ruleset();
    EXPECT_TRUE(same_rules_as_sample(ruleset));
    for (Set& set : ruleset.tables[0].sets) {
        set.elements.clear();
    }
    EXPECT_TRUE(same_rules_as_sample(ruleset));
}

TEST(NftContents, RulesDifferInContentsAndOrder)
{
    const auto with = [](const std::function<void(std::vector<Rule>&)>& change) {
        Ruleset ruleset = test::sample_ruleset();
        change(ruleset.tables[0].chains[0].rules);
        return ruleset;
    };
    EXPECT_FALSE(same_rules_as_sample({}));
    EXPECT_FALSE(same_rules_as_sample(with([](auto& rules) { rules.pop_back(); })));
    EXPECT_FALSE(same_rules_as_sample(with([](auto& rules) { rules.push_back(rules[0]); })));
    EXPECT_FALSE(same_rules_as_sample(with([](auto& rules) { std::swap(rules[0], rules[1]); })));
    EXPECT_FALSE(same_rules_as_sample(with([](auto& rules) { rules[0].comment += "x"; })));
    EXPECT_FALSE(same_rules_as_sample(with([](auto& rules) { rules[0].counted ^= true; })));
}

NftContents chains_of(const Ruleset& ruleset)
{
    NftContents contents(kTables);
    contents.add_all_but_rules(encode(ruleset)->bytes);
    contents.finish();
    return contents;
}

TEST(NftContents, ChainsDifferInNamesAndHooks)
{
    const NftContents sample = chains_of(test::sample_ruleset());
    Ruleset ruleset = test::sample_ruleset();
    for (Table& table : ruleset.tables) {
        for (Chain& chain : table.chains) {
            chain.rules.clear();
        }
    }
    EXPECT_TRUE(sample.has_chains_of(chains_of(ruleset)));
    ruleset.tables[2].chains.back().base->device = device("lo");
    EXPECT_FALSE(sample.has_chains_of(chains_of(ruleset)));
    ruleset.tables[2].chains.pop_back();
    EXPECT_FALSE(sample.has_chains_of(chains_of(ruleset)));
    EXPECT_FALSE(chains_of(ruleset).has_chains_of(sample));
    ruleset = test::sample_ruleset();
    ruleset.tables.pop_back();
    EXPECT_FALSE(sample.has_chains_of(chains_of(ruleset)));
}

} // namespace
} // namespace failclosed
