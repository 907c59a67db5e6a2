// SPDX-License-Identifier: GPL-3.0-or-later
// Marks by which the sniffer knows a packet again, wherever it turns up.
#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace failclosed::lab {

/// Tags are numbers in 0 .. tag_limit - 1. A TCP connection without payload shows its tag as the
/// source port first_tag_port + tag, which is above Linux's ephemeral ports.
inline constexpr int tag_limit = 4096;
inline constexpr std::uint16_t first_tag_port = 61000;

/// Takes a free tag for a kind of traffic of this name. Throws LabError when all are taken.
int take_tag(const std::string& name);
void release_tag(int tag);
std::string tag_name(int tag); ///< "" for an unused one

/// The mark to put into a payload or a DNS label: 12 letters, digits and hyphens.
std::string tag_text(int tag);
/// The tag in `bytes`, wherever it stands; -1 where there is none.
int find_tag(std::span<const std::uint8_t> bytes);

} // namespace failclosed::lab
