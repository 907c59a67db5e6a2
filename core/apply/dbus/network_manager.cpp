// SPDX-License-Identifier: GPL-3.0-or-later
// NetworkManager's GlobalDnsConfiguration, which replaces the DNS settings of all connections
// (D-Bus API, org.freedesktop.NetworkManager).
#include <cstring>

#include "core/apply/dbus/bus.hpp"

namespace {

using namespace failclosed::dbus;

constexpr Target kManager = {"org.freedesktop.NetworkManager", "/org/freedesktop/NetworkManager",
                             "org.freedesktop.NetworkManager"};
constexpr Target kProperties = {kManager.service, kManager.path, "org.freedesktop.DBus.Properties"};
constexpr const char* kProperty = "GlobalDnsConfiguration";

Variant parse(const char* text)
{
    return Variant(g_variant_parse(G_VARIANT_TYPE_VARDICT, text, nullptr, nullptr, nullptr));
}

bool is_empty(GVariant* value)
{
    return g_variant_is_container(value) && g_variant_n_children(value) == 0;
}

/// Whether each non-empty entry of `wanted` is in `holder`. Dictionaries are compared by key,
/// because their order has no meaning.
bool holds_all(GVariant* holder, GVariant* wanted)
{
    if (!g_variant_is_of_type(wanted, G_VARIANT_TYPE_VARDICT) ||
        !g_variant_is_of_type(holder, G_VARIANT_TYPE_VARDICT)) {
        return g_variant_equal(holder, wanted);
    }
    GVariantIter iterator;
    g_variant_iter_init(&iterator, wanted);
    for (;;) {
        const char* key = nullptr;
        GVariant* next = nullptr;
        if (!g_variant_iter_next(&iterator, "{&sv}", &key, &next)) {
            return true;
        }
        const Variant value(next);
        const Variant held(g_variant_lookup_value(holder, key, nullptr));
        if (!is_empty(value.get()) && (!held || !holds_all(held.get(), value.get()))) {
            return false;
        }
    }
}

} // namespace

FAILCLOSED_EXPORT FailclosedAnswer failclosed_nm_get(char** value, char** error)
{
    if (const FailclosedAnswer found = find_bus(error); found != FailclosedYes) {
        return found;
    }
    bool absent = false;
    const Variant held = get_property(kManager, kProperty, error, &absent);
    if (!held) {
        return absent ? FailclosedNo : FailclosedFailed;
    }
    gchar* text = g_variant_print(held.get(), TRUE);
    *value = strdup(text);
    g_free(text);
    return FailclosedYes;
}

FAILCLOSED_EXPORT FailclosedAnswer failclosed_nm_same(const char* one, const char* other)
{
    const Variant left = parse(one);
    const Variant right = parse(other);
    const bool same =
        left && right && holds_all(left.get(), right.get()) && holds_all(right.get(), left.get());
    return same ? FailclosedYes : FailclosedNo;
}

FAILCLOSED_EXPORT FailclosedAnswer failclosed_nm_set(const char* value, char** error)
{
    const Variant wanted = parse(value);
    if (!wanted) {
        *error = strdup("not a GlobalDnsConfiguration");
        return FailclosedFailed;
    }
    GVariant* boxed = g_variant_new("(ssv)", kManager.interface, kProperty, wanted.get());
    bool refused = false;
    if (call(kProperties, "Set", boxed, error, &refused)) {
        return FailclosedYes;
    }
    return refused ? FailclosedNo : FailclosedFailed;
}
