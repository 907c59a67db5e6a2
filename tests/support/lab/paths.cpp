// SPDX-License-Identifier: GPL-3.0-or-later
// The only file that is compiled with a path of the build machine in it.
#include "tests/support/lab/paths.hpp"

namespace failclosed::test {

std::filesystem::path source_root()
{
    return FAILCLOSED_SOURCES;
}

std::filesystem::path fixtures()
{
    return source_root() / "tests/fixtures";
}

} // namespace failclosed::test
