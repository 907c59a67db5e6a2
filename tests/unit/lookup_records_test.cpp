// SPDX-License-Identifier: GPL-3.0-or-later
// What the parent takes from a process that may be an attacker's by now.
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "core/codec/files/lookup_records.hpp"

namespace failclosed {
namespace {

IpAddress address(const char* text)
{
    return IpAddress::parse(text).value();
}

const LookupRecords sample{
    {{address("203.0.113.2"), address("2001:db8::2")}, {}, {address("192.0.2.1")}}, true};

constexpr std::size_t kRecord = 19;

TEST(LookupRecords, AreReadAsWritten)
{
    EXPECT_EQ(read_lookup(write_lookup(sample), 3), sample);
    const LookupRecords nothing{{{}, {}}, false};
    EXPECT_EQ(read_lookup(write_lookup(nothing), 2), nothing);
    LookupRecords many{{{}}, true};
    many.addresses.front().assign(2 * kMostLookupAddresses, address("203.0.113.2"));
    const std::string bytes = write_lookup(many);
    EXPECT_EQ(bytes.size(), longest_lookup(1));
    EXPECT_EQ(read_lookup(bytes, 1)->addresses.front().size(), kMostLookupAddresses);
}

TEST(LookupRecords, TruncatedBytesGiveNoAnswer)
{
    const std::string bytes = write_lookup(sample);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
        EXPECT_FALSE(read_lookup(bytes.substr(0, size), 3)) << size;
    }
    EXPECT_FALSE(read_lookup(bytes + bytes, 3));
    EXPECT_FALSE(read_lookup(bytes + '\0', 3));
    EXPECT_FALSE(read_lookup(bytes + std::string(kRecord, '\0'), 3));
}

TEST(LookupRecords, NumbersKindsAndPaddingAreChecked)
{
    const std::string bytes = write_lookup(sample);
    EXPECT_FALSE(read_lookup(bytes, 2)) << "an answer to a third name";
    const auto changed = [&](std::size_t at, char value) {
        std::string text = bytes;
        text.at(at) = value;
        return read_lookup(text, 3);
    };
    EXPECT_FALSE(changed(0, 1));
    EXPECT_FALSE(changed(1, 3));
    for (const char kind : {'\0', '\1', '\5', '\7', '\xff'}) {
        EXPECT_FALSE(changed(2, kind)) << int{kind};
    }
    EXPECT_FALSE(changed(3 + 4, 1)) << "more than an IPv4 address";
    EXPECT_FALSE(changed(bytes.size() - kRecord, 0)) << "no end";
    EXPECT_FALSE(changed(bytes.size() - kRecord + 2, 2));
    EXPECT_FALSE(changed(bytes.size() - 1, 1));
    std::string many;
    for (std::size_t i = 0; i <= kMostLookupAddresses; ++i) {
        many += bytes.substr(0, kRecord);
    }
    EXPECT_FALSE(read_lookup(many + bytes.substr(bytes.size() - kRecord), 3));
}

TEST(LookupRecords, RandomBytesAreReadWithinBounds)
{
    std::mt19937 random(1); // the same each time
    for (int i = 0; i < 20'000; ++i) {
        std::string bytes = write_lookup(sample);
        for (int changes = 0; changes < 3; ++changes) {
            bytes[random() % bytes.size()] = static_cast<char>(random());
        }
        const auto read = read_lookup(bytes, 3);
        EXPECT_TRUE(!read || read->addresses.size() == 3);
    }
}

} // namespace
} // namespace failclosed
