// SPDX-License-Identifier: GPL-3.0-or-later
// Names and numbers from outside: what is let in.
#include <gtest/gtest.h>

#include "core/model/names.hpp"

namespace failclosed {
namespace {

TEST(ParseNumber, WholeDecimalsWithinBounds)
{
    EXPECT_EQ(parse_number("0", 0, 9), 0U);
    EXPECT_EQ(parse_number("18446744073709551615", 0, UINT64_MAX), UINT64_MAX);
    for (const char* text : {"", "00", "01", "+1", "-1", " 1", "1 ", "1a", "0x1", "1.0", "10",
                             "18446744073709551616"}) {
        EXPECT_FALSE(parse_number(text, 0, 9)) << text;
    }
    EXPECT_FALSE(parse_number("1", 2, 9));
}

TEST(ControlCharacters, BelowSpaceAndDelete)
{
    EXPECT_FALSE(has_control_characters(""));
    EXPECT_FALSE(has_control_characters("plain \xc3\xa4~"));
    for (const char c : {'\0', '\n', '\r', '\t', '\x1b', '\x7f', '\x01'}) {
        EXPECT_TRUE(has_control_characters(std::string("a") + c));
    }
}

TEST(InterfaceName, AsTheKernelTakesThem)
{
    for (const char* text : {"tun0", "a", "wlp0s20f3", "eth0.100", "a\"b'$(x)", "fifteen-letters",
                             "...", "\xff\xfe"}) {
        const auto name = InterfaceName::parse(text);
        ASSERT_TRUE(name) << text;
        EXPECT_EQ(name->text(), text);
    }
    for (const char* text :
         {"", ".", "..", "a/b", "a:b", "a b", "a\tb", "a\nb", "sixteen-letters-"}) {
        EXPECT_FALSE(InterfaceName::parse(text)) << text;
    }
    EXPECT_FALSE(InterfaceName::parse(std::string_view("a\0b", 3)));
}

TEST(HostName, ValidOnes)
{
    EXPECT_EQ(HostName::parse("VPN.Example.")->text(), "vpn.example");
    for (const auto& text : {std::string("a"), std::string("_dmarc.a-b.example"),
                             std::string("1a.example"), std::string("xn--bcher-kva.example"),
                             std::string("4.example"), std::string(63, 'a') + ".example"}) {
        EXPECT_TRUE(HostName::parse(text)) << text;
    }
}

TEST(HostName, InvalidOnes)
{
    const std::string label(63, 'a');
    for (const auto& text : {std::string(),
                             std::string("."),
                             std::string(".."),
                             std::string("a..b"),
                             std::string(".a"),
                             std::string("-a"),
                             std::string("a-"),
                             std::string("a-.b"),
                             std::string("a b"),
                             std::string("a\nb"),
                             std::string("a/b"),
                             std::string("$(id)"),
                             std::string("a;b"),
                             std::string("a\\nb"),
                             std::string("\xc3\xa4.example"),
                             std::string("10.0.0.1"),
                             std::string("0x7f.1"),
                             std::string("1"),
                             std::string("a.0X1f"),
                             std::string("a.5"),
                             std::string(64, 'a'),
                             label + "." + label + "." + label + "." + label}) {
        EXPECT_FALSE(HostName::parse(text)) << text;
    }
    EXPECT_FALSE(HostName::parse(std::string_view("a\0", 2)));
}

TEST(Port, OneTo65535)
{
    EXPECT_EQ(Port::parse("1")->number(), 1);
    EXPECT_EQ(Port::parse("65535")->number(), 65535);
    for (const char* text : {"", "0", "65536", "70000", "-1", "01", "1 ", "https"}) {
        EXPECT_FALSE(Port::parse(text)) << text;
    }
    EXPECT_FALSE(Port::make(0));
}

} // namespace
} // namespace failclosed
