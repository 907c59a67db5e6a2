// SPDX-License-Identifier: GPL-3.0-or-later
// systemd-resolved: settings of one link (org.freedesktop.resolve1(5)).
#include <cstring>

#include "core/apply/dbus/bus.hpp"

namespace {

using namespace failclosed::dbus;

constexpr Target kManager = {"org.freedesktop.resolve1", "/org/freedesktop/resolve1",
                             "org.freedesktop.resolve1.Manager"};

/// Limit for our own and copied domains together; systemd-resolved's limit for a link is higher.
constexpr int kDomainLimit = 200;

GVariant* make_servers(const FailclosedLinkDns& dns)
{
    GVariantBuilder servers;
    g_variant_builder_init(&servers, G_VARIANT_TYPE("a(iay)"));
    for (const char* const* text = dns.servers; *text != nullptr; text++) {
        GInetAddress* address = g_inet_address_new_from_string(*text);
        if (address == nullptr) {
            continue;
        }
        const int family = g_inet_address_get_family(address) == G_SOCKET_FAMILY_IPV4 ? 2 : 10;
        GVariant* bytes =
            g_variant_new_fixed_array(G_VARIANT_TYPE_BYTE, g_inet_address_to_bytes(address),
                                      g_inet_address_get_native_size(address), 1);
        g_variant_builder_add(&servers, "(i@ay)", family, bytes);
        g_object_unref(address);
    }
    return g_variant_builder_end(&servers);
}

bool is_tunnel(const FailclosedLinkDns& dns, int index)
{
    const int* tunnel = dns.tunnels;
    while (*tunnel != 0 && *tunnel != index) {
        tunnel++;
    }
    return *tunnel != 0;
}

/// Adds the domains of all links that are not tunnels, if the tunnel takes all names.
/// systemd-resolved sends a query to the link with the longest matching domain: without this a
/// domain from a LAN's lease ("com", for example) would take its names away from the tunnel. Those
/// links' own settings are not changed.
void add_domains_of_others(GVariantBuilder& domains, GVariant* all_links,
                           const FailclosedLinkDns& dns)
{
    GVariantIter iterator;
    g_variant_iter_init(&iterator, all_links);
    int index = 0;
    const char* domain = nullptr;
    gboolean route_only = FALSE;
    int left = kDomainLimit;
    while (left > 0 && g_variant_iter_next(&iterator, "(i&sb)", &index, &domain, &route_only)) {
        if (index != 0 && !is_tunnel(dns, index) && strcmp(domain, ".") != 0) {
            g_variant_builder_add(&domains, "(sb)", domain, TRUE);
            left--;
        }
    }
}

Variant make_domains(const FailclosedLinkDns& dns, char** error)
{
    GVariantBuilder domains;
    g_variant_builder_init(&domains, G_VARIANT_TYPE("a(sb)"));
    for (const char* const* text = dns.search_domains; *text != nullptr; text++) {
        g_variant_builder_add(&domains, "(sb)", *text, FALSE);
    }
    if (dns.takes_all_names != 0) {
        g_variant_builder_add(&domains, "(sb)", ".", TRUE);
        const Variant all = get_property(kManager, "Domains", error);
        if (!all || !g_variant_is_of_type(all.get(), G_VARIANT_TYPE("a(isb)"))) {
            g_variant_builder_clear(&domains);
            return nullptr;
        }
        add_domains_of_others(domains, all.get(), dns);
    }
    return Variant(g_variant_ref_sink(g_variant_builder_end(&domains)));
}

/// Whether the lists hold the same items; order and duplicates are ignored.
bool same_items(GVariant* one, GVariant* other)
{
    const auto contains = [](GVariant* list, GVariant* item) {
        for (gsize i = 0; i < g_variant_n_children(list); i++) {
            const Variant candidate(g_variant_get_child_value(list, i));
            if (g_variant_equal(candidate.get(), item)) {
                return true;
            }
        }
        return false;
    };
    const auto contains_all = [&](GVariant* list, GVariant* items) {
        for (gsize i = 0; i < g_variant_n_children(items); i++) {
            const Variant item(g_variant_get_child_value(items, i));
            if (!contains(list, item.get())) {
                return false;
            }
        }
        return true;
    };
    return contains_all(one, other) && contains_all(other, one);
}

bool link_has(const Target& link, const char* property, GVariant* wanted, char** error)
{
    const Variant held = get_property(link, property, error);
    return held && g_variant_is_of_type(held.get(), g_variant_get_type(wanted)) &&
           same_items(held.get(), wanted);
}

bool set(const char* method, GVariant* parameters, char** error)
{
    return *error == nullptr && call(kManager, method, parameters, error) != nullptr;
}

FailclosedAnswer outcome(bool done, const char* const* error)
{
    return *error != nullptr ? FailclosedFailed : done ? FailclosedYes : FailclosedNo;
}

} // namespace

FAILCLOSED_EXPORT FailclosedAnswer failclosed_resolved_holds(const FailclosedLinkDns* dns,
                                                             char** error)
{
    const Variant answer = call(kManager, "GetLink", g_variant_new("(i)", dns->index), error);
    if (!answer || !g_variant_is_of_type(answer.get(), G_VARIANT_TYPE("(o)"))) {
        return outcome(false, error);
    }
    const char* path = nullptr;
    g_variant_get(answer.get(), "(&o)", &path);
    const Target link{kManager.service, path, "org.freedesktop.resolve1.Link"};
    const Variant domains = make_domains(*dns, error);
    const Variant servers(g_variant_ref_sink(make_servers(*dns)));
    return outcome(domains && link_has(link, "DNS", servers.get(), error) &&
                       link_has(link, "Domains", domains.get(), error),
                   error);
}

/// Switches DNS over TLS off, which few VPN resolvers support and which the tunnel replaces, and
/// LLMNR and mDNS, which would send names to other clients of the tunnel.
FAILCLOSED_EXPORT FailclosedAnswer failclosed_resolved_set(const FailclosedLinkDns* dns,
                                                           char** error)
{
    const int index = dns->index;
    const Variant domains = make_domains(*dns, error);
    const bool done =
        domains &&
        set("SetLinkDNS", g_variant_new("(i@a(iay))", index, make_servers(*dns)), error) &&
        set("SetLinkDomains", g_variant_new("(i@a(sb))", index, domains.get()), error) &&
        set("SetLinkDefaultRoute", g_variant_new("(ib)", index, dns->takes_all_names != 0),
            error) &&
        set("SetLinkLLMNR", g_variant_new("(is)", index, "no"), error) &&
        set("SetLinkMulticastDNS", g_variant_new("(is)", index, "no"), error) &&
        set("SetLinkDNSOverTLS", g_variant_new("(is)", index, "no"), error);
    return outcome(done, error);
}

FAILCLOSED_EXPORT FailclosedAnswer failclosed_resolved_revert(int index, char** error)
{
    return outcome(set("RevertLink", g_variant_new("(i)", index), error), error);
}
