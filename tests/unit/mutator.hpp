// SPDX-License-Identifier: GPL-3.0-or-later
// Changes recorded calls as an attacker or an accident could.
#pragma once

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "tests/unit/recording.hpp"

namespace failclosed::test {

/// Changed copies of each recording.
inline constexpr unsigned kRounds = 1000;

/// What hostile values are made of.
inline const std::vector<std::string> kPieces = {
    "",
    " ",
    "\n",
    "\nremote_1=6.6.6.6\n",
    "$(id)",
    "`id`",
    "../../etc/passwd",
    "%s%n",
    "\xff\xfe",
    "\x1b[2J",
    "0",
    "-1",
    "65536",
    "4294967296",
    "99999999999999999999",
    "0.0.0.0",
    "255.255.255.255",
    "127.0.0.1",
    "::",
    "::1",
    "ff02::1",
    "fe80::1%eth0",
    "::ffff:1.2.3.4",
    "010.0.0.1",
    "1.2.3.4/33",
    "2001:db8::/129",
    "dhcp-option DNS ",
    "dhcp-option DOMAIN ",
    "dhcp-option",
    "tcp-client",
    "tcp6-server",
    "restart",
    "init",
    "up",
    "down",
    "ipchange",
    "route-up",
    "tap",
    "a.example",
    "10.8.0.2/24 10.8.0.1",
    "vpn0",
    "lo",
    "BOUND",
    "vpn-up",
    "vpn-down",
    std::string(300, 'a'),
    std::string(100'000, '9'),
};

class Mutator {
  public:
    explicit Mutator(unsigned seed) : random_(seed) {}

    void change(Call& script)
    {
        for (std::size_t count = 1 + below(4); count > 0; --count) {
            change_once(script);
        }
    }

  private:
    std::size_t below(std::size_t limit)
    {
        return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random_);
    }

    const std::string& piece() { return kPieces[below(kPieces.size())]; }

    void change_once(Call& script)
    {
        auto& entries = script.entries;
        if (entries.empty()) {
            entries.push_back("script_type=up");
        }
        std::string& entry = entries[below(entries.size())];
        const auto value = entry.find('=') + 1;
        const auto position = below(entry.size() + 1);
        switch (below(10)) {
        case 0:
            entry.replace(value, std::string::npos, piece());
            break;
        case 1:
            entry.insert(position, piece());
            break;
        case 2:
            entry.erase(position);
            break;
        case 3:
            if (!entry.empty()) {
                entry[below(entry.size())] = static_cast<char>(1 + below(255));
            }
            break;
        case 4:
            entries.erase(entries.begin() + static_cast<std::ptrdiff_t>(below(entries.size())));
            break;
        case 5: { // the same variable twice, or under another number
            std::string copy = entry;
            const auto digits = copy.find_first_of("123456789");
            if (digits < value) {
                copy.insert(digits, std::to_string(below(1000)));
            }
            entries.push_back(copy);
            break;
        }
        case 6: // another variable's value
            entry = entry.substr(0, value) + value_of(entries[below(entries.size())]);
            break;
        case 7:
            script.arguments.assign(below(4), piece());
            break;
        case 8:
            entries.push_back("remote_" + std::to_string(below(20)) + "=" + piece());
            break;
        default:
            std::shuffle(entries.begin(), entries.end(), random_);
            break;
        }
    }

    static std::string value_of(const std::string& entry)
    {
        return entry.substr(entry.find('=') + 1);
    }

    std::mt19937 random_;
};

} // namespace failclosed::test
