// SPDX-License-Identifier: GPL-3.0-or-later
// Loads failclosed-dbus.so.
#pragma once

#include <string>

#include "core/apply/dbus/module.hpp"
#include "core/base/result.hpp"

namespace failclosed {

/// The functions of core/apply/dbus/module.hpp.
struct BusModule {
    decltype(&failclosed_dbus_answers) answers = nullptr;
    decltype(&failclosed_resolved_holds) resolved_holds = nullptr;
    decltype(&failclosed_resolved_set) resolved_set = nullptr;
    decltype(&failclosed_resolved_revert) resolved_revert = nullptr;
    decltype(&failclosed_nm_get) nm_get = nullptr;
    decltype(&failclosed_nm_same) nm_same = nullptr;
    decltype(&failclosed_nm_set) nm_set = nullptr;

    /// Loads the module from an absolute path. It is never unloaded, because GIO cannot be
    /// unloaded.
    static Result<BusModule> load(const std::string& directory);
};

/// The outcome of an action; frees `error`. `what` is the action, for messages.
Status bus_status(const std::string& what, FailclosedAnswer answer, char* error);

/// The outcome of a query; frees `error`. `what` is the query, for messages.
Result<bool> bus_answer(const std::string& what, FailclosedAnswer answer, char* error);

/// Whether the service `bus_name`, called `name` in errors, runs. An error if the bus does not
/// answer.
Result<bool> service_runs(const BusModule& bus, const char* bus_name, const char* name);

} // namespace failclosed
