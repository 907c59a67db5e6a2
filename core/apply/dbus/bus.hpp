// SPDX-License-Identifier: GPL-3.0-or-later
// Calls on the system bus with a time limit.
#pragma once

#include <gio/gio.h>

#include "core/apply/dbus/module.hpp"
#include "core/base/owned.hpp"

#define FAILCLOSED_EXPORT __attribute__((visibility("default")))

namespace failclosed::dbus {

using Variant = Owned<GVariant, g_variant_unref>;

/// An interface of an object.
struct Target {
    const char* service;
    const char* path;
    const char* interface;
};

/// Calls a method and waits for the answer, for at most two seconds. Does not start a service.
/// `parameters` may be floating. On failure returns null, and stores a new copy of the reason in
/// `*error` if `error` is not null. If `refused` is not null, stores whether the error came from
/// the service (true) or from the bus.
Variant call(const Target& target, const char* method, GVariant* parameters, char** error,
             bool* refused = nullptr);

/// The property's value, taken out of its variant. If the service's name has no owner, or its owner
/// does not have the object, and `absent` is not null, stores true in `*absent` and leaves `*error`
/// unchanged.
Variant get_property(const Target& target, const char* property, char** error,
                     bool* absent = nullptr);

/// FailclosedNo if no bus listens on the socket.
FailclosedAnswer find_bus(char** error);

} // namespace failclosed::dbus
