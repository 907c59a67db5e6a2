// SPDX-License-Identifier: GPL-3.0-or-later
// What NetworkManager 1.42 wrote, with and without our DNS settings in it.
#include <string>

#include <gtest/gtest.h>

#include "core/codec/network_manager/file.hpp"

namespace failclosed {
namespace {

const std::string kHead = "# Internal configuration file. This file is written and read\n"
                          "# by NetworkManager and its configuration values are merged\n"
                          "# with the configuration from 'NetworkManager.conf'.\n"
                          "#\n"
                          "# CHANGES TO THIS FILE WILL BE OVERWRITTEN\n";

const std::string kComment = "\n# Internal section. Not overwritable via user configuration in "
                             "'NetworkManager.conf'\n";

const std::string kOthers = "\n[connectivity]\n.set.enabled=false\n";

const std::string kOurs =
    kComment + "[.intern.global-dns]\nsearches=corp.example,b.example\noptions=\n" + kComment +
    "[.intern.global-dns-domain-*]\nservers=10.8.0.1,fd00:8::1\noptions=\n";

constexpr const char* kNone = "@a{sv} {}";

TEST(NetworkManagerFile, OnlyOurSettingsAreRemoved)
{
    EXPECT_EQ(replace_global_dns(kHead + kOurs, kNone), kHead);
    EXPECT_EQ(replace_global_dns(kHead + kOthers + kOurs, kNone), kHead + kOthers);
    EXPECT_EQ(replace_global_dns(kHead + kOurs + kOthers, kNone), kHead + kOthers);
}

TEST(NetworkManagerFile, EarlierSettingsAreRestoredInNetworkManagersForm)
{
    const std::string earlier =
        kComment + "[.intern.global-dns]\nsearches=a.example\noptions=edns0,rotate\n" + kComment +
        "[.intern.global-dns-domain-*]\nservers=192.168.50.1\noptions=x\n" + kComment +
        "[.intern.global-dns-domain-corp.example]\nservers=192.168.50.7\noptions=\n";
    EXPECT_EQ(
        replace_global_dns(
            kHead + kOurs,
            "{'searches': <['a.example']>, 'options': <['edns0', 'rotate']>, 'domains': <{'*': "
            "<{'servers': <['192.168.50.1']>, 'options': <['x']>}>, 'corp.example': <{'servers': "
            "<['192.168.50.7']>}>}>}"),
        kHead + earlier);
}

TEST(NetworkManagerFile, WithoutGlobalSettingsStaysAsItIs)
{
    const char* earlier = "{'searches': <['a.example']>}";
    for (const std::string& text : {std::string(), kHead, kHead + kOthers, std::string("rubbish\n"),
                                    std::string("\0\xff", 2)}) {
        EXPECT_EQ(replace_global_dns(text, earlier), text);
    }
}

TEST(NetworkManagerFile, RefusesInvalidSettings)
{
    for (const char* value : {"", "'text'", "{'searches': ", "['a']"}) {
        EXPECT_FALSE(replace_global_dns(kHead + kOurs, value)) << value;
    }
}

} // namespace
} // namespace failclosed
