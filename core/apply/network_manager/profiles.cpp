// SPDX-License-Identifier: GPL-3.0-or-later
// Reads NetworkManager's profiles with libnm, from the daemon or from key files.
#include <cstdlib>
#include <cstring>
#include <memory>

#include <NetworkManager.h>
#include <gio/gio.h>
#include <gio/gunixsocketaddress.h>

#include "core/apply/network_manager/module.hpp"
#include "core/base/owned.hpp"

#define FAILCLOSED_EXPORT __attribute__((visibility("default")))

namespace {

using failclosed::Owned;
using failclosed::Releaser;

/// Not from DBUS_SYSTEM_BUS_ADDRESS: a hook's environment is not trusted.
constexpr const char* kSocket = "/run/dbus/system_bus_socket";
constexpr const char* kWireguard = "wireguard";

using Array = Owned<GPtrArray, g_ptr_array_unref>;

template <typename T> using Shared = std::unique_ptr<T, Releaser<g_object_unref>>;

void pass_on(const GError* problem, char** error)
{
    *error = strdup(problem != nullptr ? problem->message : "unknown reason");
}

const char* or_empty(const char* text)
{
    return text != nullptr ? text : "";
}

void add(const Array& list, const char* text)
{
    g_ptr_array_add(list.get(), const_cast<char*>(text));
}

const char* const* items(const Array& list)
{
    add(list, nullptr);
    return const_cast<const char* const*>(reinterpret_cast<char**>(list->pdata));
}

void add_data(const Array& data, NMSettingVpn* vpn, const FailclosedNmQuery& query)
{
    for (const char* const* key = query.keys; *key != nullptr; key++) {
        if (const char* value = nm_setting_vpn_get_data_item(vpn, *key); value != nullptr) {
            add(data, *key);
            add(data, value);
        }
    }
}

void add_endpoints(const Array& endpoints, NMSettingWireGuard* wireguard)
{
    for (guint i = 0; i < nm_setting_wireguard_get_peers_len(wireguard); i++) {
        NMWireGuardPeer* peer = nm_setting_wireguard_get_peer(wireguard, i);
        if (const char* text = nm_wireguard_peer_get_endpoint(peer); text != nullptr) {
            add(endpoints, text);
        }
    }
}

using Sum = Owned<GChecksum, g_checksum_free>;
using Variant = Owned<GVariant, g_variant_unref>;

void add_text(const Sum& sum, const char* text)
{
    // With the terminating NUL, so that different lists of texts are different bytes.
    g_checksum_update(sum.get(), reinterpret_cast<const guchar*>(text),
                      static_cast<gssize>(strlen(text) + 1));
}

int compare_keys(const void* one, const void* other)
{
    const auto key = [](const void* entry) {
        const Variant name(g_variant_get_child_value(*static_cast<GVariant* const*>(entry), 0));
        return Owned<gchar, g_free>(g_variant_dup_string(name.get(), nullptr));
    };
    return strcmp(key(one).get(), key(other).get());
}

using AddValue = void (*)(const Sum& sum, const char* key, GVariant* value);

/// Visits the entries of a dictionary in the order of their keys, because NetworkManager keeps some
/// dictionaries in hash tables.
void for_each_sorted(const Sum& sum, GVariant* dictionary, AddValue add_value)
{
    const Owned<GPtrArray, g_ptr_array_unref> entries(g_ptr_array_new_with_free_func(
        [](void* entry) { g_variant_unref(static_cast<GVariant*>(entry)); }));
    for (gsize i = 0; i < g_variant_n_children(dictionary); i++) {
        g_ptr_array_add(entries.get(), g_variant_get_child_value(dictionary, i));
    }
    g_ptr_array_sort(entries.get(), compare_keys);
    for (guint i = 0; i < entries->len; i++) {
        auto* entry = static_cast<GVariant*>(entries->pdata[i]);
        const Variant key(g_variant_get_child_value(entry, 0));
        const Variant value(g_variant_get_child_value(entry, 1));
        add_value(sum, g_variant_get_string(key.get(), nullptr), value.get());
    }
}

void add_value(const Sum& sum, const char* key, GVariant* value)
{
    const Variant inside(g_variant_is_of_type(value, G_VARIANT_TYPE_VARIANT) != FALSE
                             ? g_variant_get_variant(value)
                             : g_variant_ref(value));
    add_text(sum, key);
    if (g_variant_is_of_type(inside.get(), G_VARIANT_TYPE("a{s*}")) != FALSE) {
        for_each_sorted(sum, inside.get(), add_value);
        add_text(sum, "");
        return;
    }
    const Owned<gchar, g_free> text(g_variant_print(inside.get(), TRUE));
    add_text(sum, text.get());
}

/// Adds the keys of [connection] that identify the profile and its users; its times change without
/// a change of settings.
void add_identity(const Sum& sum, const char* key, GVariant* value)
{
    for (const char* wanted : {"uuid", "type", "interface-name", "permissions"}) {
        if (strcmp(key, wanted) == 0) {
            add_value(sum, key, value);
        }
    }
}

/// The digest of FailclosedNmProfile. It is the same for the daemon and for a key file, because
/// nm_connection_normalize() adds missing properties.
Sum digest_of(NMConnection* connection)
{
    Sum sum(g_checksum_new(G_CHECKSUM_SHA256));
    const Shared<NMConnection> whole(nm_simple_connection_new_clone(connection));
    nm_connection_normalize(whole.get(), nullptr, nullptr, nullptr);
    const Variant settings(
        g_variant_ref_sink(nm_connection_to_dbus(whole.get(), NM_CONNECTION_SERIALIZE_NO_SECRETS)));
    for (const char* name : {"connection", "vpn", "wireguard", "ipv4", "ipv6", "proxy"}) {
        const Variant setting(g_variant_lookup_value(settings.get(), name, nullptr));
        if (setting && g_variant_n_children(setting.get()) != 0) {
            add_text(sum, name);
            for_each_sorted(sum, setting.get(),
                            strcmp(name, "connection") == 0 ? add_identity : add_value);
            add_text(sum, "");
        }
    }
    return sum;
}

bool is_private(NMConnection* connection)
{
    NMSettingConnection* setting = nm_connection_get_setting_connection(connection);
    return setting == nullptr || nm_setting_connection_get_num_permissions(setting) != 0;
}

/// Calls query.visit if the profile matches the query; false if it does not match.
bool visit(const FailclosedNmQuery& query, NMConnection* connection, const char* name)
{
    NMSettingVpn* vpn = nm_connection_get_setting_vpn(connection);
    auto* wireguard = reinterpret_cast<NMSettingWireGuard*>(
        nm_connection_get_setting(connection, NM_TYPE_SETTING_WIREGUARD));
    const char* uuid = or_empty(nm_connection_get_uuid(connection));
    if ((vpn == nullptr && wireguard == nullptr) ||
        (query.uuid != nullptr && strcmp(uuid, query.uuid) != 0)) {
        return false;
    }
    const Array data(g_ptr_array_new());
    const Array endpoints(g_ptr_array_new());
    FailclosedNmProfile profile{};
    const char* id = nm_connection_get_id(connection);
    profile.id = id != nullptr ? id : name;
    profile.uuid = uuid;
    if (vpn != nullptr) {
        profile.service = or_empty(nm_setting_vpn_get_service_type(vpn));
        add_data(data, vpn, query);
    } else {
        profile.service = kWireguard;
        profile.fwmark = nm_setting_wireguard_get_fwmark(wireguard);
        add_endpoints(endpoints, wireguard);
    }
    const Sum digest = digest_of(connection);
    profile.digest = g_checksum_get_string(digest.get());
    profile.is_private = is_private(connection) ? 1 : 0;
    profile.file =
        NM_IS_REMOTE_CONNECTION(connection)
            ? or_empty(nm_remote_connection_get_filename(NM_REMOTE_CONNECTION(connection)))
            : "";
    profile.data = items(data);
    profile.endpoints = items(endpoints);
    query.visit(&profile, query.context);
    return true;
}

/// A query to the daemon. On the heap, because callbacks can still refer to it after the time
/// limit.
struct Listing {
    GMainContext* context;
    GCancellable* cancellable;
    NMClient* client;
    /// The device whose applied settings are requested; may be null.
    const char* device;
    NMConnection* applied;
    GError* problem;
    GSource* limit;
    bool absent;
    bool done;
    bool late;
    bool released;
};

Listing* make_listing(const char* device)
{
    // Without `new`: this module does not link the C++ library.
    auto* listing = g_new0(Listing, 1);
    listing->context = g_main_context_new();
    listing->cancellable = g_cancellable_new();
    listing->device = device;
    return listing;
}

void fail(Listing* listing, GError* problem)
{
    listing->problem = problem;
    listing->done = true;
}

void on_applied(GObject* source, GAsyncResult* result, void* data)
{
    auto* listing = static_cast<Listing*>(data);
    GError* problem = nullptr;
    listing->applied =
        nm_device_get_applied_connection_finish(NM_DEVICE(source), result, nullptr, &problem);
    if (listing->applied == nullptr) {
        fail(listing, problem);
        return;
    }
    listing->done = true;
}

/// Requests the settings applied to the device. False if NetworkManager does not apply a profile to
/// it: a VPN's device is external.
bool ask_for_applied(Listing* listing)
{
    NMDevice* device = listing->device != nullptr && !listing->absent
                           ? nm_client_get_device_by_iface(listing->client, listing->device)
                           : nullptr;
    if (device == nullptr || !NM_IS_DEVICE_WIREGUARD(device)) {
        return false;
    }
    nm_device_get_applied_connection_async(device, 0, listing->cancellable, on_applied, listing);
    return true;
}

void on_client(GObject* source, GAsyncResult* result, void* data)
{
    auto* listing = static_cast<Listing*>(data);
    GError* problem = nullptr;
    GObject* client = g_async_initable_new_finish(G_ASYNC_INITABLE(source), result, &problem);
    if (client == nullptr) {
        fail(listing, problem);
        return;
    }
    listing->client = NM_CLIENT(client);
    listing->absent = !nm_client_get_nm_running(listing->client);
    listing->done = !ask_for_applied(listing);
}

void on_bus(GObject* /*source*/, GAsyncResult* result, void* data)
{
    auto* listing = static_cast<Listing*>(data);
    GError* problem = nullptr;
    const Shared<GDBusConnection> bus(g_dbus_connection_new_finish(result, &problem));
    if (!bus) {
        fail(listing, problem);
        return;
    }
    g_async_initable_new_async(
        NM_TYPE_CLIENT, G_PRIORITY_DEFAULT, listing->cancellable, on_client, listing,
        NM_CLIENT_DBUS_CONNECTION, bus.get(), NM_CLIENT_INSTANCE_FLAGS,
        static_cast<guint>(NM_CLIENT_INSTANCE_FLAGS_NO_AUTO_FETCH_PERMISSIONS), nullptr);
}

void on_socket(GObject* source, GAsyncResult* result, void* data)
{
    auto* listing = static_cast<Listing*>(data);
    GError* problem = nullptr;
    const Shared<GSocketConnection> stream(
        g_socket_client_connect_finish(G_SOCKET_CLIENT(source), result, &problem));
    if (!stream) {
        listing->absent = g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_NOT_FOUND) ||
                          g_error_matches(problem, G_IO_ERROR, G_IO_ERROR_CONNECTION_REFUSED);
        fail(listing, problem);
        return;
    }
    g_dbus_connection_new(
        G_IO_STREAM(stream.get()), nullptr,
        static_cast<GDBusConnectionFlags>(G_DBUS_CONNECTION_FLAGS_AUTHENTICATION_CLIENT |
                                          G_DBUS_CONNECTION_FLAGS_MESSAGE_BUS_CONNECTION),
        nullptr, listing->cancellable, on_bus, listing);
}

gboolean on_time_limit(void* data)
{
    static_cast<Listing*>(data)->late = true;
    return G_SOURCE_REMOVE;
}

/// Runs the query in its own main context, one iteration at a time; the time limit is checked
/// between iterations.
void run(Listing* listing, unsigned limit_milliseconds)
{
    g_main_context_push_thread_default(listing->context);
    listing->limit = g_timeout_source_new(limit_milliseconds);
    g_source_set_priority(listing->limit, G_PRIORITY_HIGH);
    g_source_set_callback(listing->limit, on_time_limit, listing, nullptr);
    g_source_attach(listing->limit, listing->context);

    const Shared<GSocketClient> socket(g_socket_client_new());
    g_socket_client_set_enable_proxy(socket.get(), FALSE);
    const Shared<GSocketAddress> address(g_unix_socket_address_new(kSocket));
    g_socket_client_connect_async(socket.get(), G_SOCKET_CONNECTABLE(address.get()),
                                  listing->cancellable, on_socket, listing);
    while (!listing->done && !listing->late) {
        g_main_context_iteration(listing->context, TRUE);
    }
    g_main_context_pop_thread_default(listing->context);
}

void on_released(void* data, GObject* /*watcher*/)
{
    static_cast<Listing*>(data)->released = true;
}

/// Releases the client and waits until its last call has left the context
/// (nm_client_get_context_busy_watcher), within the same time limit.
void release(Listing* listing)
{
    if (listing->client != nullptr) {
        g_object_weak_ref(nm_client_get_context_busy_watcher(listing->client), on_released,
                          listing);
        g_clear_object(&listing->client);
        while (!listing->released && !listing->late) {
            g_main_context_iteration(listing->context, TRUE);
        }
        if (!listing->released) {
            return; // callbacks still refer to it
        }
    }
    while (!listing->late && g_main_context_iteration(listing->context, FALSE) != FALSE) {
    }
    g_source_destroy(listing->limit);
    g_source_unref(listing->limit);
    g_clear_error(&listing->problem);
    g_clear_object(&listing->applied);
    g_object_unref(listing->cancellable);
    g_main_context_unref(listing->context);
    g_free(listing);
}

} // namespace

FAILCLOSED_EXPORT FailclosedNmAnswer failclosed_nm_list(const FailclosedNmQuery* query,
                                                        unsigned limit_milliseconds, char** error)
{
    // The variable can name a file to which libnm then writes.
    g_unsetenv("LIBNM_CLIENT_DEBUG");
    Listing* listing = make_listing(query->device);
    run(listing, limit_milliseconds);
    if (!listing->done) {
        // Outstanding callbacks refer to the listing. They are not called, because the context no
        // longer runs; the listing is not freed.
        g_cancellable_cancel(listing->cancellable);
        *error = strdup("no answer in time");
        return FailclosedNmFailed;
    }
    FailclosedNmAnswer answer = FailclosedNmDone;
    if (listing->absent) {
        answer = FailclosedNmAbsent;
    } else if (listing->client == nullptr || listing->problem != nullptr) {
        pass_on(listing->problem, error);
        answer = FailclosedNmFailed;
    } else if (listing->applied != nullptr) {
        visit(*query, listing->applied, "");
    } else {
        const GPtrArray* connections = nm_client_get_connections(listing->client);
        for (guint i = 0; i < connections->len; i++) {
            visit(*query, NM_CONNECTION(connections->pdata[i]), "");
        }
    }
    release(listing);
    return answer;
}

FAILCLOSED_EXPORT FailclosedNmAnswer failclosed_nm_read(const FailclosedNmQuery* query,
                                                        const char* text, size_t size,
                                                        const char* name)
{
    const Owned<GKeyFile, g_key_file_unref> file(g_key_file_new());
    if (g_key_file_load_from_data(file.get(), text, size, G_KEY_FILE_NONE, nullptr) == FALSE) {
        return FailclosedNmFailed;
    }
    const Shared<NMConnection> connection(
        nm_keyfile_read(file.get(), "/etc/NetworkManager/system-connections",
                        NM_KEYFILE_HANDLER_FLAGS_NONE, nullptr, nullptr, nullptr));
    if (!connection) {
        return FailclosedNmFailed;
    }
    nm_connection_clear_secrets(connection.get());
    return visit(*query, connection.get(), name) ? FailclosedNmDone : FailclosedNmAbsent;
}
