// SPDX-License-Identifier: GPL-3.0-or-later
// Batches and the contents that are read back from them. What the kernel makes of the bytes is
// shown by the kernel tests.
#include <cstring>

#include <gtest/gtest.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "core/codec/nft_contents.hpp"
#include "core/codec/nft_message.hpp"
#include "tests/support/sample_ruleset.hpp"

namespace failclosed {
namespace {

using test::address;
using test::device;
using test::prefix;

const TableName kTable{TableFamily::Inet, "failclosed"};

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
    NftContents contents({kTable, {TableFamily::Arp, "failclosed"}});
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
    EXPECT_EQ(batch.describe(batch.last_sequence()), "rule 'own' in chain output");
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

TEST(NftMessage, DeletesWhatIsForeignWhole)
{
    const Ruleset ruleset = with_set({"s", {Field::Mark}, false, false, false, {}});
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
    Set set{"s", {Field::Mark, Field::Destination6}, false, false, false, {}};
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
    EXPECT_TRUE(refused({"s", {}, false, false, false, {}}));
    EXPECT_TRUE(refused({"s", {Field::Mark}, false, false, false, {{{Uid{1}}, {}}}}));
    EXPECT_TRUE(refused({"s", {Field::Mark}, false, false, false, {{{Mark{1}, Mark{2}}, {}}}}));
    EXPECT_TRUE(
        refused({"s", {Field::Source4}, false, false, false, {{{address("2001:db8::1")}, {}}}}));
    EXPECT_TRUE(
        refused({"s", {Field::Source6}, true, false, false, {{{prefix("10.0.0.0/8")}, {}}}}));
    EXPECT_TRUE(
        refused({"s", {Field::Source4}, false, false, false, {{{prefix("10.0.0.0/8")}, {}}}}))
        << "a prefix where there are no intervals";
    EXPECT_TRUE(refused({"s", {Field::Mark}, false, true, false, {{{Mark{1}}, {}}}}))
        << "a map without a verdict";
    EXPECT_TRUE(refused({"s", {Field::Mark}, false, true, false, {{{Mark{1}}, Verdict::Reject}}}));
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

TEST(NftMessage, CountersBeginWhereTheyWere)
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
    EXPECT_TRUE(differs([](Table& t) { t.sets.push_back({"x", {Field::Mark}, {}, {}, {}, {}}); }));
    for (std::size_t i = 0; i < ruleset.tables[0].chains[1].rules.size(); ++i) {
        EXPECT_TRUE(differs([i](Table& t) {
            t.chains[1].rules.erase(t.chains[1].rules.begin() + static_cast<long>(i));
        })) << i;
    }
}

TEST(NftContents, ElementsAloneAreExchangedByTheirOwnBatch)
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

TEST(NftContents, SurvivesBytesThatAreNoMessages)
{
    std::vector<std::uint8_t> bytes = encode(test::sample_ruleset()).value().bytes;
    for (std::size_t i = 0; i < bytes.size(); i += 7) {
        bytes[i] = static_cast<std::uint8_t>(bytes[i] * 31 + i);
        NftContents contents({kTable});
        contents.add_all(std::span(bytes).first(i));
        contents.finish();
    }
}

} // namespace
} // namespace failclosed
