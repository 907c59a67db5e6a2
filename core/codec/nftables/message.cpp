// SPDX-License-Identifier: GPL-3.0-or-later
// Rulesets as the bytes of one nftables batch (linux/netfilter/nf_tables.h).
#include "core/codec/nftables/message.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <limits>
#include <span>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "core/codec/nftables/expressions.hpp"
#include "core/codec/nftables/rules.hpp"

namespace failclosed {
namespace {

/// The maximum size of one message, without the parts of a rule and the elements.
constexpr std::size_t kMessageRoom = 4 * 1024;
/// The maximum size of one match or action of a rule.
constexpr std::size_t kPartRoom = 2 * 1024;
/// The maximum size of one element: two keys of all registers, and the name of a chain.
constexpr std::size_t kElementRoom = 512;
constexpr std::size_t kMostMatches = 64;
constexpr std::size_t kLongestComment = NFTNL_UDATA_COMMENT_MAXLEN - 1;
/// The maximum size of a chunk of elements, which must fit a 16-bit attribute length.
constexpr std::size_t kElementChunk = 60000;
constexpr std::uint32_t kVerdictType = NFT_DATA_VERDICT;
constexpr std::uint32_t kTypeBits = 6;
/// Byte orders in nft(8)'s user data.
constexpr std::uint32_t kNftHostOrder = 1;
constexpr std::uint32_t kNftNetworkOrder = 2;

/// Appends messages to a batch.
class BatchWriter {
  public:
    BatchWriter() { control(NFNL_MSG_BATCH_BEGIN); }

    explicit BatchWriter(std::uint32_t generation) : BatchWriter()
    {
        mnl_attr_put_u32(open_, NFNL_BATCH_GENID, htonl(generation));
    }

    /// The message takes attributes until the next begin(), up to `room` bytes more than
    /// kMessageRoom.
    nlmsghdr* begin(const TableName& table, std::uint16_t type, std::uint16_t flags,
                    std::string operation, std::size_t room = 0)
    {
        make_room(room);
        nlmsghdr* message = open(static_cast<std::uint16_t>(NFNL_SUBSYS_NFTABLES << 8 | type),
                                 flags, protocol_family(table.family), 0);
        batch_.operations.push_back(std::move(operation));
        // Every message of nftables has its table's name as attribute 1.
        mnl_attr_put_strz(message, NFTA_TABLE_NAME, table.name.c_str());
        return message;
    }

    NftBatch finish()
    {
        if (open_ != nullptr) {
            open_->nlmsg_flags |= NLM_F_ACK;
        }
        control(NFNL_MSG_BATCH_END);
        close();
        batch_.operations.pop_back();
        batch_.bytes.resize(used_);
        return std::move(batch_);
    }

  private:
    void control(std::uint16_t type)
    {
        open(type, 0, AF_UNSPEC, NFNL_SUBSYS_NFTABLES);
        batch_.operations.emplace_back("the whole batch");
    }

    nlmsghdr* open(std::uint16_t type, std::uint16_t flags, std::uint8_t family,
                   std::uint16_t resource)
    {
        make_room(0);
        open_ = mnl_nlmsg_put_header(batch_.bytes.data() + used_);
        open_->nlmsg_type = type;
        open_->nlmsg_flags = static_cast<std::uint16_t>(NLM_F_REQUEST | flags);
        open_->nlmsg_seq = static_cast<std::uint32_t>(batch_.operations.size());
        auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(open_, sizeof(nfgenmsg)));
        header->nfgen_family = family;
        header->version = NFNETLINK_V0;
        header->res_id = htons(resource);
        return open_;
    }

    void close()
    {
        used_ += open_ == nullptr ? 0 : MNL_ALIGN(open_->nlmsg_len);
        open_ = nullptr;
    }

    void make_room(std::size_t more)
    {
        close();
        const std::size_t needed = used_ + kMessageRoom + more;
        if (batch_.bytes.size() < needed) {
            batch_.bytes.resize(std::max(2 * batch_.bytes.size(), needed));
        }
    }

    NftBatch batch_;
    nlmsghdr* open_ = nullptr;
    std::size_t used_ = 0;
};

void put_u32(nlmsghdr* message, std::uint16_t attribute, std::uint32_t value)
{
    mnl_attr_put_u32(message, attribute, htonl(value));
}

// ---- Keys ----

using Key = std::vector<std::uint8_t>;

void append_bytes(Key& key, std::span<const std::uint8_t> bytes)
{
    key.insert(key.end(), bytes.begin(), bytes.end());
}

void append_host_order(Key& key, std::uint32_t value)
{
    std::array<std::uint8_t, sizeof value> bytes{};
    std::memcpy(bytes.data(), &value, sizeof value);
    append_bytes(key, bytes);
}

/// First and last key of an element; they differ for prefixes.
struct KeyRange {
    Key first;
    Key last;
};

/// Appends a part; false if it is not of the field's type.
class PartWriter {
  public:
    PartWriter(KeyRange& range, Field field, bool intervals)
        : range_(range), type_(field_type(field)), intervals_(intervals)
    {
    }

    bool operator()(const InterfaceName& name)
    {
        Key bytes(name.text().begin(), name.text().end());
        bytes.resize(16);
        return both("ifname", bytes);
    }

    bool operator()(const IpAddress& address)
    {
        return both(address.family() == Family::V4 ? "ipv4_addr" : "ipv6_addr", address.bytes());
    }

    bool operator()(const IpPrefix& prefix)
    {
        const bool fits = intervals_ || prefix.length() == prefix.address().bits();
        if (!fits || !(*this)(prefix.address())) {
            return false;
        }
        const IpAddress last = prefix.last();
        std::ranges::copy(last.bytes(), range_.last.end() - static_cast<long>(type_.length));
        return true;
    }

    bool operator()(Transport transport)
    {
        return both("inet_proto", std::to_array({static_cast<std::uint8_t>(transport)}));
    }

    bool operator()(Port port)
    {
        return both("inet_service",
                    std::to_array({static_cast<std::uint8_t>(port.number() >> 8),
                                   static_cast<std::uint8_t>(port.number() & 0xff)}));
    }

    bool operator()(IcmpType kind) { return both("icmp_type", std::to_array({kind.type})); }

    bool operator()(Icmpv6Type kind) { return both("icmpv6_type", std::to_array({kind.type})); }

    bool operator()(Uid uid) { return both_host_order("uid", uid.number); }

    bool operator()(Gid gid) { return both_host_order("gid", gid.number); }

    bool operator()(Mark mark) { return both_host_order("mark", mark.value); }

    bool operator()(const MacAddress& address) { return both("ether_addr", address.bytes()); }

  private:
    bool both(std::string_view type, std::span<const std::uint8_t> bytes)
    {
        append_bytes(range_.first, bytes);
        append_bytes(range_.last, bytes);
        return type == type_.name;
    }

    bool both_host_order(std::string_view type, std::uint32_t value)
    {
        append_host_order(range_.first, value);
        append_host_order(range_.last, value);
        return type == type_.name;
    }

    KeyRange& range_;
    const FieldType& type_;
    bool intervals_;
};

/// nullopt if a part does not fit its field.
std::optional<KeyRange> key_range(const SetHandle& set, const SetElement& element)
{
    if (element.key.size() != set.key.size()) {
        return std::nullopt;
    }
    KeyRange range;
    for (std::size_t i = 0; i < set.key.size(); ++i) {
        if (!std::visit(PartWriter(range, set.key[i], set.intervals), element.key[i])) {
            return std::nullopt;
        }
        if (set.key.size() > 1) { // parts of a concatenation are aligned to registers
            range.first.resize((range.first.size() + 3) / 4 * 4);
            range.last.resize(range.first.size());
        }
    }
    return range;
}

/// Adds one to a number in network order; false if it was the highest.
bool increment(Key& key)
{
    for (auto byte = key.rbegin(); byte != key.rend(); ++byte) {
        if (++*byte != 0) {
            return true;
        }
    }
    return false;
}

// ---- Sets and their elements ----

bool is_concatenation(const SetHandle& set)
{
    return set.key.size() > 1;
}

std::uint32_t set_flags(const SetHandle& set)
{
    std::uint32_t flags = 0;
    flags |= set.intervals ? NFT_SET_INTERVAL : 0;
    flags |= set.intervals && is_concatenation(set) ? NFT_SET_CONCAT : 0;
    flags |= set.verdicts ? NFT_SET_MAP : 0;
    flags |= set.timeouts ? NFT_SET_TIMEOUT : 0;
    return flags;
}

/// An element in the kernel's form: an interval of a single field consists of two.
struct RawElement {
    Key key;
    /// Set for intervals in concatenations.
    Key last;
    std::uint32_t flags = 0;
    const Decision* decision = nullptr;
};

std::string describe(const SetHandle& set)
{
    return "set " + std::string(set.name.text());
}

Failure misfit(const SetHandle& set)
{
    return fail(describe(set) + ": an element does not fit the set's key");
}

/// The intervals of a single field in the kernel's form: the start, and as end the key after the
/// last one, unless the address space ends there.
std::vector<RawElement> half_open(std::vector<RawElement> ranges)
{
    std::ranges::sort(ranges, {}, &RawElement::key);
    std::vector<RawElement> result;
    for (RawElement& range : ranges) {
        Key behind = std::move(range.last);
        result.push_back({std::move(range.key), {}, 0, range.decision});
        if (increment(behind)) {
            result.push_back({std::move(behind), {}, NFT_SET_ELEM_INTERVAL_END, nullptr});
        }
    }
    return result;
}

Result<std::vector<RawElement>> raw_elements(const Set& set)
{
    const SetHandle& handle = set.handle;
    std::vector<RawElement> result;
    result.reserve(set.elements.size());
    for (const SetElement& element : set.elements) {
        std::optional<KeyRange> range = key_range(handle, element);
        if (!range || handle.verdicts != element.decision.has_value()) {
            return misfit(handle);
        }
        const Decision* decision = element.decision ? &*element.decision : nullptr;
        if (decision != nullptr && *decision == Decision(Verdict::Reject)) {
            return fail(describe(handle) + ": reject cannot stand in a map");
        }
        result.push_back({std::move(range->first), {}, 0, decision});
        if (handle.intervals) {
            result.back().last = std::move(range->last);
        }
    }
    return handle.intervals && !is_concatenation(handle) ? half_open(std::move(result)) : result;
}

void put_set(BatchWriter& batch, const TableName& table, const SetHandle& set, std::uint32_t id)
{
    nlmsghdr* message =
        batch.begin(table, NFT_MSG_NEWSET, NLM_F_CREATE, describe(set) + " of " + to_string(table));
    std::uint32_t type = 0;
    std::uint32_t length = 0;
    for (const Field field : set.key) {
        const FieldType& part = field_type(field);
        type = type << kTypeBits | part.number;
        length += is_concatenation(set) ? (part.length + 3) / 4 * 4 : part.length;
    }
    mnl_attr_put_strz(message, NFTA_SET_NAME, set.name.c_str());
    put_u32(message, NFTA_SET_ID, id);
    put_u32(message, NFTA_SET_FLAGS, set_flags(set));
    put_u32(message, NFTA_SET_KEY_TYPE, type);
    put_u32(message, NFTA_SET_KEY_LEN, length);
    if (set.verdicts) {
        put_u32(message, NFTA_SET_DATA_TYPE, kVerdictType);
    }
    if (set.intervals && is_concatenation(set)) {
        nlattr* description = mnl_attr_nest_start(message, NFTA_SET_DESC);
        nlattr* fields = mnl_attr_nest_start(message, NFTA_SET_DESC_CONCAT);
        for (const Field field : set.key) {
            nlattr* part = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
            put_u32(message, NFTA_SET_FIELD_LEN, field_type(field).length);
            mnl_attr_nest_end(message, part);
        }
        mnl_attr_nest_end(message, fields);
        mnl_attr_nest_end(message, description);
    }
    if (!is_concatenation(set)) {
        // nft(8) prints keys by this user data; without it numbers in network order appear
        // reversed.
        std::array<std::uint8_t, 6> note = {NFTNL_UDATA_SET_KEYBYTEORDER, 4};
        const std::uint32_t order =
            field_type(set.key[0]).host_order ? kNftHostOrder : kNftNetworkOrder;
        std::memcpy(note.data() + 2, &order, sizeof order);
        mnl_attr_put(message, NFTA_SET_USERDATA, note.size(), note.data());
    }
}

void put_key(nlmsghdr* message, std::uint16_t attribute, const Key& key)
{
    nlattr* nest = mnl_attr_nest_start(message, attribute);
    mnl_attr_put(message, NFTA_DATA_VALUE, key.size(), key.data());
    mnl_attr_nest_end(message, nest);
}

void put_element(nlmsghdr* message, const RawElement& element, std::uint64_t timeout_ms)
{
    nlattr* nest = mnl_attr_nest_start(message, NFTA_LIST_ELEM);
    if (element.flags != 0) {
        put_u32(message, NFTA_SET_ELEM_FLAGS, element.flags);
    }
    put_key(message, NFTA_SET_ELEM_KEY, element.key);
    if (!element.last.empty()) {
        put_key(message, NFTA_SET_ELEM_KEY_END, element.last);
    }
    if (element.decision != nullptr) {
        nlattr* data = mnl_attr_nest_start(message, NFTA_SET_ELEM_DATA);
        nlattr* verdict = mnl_attr_nest_start(message, NFTA_DATA_VERDICT);
        put_u32(message, NFTA_VERDICT_CODE, verdict_code(*element.decision));
        if (const std::string* chain = target_chain(*element.decision)) {
            mnl_attr_put_strz(message, NFTA_VERDICT_CHAIN, chain->c_str());
        }
        mnl_attr_nest_end(message, verdict);
        mnl_attr_nest_end(message, data);
    }
    if (timeout_ms != 0) {
        mnl_attr_put_u64(message, NFTA_SET_ELEM_TIMEOUT, htobe64(timeout_ms));
    }
    mnl_attr_nest_end(message, nest);
}

/// For a message of `count` elements, or as many as fit into one message.
std::size_t element_room(std::ptrdiff_t count)
{
    return std::min(static_cast<std::size_t>(count) * kElementRoom, kElementChunk + kElementRoom);
}

void put_elements(BatchWriter& batch, const TableName& table, const SetHandle& set,
                  const std::vector<RawElement>& elements, std::uint64_t timeout_ms)
{
    for (auto element = elements.begin(); element != elements.end();) {
        nlmsghdr* message = batch.begin(table, NFT_MSG_NEWSETELEM, NLM_F_CREATE,
                                        "elements of " + describe(set) + " of " + to_string(table),
                                        element_room(elements.end() - element));
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set.name.c_str());
        nlattr* list = mnl_attr_nest_start(message, NFTA_SET_ELEM_LIST_ELEMENTS);
        const std::size_t start = message->nlmsg_len;
        while (element != elements.end() && message->nlmsg_len - start < kElementChunk) {
            put_element(message, *element, timeout_ms);
            ++element;
        }
        mnl_attr_nest_end(message, list);
    }
}

void put_attributes(BatchWriter& batch, const ElementChange& change, std::uint16_t type,
                    const std::vector<std::string>& attributes)
{
    const bool adding = type == NFT_MSG_NEWSETELEM;
    const std::string operation = std::string(adding ? "" : "removal of ") + "elements of set " +
                                  change.set + " of " + to_string(change.table);
    for (auto element = attributes.begin(); element != attributes.end();) {
        std::string chunk;
        while (element != attributes.end() && chunk.size() < kElementChunk) {
            chunk += *element++;
        }
        nlmsghdr* message =
            batch.begin(change.table, type, adding ? NLM_F_CREATE : 0, operation, chunk.size());
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, change.set.c_str());
        mnl_attr_put(message, NLA_F_NESTED | NFTA_SET_ELEM_LIST_ELEMENTS, chunk.size(),
                     chunk.data());
    }
}

// ---- Chains and rules ----

/// nullopt if a table of this family cannot have such a chain.
std::optional<LoadedTable::LoadedChain::Base> kernel_base(TableFamily family, const BaseChain& base)
{
    const std::optional<std::uint32_t> hook = hook_number(family, base.hook);
    const bool nat = base.type == ChainType::Nat;
    if (!hook || (nat && (family != TableFamily::Inet || base.hook == Hook::Forward)) ||
        base.device.has_value() != (base.hook == Hook::Egress) || base.policy == Verdict::Reject ||
        base.policy == Verdict::Return) {
        return std::nullopt;
    }
    LoadedTable::LoadedChain::Base result{nat ? "nat" : "filter", *hook, base.priority};
    if (base.device) {
        result.devices.push_back(base.device->text());
    }
    return result;
}

Status put_chain(BatchWriter& batch, const TableName& table, const Chain& chain)
{
    nlmsghdr* message = batch.begin(table, NFT_MSG_NEWCHAIN, NLM_F_CREATE,
                                    "chain " + chain.name + " of " + to_string(table));
    mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain.name.c_str());
    if (!chain.base) {
        return {};
    }
    const std::optional<LoadedTable::LoadedChain::Base> base =
        kernel_base(table.family, *chain.base);
    if (!base) {
        return fail("chain " + chain.name + " of " + to_string(table) +
                    ": no such hook, type, device or policy");
    }
    nlattr* nest = mnl_attr_nest_start(message, NFTA_CHAIN_HOOK);
    put_u32(message, NFTA_HOOK_HOOKNUM, base->hook);
    put_u32(message, NFTA_HOOK_PRIORITY, static_cast<std::uint32_t>(base->priority));
    if (!base->devices.empty()) {
        nlattr* devices = mnl_attr_nest_start(message, NFTA_HOOK_DEVS);
        for (const std::string& device : base->devices) {
            // With its zero byte: without it, the kernel takes the name as a prefix.
            mnl_attr_put_strz(message, NFTA_DEVICE_NAME, device.c_str());
        }
        mnl_attr_nest_end(message, devices);
    }
    mnl_attr_nest_end(message, nest);
    put_u32(message, NFTA_CHAIN_POLICY, verdict_code(chain.base->policy));
    mnl_attr_put_strz(message, NFTA_CHAIN_TYPE, base->type.c_str());
    return {};
}

std::string describe(const Rule& rule, const Chain& chain)
{
    return "rule '" + rule.comment + "' in chain " + chain.name;
}

void put_comment(nlmsghdr* message, const std::string& comment)
{
    if (comment.empty()) {
        return;
    }
    std::array<char, kLongestComment + 3> note{};
    note[0] = NFTNL_UDATA_RULE_COMMENT;
    note[1] = static_cast<char>(comment.size() + 1);
    std::ranges::copy(comment, note.begin() + 2);
    mnl_attr_put(message, NFTA_RULE_USERDATA, comment.size() + 3, note.data());
}

/// Whether nft(8) can print and read back the texts of the rule.
bool is_printable(const Rule& rule)
{
    const auto plain = [](const std::string& text) {
        return !has_control_characters(text) && text.find('"') == std::string::npos;
    };
    return plain(rule.comment) && std::ranges::all_of(rule.actions, [&](const Action& action) {
               const auto* log = std::get_if<Log>(&action);
               return log == nullptr || (plain(log->prefix) && log->prefix.size() < 128);
           });
}

/// Why `rule` is invalid in its chain; empty if valid.
std::string_view misfit_of(TableFamily family, const Chain& chain, const Rule& rule)
{
    const auto translates_at = [&](Hook hook) {
        return chain.base && chain.base->type == ChainType::Nat && chain.base->hook == hook;
    };
    if ((std::holds_alternative<Masquerade>(rule.end) && !translates_at(Hook::Postrouting)) ||
        (std::holds_alternative<RedirectTo>(rule.end) && !translates_at(Hook::Prerouting))) {
        return "address translation is not possible in this chain";
    }
    return misfit_in(family, rule);
}

Status put_rule(BatchWriter& batch, const TableName& table, const Chain& chain, const Rule& rule,
                Counters& counters)
{
    if (rule.comment.size() > kLongestComment || rule.matches.size() > kMostMatches ||
        !is_printable(rule)) {
        return fail(describe(rule, chain) + ": a text is too long or cannot be printed");
    }
    if (const std::string_view misfit = misfit_of(table.family, chain, rule); !misfit.empty()) {
        return fail(describe(rule, chain) + ": " + std::string(misfit));
    }
    for (const KernelRule& part : kernel_rules(rule, table.family)) {
        nlmsghdr* message =
            batch.begin(table, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, describe(rule, chain),
                        (rule.matches.size() + part.actions.size()) * kPartRoom);
        mnl_attr_put_strz(message, NFTA_RULE_CHAIN, chain.name.c_str());
        Counter counter;
        if (part.counted && !counters.empty()) {
            // The first of several rules with the same key gets the old counter values.
            const auto earlier = counters.extract({table, chain.name, rule.comment});
            counter = earlier ? earlier.mapped() : counter;
        }
        nlattr* expressions = mnl_attr_nest_start(message, NFTA_RULE_EXPRESSIONS);
        append_expressions(message, part, counter.packets, counter.bytes);
        mnl_attr_nest_end(message, expressions);
        put_comment(message, rule.comment);
    }
    return {};
}

// ---- Tables ----

void put_table(BatchWriter& batch, const TableName& table)
{
    nlmsghdr* message =
        batch.begin(table, NFT_MSG_NEWTABLE, NLM_F_CREATE, "table " + to_string(table));
    put_u32(message, NFTA_TABLE_FLAGS, 0);
}

/// Adding first makes deleting succeed if the table does not exist.
void put_removal(BatchWriter& batch, const TableName& table)
{
    put_table(batch, table);
    batch.begin(table, NFT_MSG_DELTABLE, 0, "removal of table " + to_string(table));
}

bool stays(const LoadedTable::LoadedChain& loaded, const Table& table)
{
    return loaded.base && std::ranges::any_of(table.chains, [&](const Chain& chain) {
               return chain.name == loaded.name && chain.base &&
                      kernel_base(table.family, *chain.base) == loaded.base;
           });
}

/// Removes all contents of a loaded table except the base chains that are kept.
void put_clearing(BatchWriter& batch, const LoadedTable& loaded, const Table& table)
{
    const std::string of_table = " of " + to_string(loaded.name);
    put_table(batch, loaded.name);
    batch.begin(loaded.name, NFT_MSG_DELRULE, 0, "removal of all rules" + of_table);
    for (const std::string& set : loaded.sets) {
        nlmsghdr* message =
            batch.begin(loaded.name, NFT_MSG_DELSET, 0, "removal of set " + set + of_table);
        mnl_attr_put_strz(message, NFTA_SET_NAME, set.c_str());
    }
    for (const LoadedTable::LoadedChain& chain : loaded.chains) {
        if (!stays(chain, table)) {
            nlmsghdr* message = batch.begin(loaded.name, NFT_MSG_DELCHAIN, 0,
                                            "removal of chain " + chain.name + of_table);
            mnl_attr_put_strz(message, NFTA_CHAIN_NAME, chain.name.c_str());
        }
    }
}

bool is_in(const Ruleset& ruleset, const TableName& name)
{
    return std::ranges::any_of(ruleset.tables, [&](const Table& table) {
        return name == TableName{table.family, table.name};
    });
}

Status put_contents(BatchWriter& batch, const Table& table, Counters& counters)
{
    const TableName name{table.family, table.name};
    for (const Chain& chain : table.chains) {
        if (Status status = put_chain(batch, name, chain); !status) {
            return status;
        }
    }
    std::uint32_t id = 0;
    for (const Set& set : table.sets) {
        if (set.handle.key.empty()) {
            return misfit(set.handle);
        }
        put_set(batch, name, set.handle, ++id);
        const auto elements = raw_elements(set);
        if (!elements) {
            return Failure(elements.error());
        }
        put_elements(batch, name, set.handle, *elements, 0);
    }
    for (const Chain& chain : table.chains) {
        for (const Rule& rule : chain.rules) {
            if (Status status = put_rule(batch, name, chain, rule, counters); !status) {
                return status;
            }
        }
    }
    return {};
}

} // namespace

std::string to_string(const TableName& table)
{
    return std::string(to_string(table.family)) + " " + table.name;
}

std::uint8_t protocol_family(TableFamily family)
{
    switch (family) {
    case TableFamily::Inet:
        return NFPROTO_INET;
    case TableFamily::Arp:
        return NFPROTO_ARP;
    case TableFamily::Netdev:
        break;
    }
    return NFPROTO_NETDEV;
}

std::string NftBatch::describe(std::uint32_t sequence) const
{
    return sequence < operations.size() ? operations[sequence] : "an unknown operation";
}

std::uint32_t NftBatch::last_sequence() const
{
    return static_cast<std::uint32_t>(operations.size() - 1);
}

Result<NftBatch> encode(const Ruleset& ruleset, const EncodeOptions& options)
{
    BatchWriter batch;
    Counters counters = options.counters;
    for (const Table& table : ruleset.tables) {
        const TableName name{table.family, table.name};
        const auto loaded = std::ranges::find(options.loaded, name, &LoadedTable::name);
        if (loaded != options.loaded.end() && !loaded->foreign) {
            put_clearing(batch, *loaded, table);
        } else {
            put_removal(batch, name);
            put_table(batch, name);
        }
        if (Status status = put_contents(batch, table, counters); !status) {
            return fail_during("table " + to_string(name), status.error());
        }
    }
    for (const LoadedTable& loaded : options.loaded) {
        if (!is_in(ruleset, loaded.name)) {
            put_removal(batch, loaded.name);
        }
    }
    return batch.finish();
}

NftBatch encode_changes(const std::vector<ElementChange>& changes, std::uint32_t generation)
{
    BatchWriter batch(generation);
    for (const ElementChange& change : changes) {
        put_attributes(batch, change, NFT_MSG_DELSETELEM, change.removed);
        put_attributes(batch, change, NFT_MSG_NEWSETELEM, change.added);
    }
    return batch.finish();
}

NftBatch encode_removal(const std::vector<TableName>& tables)
{
    BatchWriter batch;
    for (const TableName& table : tables) {
        put_removal(batch, table);
    }
    return batch.finish();
}

Result<NftBatch> encode_timed_elements(const TableName& table, const Set& set,
                                       std::chrono::milliseconds timeout)
{
    const auto raw = raw_elements(set);
    if (!raw) {
        return Failure(raw.error());
    }
    BatchWriter batch;
    put_elements(
        batch, table, set.handle, *raw,
        static_cast<std::uint64_t>(std::max<std::chrono::milliseconds::rep>(timeout.count(), 1)));
    return batch.finish();
}

NftBatch encode_flush(const TableName& table, const std::vector<SetHandle>& sets)
{
    BatchWriter batch;
    for (const SetHandle& set : sets) {
        nlmsghdr* message = batch.begin(table, NFT_MSG_DELSETELEM, 0,
                                        "emptying " + describe(set) + " of " + to_string(table));
        mnl_attr_put_strz(message, NFTA_SET_ELEM_LIST_SET, set.name.c_str());
    }
    return batch.finish();
}

} // namespace failclosed
