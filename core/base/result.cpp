// SPDX-License-Identifier: GPL-3.0-or-later
// Errors from errno.
#include "core/base/result.hpp"

#include <system_error>

namespace failclosed {

Error Error::from_errno(const std::string& what, int number)
{
    return Error(what + ": " + std::generic_category().message(number), number);
}

} // namespace failclosed
