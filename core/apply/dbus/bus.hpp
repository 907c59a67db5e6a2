// SPDX-License-Identifier: GPL-3.0-or-later
// Bounded calls on the system bus.
#pragma once

#include <gio/gio.h>

#include "core/apply/dbus/module.hpp"
#include "core/base/owned.hpp"

#define FAILCLOSED_EXPORT __attribute__((visibility("default")))

namespace failclosed::dbus {

using Variant = Owned<GVariant, g_variant_unref>;

/// An object's interface.
struct Target {
    const char* service;
    const char* path;
    const char* interface;
};

/// Calls a method and waits for the answer, two seconds at most; a service that is not running is
/// not started. `parameters` may float. Null on failure, with a new copy of the reason in
/// `*error` where `error` is not null. Where `refused` is not null, it says whether the service
/// itself gave that reason, and not the bus.
Variant call(const Target& target, const char* method, GVariant* parameters, char** error,
             bool* refused = nullptr);

/// The property's value, without its box. Where `absent` is not null, it says whether nobody has
/// the service's name, or whoever has it does not have the object; `*error` stays untouched then.
Variant get_property(const Target& target, const char* property, char** error,
                     bool* absent = nullptr);

/// FailclosedNo where nobody listens.
FailclosedAnswer find_bus(char** error);

} // namespace failclosed::dbus
