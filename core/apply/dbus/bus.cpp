// SPDX-License-Identifier: GPL-3.0-or-later
// A single connection per process to the system bus.
#include "core/apply/dbus/bus.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>

#include <gio/gunixsocketaddress.h>

namespace failclosed::dbus {
namespace {

/// Not from DBUS_SYSTEM_BUS_ADDRESS: a hook's environment is not trusted.
constexpr const char* kSocket = "/run/dbus/system_bus_socket";
constexpr guint kTimeoutSeconds = 2;

using Object = Owned<void, g_object_unref>;
using Problem = Owned<GError, g_error_free>;

template <typename T> using Shared = std::unique_ptr<T, Releaser<g_object_unref>>;

/// Sets the time limit on the socket, because GDBus has none for its handshake.
GDBusConnection* connect(GError** problem)
{
    const Shared<GSocketClient> client(g_socket_client_new());
    g_socket_client_set_timeout(client.get(), kTimeoutSeconds);
    g_socket_client_set_enable_proxy(client.get(), FALSE);
    const Shared<GSocketAddress> address(g_unix_socket_address_new(kSocket));
    const Shared<GSocketConnection> stream(g_socket_client_connect(
        client.get(), G_SOCKET_CONNECTABLE(address.get()), nullptr, problem));
    if (!stream) {
        return nullptr;
    }
    return g_dbus_connection_new_sync(
        G_IO_STREAM(stream.get()), nullptr,
        static_cast<GDBusConnectionFlags>(G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                          G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION),
        nullptr, nullptr, problem);
}

/// Connects at the first call, and again if the connection was closed. The connection is never
/// freed.
GDBusConnection* connection(GError** problem)
{
    static GDBusConnection* bus = nullptr;
    if (bus != nullptr && g_dbus_connection_is_closed(bus)) {
        g_clear_object(&bus);
    }
    if (bus == nullptr) {
        bus = connect(problem);
    }
    return bus;
}

void pass_on(GError* problem, char** error)
{
    if (problem != nullptr && error != nullptr) {
        g_dbus_error_strip_remote_error(problem);
        *error = strdup(problem->message);
    }
}

bool is_absence(const GError* problem)
{
    return std::ranges::any_of(
        std::array{G_DBUS_ERROR_SERVICE_UNKNOWN, G_DBUS_ERROR_NAME_HAS_NO_OWNER,
                   G_DBUS_ERROR_UNKNOWN_OBJECT, G_DBUS_ERROR_UNKNOWN_INTERFACE,
                   G_DBUS_ERROR_UNKNOWN_METHOD},
        [&](GDBusError code) { return g_error_matches(problem, G_DBUS_ERROR, code); });
}

bool is_refusal(const GError* problem)
{
    if (problem == nullptr) {
        return false;
    }
    const Owned<gchar, g_free> name(g_dbus_error_get_remote_error(problem));
    return name && !g_str_has_prefix(name.get(), "org.freedesktop.DBus.");
}

Variant ask(const Target& target, const char* method, GVariant* parameters, GError** problem)
{
    const Variant held(g_variant_ref_sink(parameters));
    GDBusConnection* bus = connection(problem);
    if (bus == nullptr) {
        return nullptr;
    }
    return Variant(g_dbus_connection_call_sync(
        bus, target.service, target.path, target.interface, method, held.get(), nullptr,
        G_DBUS_CALL_FLAGS_NO_AUTO_START, kTimeoutSeconds * 1000, nullptr, problem));
}

} // namespace

FailclosedAnswer find_bus(char** error)
{
    GError* problem = nullptr;
    if (connection(&problem) != nullptr) {
        return FailclosedYes;
    }
    const Problem owned(problem);
    if (g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
        g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED)) {
        return FailclosedNo;
    }
    pass_on(problem, error);
    return FailclosedFailed;
}

Variant call(const Target& target, const char* method, GVariant* parameters, char** error,
             bool* refused)
{
    GError* problem = nullptr;
    Variant answer = ask(target, method, parameters, &problem);
    const Problem owned(problem);
    if (refused != nullptr) {
        *refused = is_refusal(problem);
    }
    pass_on(problem, error);
    return answer;
}

Variant get_property(const Target& target, const char* property, char** error, bool* absent)
{
    const Target properties{target.service, target.path, "org.freedesktop.DBus.Properties"};
    GError* problem = nullptr;
    const Variant answer =
        ask(properties, "Get", g_variant_new("(ss)", target.interface, property), &problem);
    const Problem owned(problem);
    if (absent != nullptr) {
        *absent = problem != nullptr && is_absence(problem);
    }
    if (!answer) {
        if (absent == nullptr || !*absent) {
            pass_on(problem, error);
        }
        return nullptr;
    }
    if (!g_variant_is_of_type(answer.get(), G_VARIANT_TYPE("(v)"))) {
        if (error != nullptr) {
            *error = strdup("unexpected answer");
        }
        return nullptr;
    }
    GVariant* value = nullptr;
    g_variant_get(answer.get(), "(v)", &value);
    return Variant(value);
}

} // namespace failclosed::dbus

FAILCLOSED_EXPORT FailclosedAnswer failclosed_dbus_answers(const char* service, char** error)
{
    using namespace failclosed::dbus;
    if (const FailclosedAnswer found = find_bus(error); found != FailclosedYes) {
        return found;
    }
    const Target bus{"org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus"};
    const Variant answer = call(bus, "NameHasOwner", g_variant_new("(s)", service), error);
    if (!answer || !g_variant_is_of_type(answer.get(), G_VARIANT_TYPE("(b)"))) {
        return FailclosedFailed;
    }
    gboolean owned = FALSE;
    g_variant_get(answer.get(), "(b)", &owned);
    return owned ? FailclosedYes : FailclosedNo;
}
