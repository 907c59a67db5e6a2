// SPDX-License-Identifier: GPL-3.0-or-later
// Loading the D-Bus module.
#include "core/apply/dns/bus.hpp"

#include <cstdlib>

#include <dlfcn.h>

#include "core/base/owned.hpp"

namespace failclosed {
namespace {

template <typename Function> bool find(void* module, const char* name, Function& function)
{
    function = reinterpret_cast<Function>(dlsym(module, name));
    return function != nullptr;
}

} // namespace

Result<BusModule> BusModule::load(const std::string& directory)
{
    const std::string path = directory + "/failclosed-dbus.so";
    void* module = path.starts_with('/') ? dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
    if (module == nullptr) {
        return fail(path + ": cannot be loaded");
    }
    BusModule functions;
    if (!find(module, "failclosed_dbus_answers", functions.answers) ||
        !find(module, "failclosed_resolved_holds", functions.resolved_holds) ||
        !find(module, "failclosed_resolved_set", functions.resolved_set) ||
        !find(module, "failclosed_resolved_revert", functions.resolved_revert) ||
        !find(module, "failclosed_nm_get", functions.nm_get) ||
        !find(module, "failclosed_nm_same", functions.nm_same) ||
        !find(module, "failclosed_nm_set", functions.nm_set)) {
        return fail(path + ": does not match this version of failclosed; install failclosed again");
    }
    return functions;
}

Status bus_status(const std::string& what, FailclosedAnswer answer, char* error)
{
    const Owned<char, std::free> reason(error);
    if (answer == FailclosedYes) {
        return {};
    }
    return fail(what + ": " + (reason ? reason.get() : "refused"));
}

Result<bool> bus_answer(const std::string& what, FailclosedAnswer answer, char* error)
{
    const Owned<char, std::free> reason(error);
    if (answer == FailclosedFailed) {
        return fail(what + ": " + (reason ? reason.get() : "refused"));
    }
    return answer == FailclosedYes;
}

Result<bool> service_runs(const BusModule& bus, const char* bus_name, const char* name)
{
    char* error = nullptr;
    const FailclosedAnswer answer = bus.answers(bus_name, &error);
    return bus_answer(name, answer, error);
}

} // namespace failclosed
