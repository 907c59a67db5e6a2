// SPDX-License-Identifier: GPL-3.0-or-later
// Where the sources and the recorded fixtures are.
#pragma once

#include <filesystem>

namespace failclosed::test {

/// The root of the source tree, absolute.
std::filesystem::path source_root();

/// `tests/fixtures` of the source tree, absolute.
std::filesystem::path fixtures();

} // namespace failclosed::test
