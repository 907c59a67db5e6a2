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

TEST(InterfaceName, AcceptsTheKernelsNames)
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

TEST(MacAddress, SixPairsBetweenColons)
{
    const auto mac = MacAddress::parse("52:54:00:aB:34:0f");
    ASSERT_TRUE(mac);
    EXPECT_EQ(mac->to_string(), "52:54:00:ab:34:0f");
    EXPECT_EQ(mac->bytes(), (std::array<std::uint8_t, 6>{0x52, 0x54, 0, 0xab, 0x34, 0x0f}));
    for (const char* text :
         {"", "52:54:00:12:34", "52:54:00:12:34:5", "52:54:00:12:34:56:78", "52-54-00-12-34-56",
          "5254:00:12:34:56:", "52:54:00:12:34:5g", "52:54:00:12:34:-6", "+2:54:00:12:34:56",
          " 52:54:00:12:34:56", "52:54:00:12:34:56\n", "0x:54:00:12:34:56"}) {
        EXPECT_FALSE(MacAddress::parse(text)) << text;
    }
    EXPECT_FALSE(MacAddress::parse(std::string_view("52:54:00:12:34:5\0", 17)));
}

TEST(MacAddress, DistinguishesUnicastAddresses)
{
    const auto is_unicast = [](const char* text) { return MacAddress::parse(text)->is_unicast(); };
    EXPECT_TRUE(is_unicast("52:54:00:12:34:56"));
    EXPECT_TRUE(is_unicast("00:00:00:00:00:01"));
    EXPECT_FALSE(is_unicast("00:00:00:00:00:00"));
    EXPECT_FALSE(is_unicast("ff:ff:ff:ff:ff:ff"));
    EXPECT_FALSE(is_unicast("01:80:c2:00:00:02"));
    EXPECT_FALSE(is_unicast("33:33:00:00:00:01"));
}

TEST(EtherType, FourHexDigitsFrom0x0600)
{
    EXPECT_EQ(EtherType::parse("0x88e5")->number, 0x88e5);
    EXPECT_EQ(EtherType::parse("0x88E5")->to_string(), "0x88e5");
    EXPECT_EQ(EtherType::parse("0x0600")->to_string(), "0x0600");
    EXPECT_EQ(EtherType::parse("0xffff")->number, 0xffff);
    for (const char* text : {"", "0x", "0x05ff", "0x0000", "88e5", "0x88e", "0x88e55", "0X88e5",
                             "34917", "0x-8e5", "0x 8e5", "0x88eg"}) {
        EXPECT_FALSE(EtherType::parse(text)) << text;
    }
}

} // namespace
} // namespace failclosed
