// SPDX-License-Identifier: GPL-3.0-or-later
// failclosed-dbus.so, loaded when it is first asked for.
#pragma once

#include <string>

#include "core/apply/dbus/module.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// The functions of the module; see there.
struct BusModule {
    decltype(&failclosed_dbus_answers) answers = nullptr;
    decltype(&failclosed_resolved_holds) resolved_holds = nullptr;
    decltype(&failclosed_resolved_set) resolved_set = nullptr;
    decltype(&failclosed_resolved_revert) resolved_revert = nullptr;
    decltype(&failclosed_nm_get) nm_get = nullptr;
    decltype(&failclosed_nm_same) nm_same = nullptr;
    decltype(&failclosed_nm_set) nm_set = nullptr;

    /// From an absolute path. Never unloaded: GIO cannot be.
    static Result<BusModule> load(const std::string& directory);
};

/// The outcome of a function that does something; frees `error`.
Status bus_status(const std::string& what, FailclosedAnswer answer, char* error);

/// The outcome of a function that answers a question; frees `error`.
Result<bool> bus_answer(const std::string& what, FailclosedAnswer answer, char* error);

/// Whether the service `bus_name`, called `name` in errors, runs. A bus that does not answer is
/// an error.
Result<bool> service_runs(const BusModule& bus, const char* bus_name, const char* name);

} // namespace failclosed
