// SPDX-License-Identifier: GPL-3.0-or-later
// The contents of nftables messages as comparable values: one reader for dumps of the kernel and
// for our own batches.
#include "core/codec/nftables/contents.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_nat.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>

#include "core/codec/nftables/rules.hpp"

namespace failclosed {
namespace {

using Bytes = std::string_view;

/// Calls `take(type, payload)` for each attribute in `bytes` (struct nlattr, linux/netlink.h);
/// stops at one that does not fit.
template <typename Take> void for_each_attribute(Bytes bytes, Take take)
{
    nlattr header{};
    while (bytes.size() >= sizeof header) {
        std::memcpy(&header, bytes.data(), sizeof header);
        if (header.nla_len < sizeof header || header.nla_len > bytes.size()) {
            return;
        }
        take(static_cast<std::uint16_t>(header.nla_type & NLA_TYPE_MASK),
             bytes.substr(sizeof header, header.nla_len - sizeof header));
        bytes.remove_prefix(std::min<std::size_t>(NLA_ALIGN(header.nla_len), bytes.size()));
    }
}

/// An attribute with its header and padding, found from its payload.
std::string whole_attribute(Bytes payload)
{
    std::string attribute(payload.data() - sizeof(nlattr), sizeof(nlattr) + payload.size());
    attribute.resize(NLA_ALIGN(attribute.size()));
    return attribute;
}

/// The attributes in a message or nest, by type; unknown types are left out.
class Attributes {
  public:
    explicit Attributes(Bytes bytes)
    {
        for_each_attribute(bytes, [this](std::uint16_t type, Bytes payload) {
            if (type < found_.size()) {
                found_[type] = payload;
            }
        });
    }

    explicit Attributes(const nlmsghdr* message)
        : Attributes(Bytes(
              static_cast<const char*>(mnl_nlmsg_get_payload_offset(message, sizeof(nfgenmsg))),
              mnl_nlmsg_get_payload_len(message) - NLMSG_ALIGN(sizeof(nfgenmsg))))
    {
    }

    static constexpr std::size_t kMost = 19;

    [[nodiscard]] bool has(std::size_t type) const { return found_[type].data() != nullptr; }

    /// The payload, empty if absent.
    [[nodiscard]] Bytes bytes(std::size_t type) const { return found_[type]; }

    /// A string without its terminating zero byte.
    [[nodiscard]] std::string_view text(std::size_t type) const
    {
        return found_[type].substr(0, found_[type].find('\0'));
    }

    /// A number in network order, 0 if absent.
    [[nodiscard]] std::uint32_t u32(std::size_t type) const
    {
        std::uint32_t value = 0;
        if (found_[type].size() == sizeof value) {
            std::memcpy(&value, found_[type].data(), sizeof value);
        }
        return ntohl(value);
    }

    [[nodiscard]] std::uint64_t u64(std::size_t type) const
    {
        std::uint64_t value = 0;
        if (found_[type].size() == sizeof value) {
            std::memcpy(&value, found_[type].data(), sizeof value);
        }
        return be64toh(value);
    }

    /// The attributes inside an attribute.
    [[nodiscard]] Attributes nest(std::size_t type) const { return Attributes(found_[type]); }

  private:
    std::array<Bytes, kMost + 1> found_{};
};

/// A line of the contents: values with their lengths, so that different lists of values differ.
class Line {
  public:
    explicit Line(std::string_view kind, const TableName& table)
    {
        text_.reserve(kUsualLength);
        add(kind).add(to_string(table.family)).add(table.name);
    }

    /// For values whose length does not fit.
    std::string& text() { return text_; }

    Line& add(std::string_view value)
    {
        const auto length = static_cast<std::uint16_t>(value.size());
        text_.push_back(static_cast<char>(length >> 8));
        text_.push_back(static_cast<char>(length & 0xff));
        text_.append(value);
        return *this;
    }

    Line& add_number(std::uint32_t value)
    {
        // Highest byte first: lines sort by their numbers.
        const std::uint32_t ordered = htonl(value);
        std::array<char, sizeof ordered> bytes{};
        std::memcpy(bytes.data(), &ordered, sizeof ordered);
        return add({bytes.data(), bytes.size()});
    }

    std::string take() { return std::move(text_); }

  private:
    static constexpr std::size_t kUsualLength = 240;

    std::string text_;
};

std::uint8_t family_of(const nlmsghdr* message)
{
    return static_cast<const nfgenmsg*>(mnl_nlmsg_get_payload(message))->nfgen_family;
}

/// The device names of a chain. The kernel reports a single one twice, in two attributes.
std::vector<std::string> devices_of(const Attributes& hook)
{
    std::vector<std::string> devices;
    const auto take = [&devices](std::uint16_t type, Bytes name) {
        // Other types, and names without a zero byte, mean all names with this prefix; '/' marks
        // them, because no name contains it.
        const bool whole = type == NFTA_DEVICE_NAME && name.ends_with('\0');
        devices.emplace_back(name.substr(0, name.find('\0'))).append(whole ? "" : "/");
    };
    for_each_attribute(hook.bytes(NFTA_HOOK_DEVS), take);
    if (devices.empty() && hook.has(NFTA_HOOK_DEV)) {
        take(NFTA_DEVICE_NAME, hook.bytes(NFTA_HOOK_DEV));
    }
    std::ranges::sort(devices);
    return devices;
}

/// The comment in a rule's user data for nft(8): type, length, text with its zero byte.
std::string comment_of(std::string_view note)
{
    if (note.size() < 3 || note[0] != NFTNL_UDATA_RULE_COMMENT ||
        note.size() - 2 != static_cast<unsigned char>(note[1])) {
        return {};
    }
    return std::string(note.substr(2, note.size() - 3));
}

bool is_zero(Bytes bytes)
{
    return bytes.find_first_not_of('\0') == Bytes::npos;
}

/// Removes NLA_F_NESTED, which libmnl sets and the kernel does not.
void clear_nest_marks(char* bytes, std::size_t size)
{
    for_each_attribute({bytes, size}, [&](std::uint16_t type, Bytes payload) {
        char* header = bytes + (payload.data() - bytes) - sizeof(nlattr);
        nlattr attribute{};
        std::memcpy(&attribute, header, sizeof attribute);
        if ((attribute.nla_type & NLA_F_NESTED) != 0) {
            attribute.nla_type = type;
            std::memcpy(header, &attribute, sizeof attribute);
            clear_nest_marks(header + sizeof attribute, payload.size());
        }
    });
}

/// How many attributes of an expression we know. Later kernels may report more.
std::size_t known_attributes(std::string_view name)
{
    static constexpr std::array<std::pair<std::string_view, std::size_t>, 14> kKnown = {{
        {"meta", NFTA_META_SREG},
        {"cmp", NFTA_CMP_DATA},
        {"payload", NFTA_PAYLOAD_CSUM_FLAGS},
        {"lookup", NFTA_LOOKUP_FLAGS},
        {"immediate", NFTA_IMMEDIATE_DATA},
        {"ct", NFTA_CT_SREG},
        {"bitwise", NFTA_BITWISE_DATA},
        {"limit", NFTA_LIMIT_FLAGS},
        {"log", NFTA_LOG_FLAGS},
        {"exthdr", NFTA_EXTHDR_SREG},
        {"reject", NFTA_REJECT_ICMP_CODE},
        {"fib", NFTA_FIB_FLAGS},
        {"nat", NFTA_NAT_FLAGS},
        {"masq", NFTA_MASQ_REG_PROTO_MAX},
    }};
    const auto found =
        std::ranges::find(kKnown, name, &std::pair<std::string_view, std::size_t>::first);
    return found == kKnown.end() ? Attributes::kMost : found->second;
}

/// What the kernel adds to an address translation: the end of the range if only its start is given,
/// and the range flag.
bool is_implied(const Attributes& nat, std::size_t type)
{
    switch (type) {
    case NFTA_NAT_REG_ADDR_MAX:
        return nat.bytes(type) == nat.bytes(NFTA_NAT_REG_ADDR_MIN);
    case NFTA_NAT_FLAGS:
        return nat.u32(type) == NF_NAT_RANGE_MAP_IPS;
    default:
        return false;
    }
}

/// The contents of a rule, expression by expression.
struct RuleReader {
    std::string& text;
    Counter counter = {};
    bool counted = false;

    void read(Bytes element)
    {
        const Attributes expression(element);
        const std::string_view name = expression.text(NFTA_EXPR_NAME);
        const Attributes data = expression.nest(NFTA_EXPR_DATA);
        text.append(name).push_back('\0');
        if (name == "counter") {
            counted = true;
            counter.packets += data.u64(NFTA_COUNTER_PACKETS);
            counter.bytes += data.u64(NFTA_COUNTER_BYTES);
            return;
        }
        const std::size_t known = known_attributes(name);
        const bool translates = name == "nat";
        for (std::size_t type = 1; type <= known; ++type) {
            // The kernel reports unset values as zeros.
            if (!is_zero(data.bytes(type)) && !(translates && is_implied(data, type))) {
                append(static_cast<char>(type), data.bytes(type));
            }
        }
        text.push_back('\0');
    }

    void append(char type, Bytes payload)
    {
        text.push_back(type);
        text.push_back(static_cast<char>(payload.size()));
        text.push_back(static_cast<char>(payload.size() >> 8));
        text.append(payload);
        clear_nest_marks(text.data() + text.size() - payload.size(), payload.size());
    }
};

/// Removes and returns the first message; null if no complete one is left.
const nlmsghdr* take_message(std::span<const std::uint8_t>& messages)
{
    const auto* message = reinterpret_cast<const nlmsghdr*>(messages.data());
    // mnl_nlmsg_ok() treats lengths of 2^31 and more as negative (libmnl 1.0.4).
    if (messages.size() < sizeof(nlmsghdr) || message->nlmsg_len < sizeof(nlmsghdr) ||
        message->nlmsg_len > messages.size()) {
        return nullptr;
    }
    const std::size_t size = NLMSG_ALIGN(std::size_t{message->nlmsg_len});
    messages = messages.subspan(std::min(size, messages.size()));
    return message;
}

bool is_rule(const nlmsghdr* message)
{
    return message->nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWRULE);
}

/// The contents of the first message about a rule; removes it and all messages before it.
std::optional<Bytes> take_rule(std::span<const std::uint8_t>& messages)
{
    while (const nlmsghdr* message = take_message(messages)) {
        if (is_rule(message)) {
            return Bytes(static_cast<const char*>(mnl_nlmsg_get_payload(message)),
                         mnl_nlmsg_get_payload_len(message));
        }
    }
    return std::nullopt;
}

} // namespace

void NftContents::add(const nlmsghdr* message)
{
    if (message->nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
        mnl_nlmsg_get_payload_len(message) < sizeof(nfgenmsg)) {
        return;
    }
    const std::uint8_t family = family_of(message);
    const std::string_view name = Attributes(message).text(NFTA_TABLE_NAME);
    const auto table = std::ranges::find_if(tables_, [&](const TableName& ours) {
        return family == protocol_family(ours.family) && name == ours.name;
    });
    if (table == tables_.end()) {
        return;
    }
    switch (message->nlmsg_type & 0xff) {
    case NFT_MSG_NEWTABLE:
        return add_table(*table, message);
    case NFT_MSG_NEWCHAIN:
        return add_chain(*table, message);
    case NFT_MSG_NEWSET:
        return add_set(*table, message);
    case NFT_MSG_NEWSETELEM:
        return add_elements(*table, message);
    case NFT_MSG_NEWRULE:
        return add_rule(*table, message);
    default:
        return;
    }
}

void NftContents::add_all(std::span<const std::uint8_t> messages)
{
    while (const nlmsghdr* message = take_message(messages)) {
        add(message);
    }
}

void NftContents::add_all_but_rules(std::span<const std::uint8_t> messages)
{
    while (const nlmsghdr* message = take_message(messages)) {
        if (!is_rule(message)) {
            add(message);
        }
    }
}

void NftContents::finish()
{
    for (LoadedTable& table : loaded_) {
        // Objects and flowtables appear only in their table's count.
        const std::size_t named = table.chains.size() + table.set_count;
        if (table.uses > named) {
            table.foreign = true;
            lines_.push_back(Line("other", table.name).take());
        }
    }
    std::ranges::sort(lines_);
    // One batch adds a table before it removes it and again after.
    const auto repeated = std::ranges::unique(lines_);
    lines_.erase(repeated.begin(), repeated.end());
    std::ranges::sort(elements_, {}, &Element::line);
    fold_intervals();
    const auto twice = std::ranges::unique(elements_, {}, &Element::line);
    elements_.erase(twice.begin(), twice.end());
}

void NftContents::forget_elements(const SetName& set)
{
    std::erase_if(elements_, [&](const Element& element) { return sets_[element.set] == set; });
}

/// Joins the start of an interval and its end into one element, so that both are replaced together.
void NftContents::fold_intervals()
{
    std::vector<Element> folded;
    folded.reserve(elements_.size());
    for (Element& element : elements_) {
        Element* before = folded.empty() ? nullptr : &folded.back();
        if (element.is_end && before != nullptr && !before->is_end && !before->is_whole &&
            before->set == element.set) {
            before->line += element.line;
            before->attributes += element.attributes;
            before->is_whole = true;
        } else {
            folded.push_back(std::move(element));
        }
    }
    elements_ = std::move(folded);
}

template <typename Take>
void NftContents::for_each_missing(const NftContents& others, Take take) const
{
    auto other = others.elements_.begin();
    for (const Element& element : elements_) {
        while (other != others.elements_.end() && other->line < element.line) {
            ++other;
        }
        if (other == others.elements_.end() || other->line != element.line) {
            take(element);
        }
    }
}

std::optional<std::vector<ElementChange>> NftContents::changes_to(const NftContents& wanted) const
{
    if (lines_ != wanted.lines_) {
        return std::nullopt;
    }
    std::map<SetName, ElementChange> by_set;
    for_each_missing(wanted, [&](const Element& element) {
        by_set[sets_[element.set]].removed.push_back(element.attributes);
    });
    wanted.for_each_missing(*this, [&](const Element& element) {
        by_set[wanted.sets_[element.set]].added.push_back(element.attributes);
    });
    std::vector<ElementChange> changes;
    for (auto& [name, change] : by_set) {
        change.table = name.table;
        change.set = name.set;
        changes.push_back(std::move(change));
    }
    return changes;
}

bool NftContents::has_chains_of(const NftContents& others) const
{
    const auto alike = [](const LoadedTable& a, const LoadedTable& b) {
        return a.name == b.name && std::ranges::is_permutation(a.chains, b.chains);
    };
    return std::ranges::is_permutation(loaded_, others.loaded_, alike);
}

LoadedTable& NftContents::loaded_table(const TableName& table)
{
    const auto found = std::ranges::find(loaded_, table, &LoadedTable::name);
    return found != loaded_.end() ? *found : loaded_.emplace_back(table);
}

void NftContents::add_table(const TableName& table, const nlmsghdr* message)
{
    const Attributes attributes(message);
    LoadedTable& loaded = loaded_table(table);
    loaded.uses = attributes.u32(NFTA_TABLE_USE);
    loaded.foreign = loaded.foreign || attributes.u32(NFTA_TABLE_FLAGS) != 0 ||
                     attributes.has(NFTA_TABLE_USERDATA) || attributes.has(NFTA_TABLE_OWNER);
    lines_.push_back(Line("table", table)
                         .add_number(attributes.u32(NFTA_TABLE_FLAGS))
                         .add(attributes.bytes(NFTA_TABLE_USERDATA))
                         .add(attributes.bytes(NFTA_TABLE_OWNER))
                         .take());
}

void NftContents::add_chain(const TableName& table, const nlmsghdr* message)
{
    const Attributes attributes(message);
    const Attributes hook = attributes.nest(NFTA_CHAIN_HOOK);
    const std::uint32_t flags = attributes.u32(NFTA_CHAIN_FLAGS) & ~std::uint32_t{NFT_CHAIN_BASE};
    const bool base = attributes.has(NFTA_CHAIN_HOOK);

    LoadedTable& loaded = loaded_table(table);
    LoadedTable::LoadedChain chain{std::string(attributes.text(NFTA_CHAIN_NAME)), {}};
    if (base) {
        chain.base = {std::string(attributes.text(NFTA_CHAIN_TYPE)), hook.u32(NFTA_HOOK_HOOKNUM),
                      static_cast<std::int32_t>(hook.u32(NFTA_HOOK_PRIORITY)), devices_of(hook)};
    }
    loaded.foreign = loaded.foreign || flags != 0 || attributes.has(NFTA_CHAIN_USERDATA);

    Line line("chain", table);
    line.add(attributes.text(NFTA_CHAIN_NAME))
        .add(base ? "base" : "")
        .add_number(hook.u32(NFTA_HOOK_HOOKNUM))
        .add_number(hook.u32(NFTA_HOOK_PRIORITY))
        .add_number(attributes.u32(NFTA_CHAIN_POLICY))
        .add(attributes.text(NFTA_CHAIN_TYPE))
        .add_number(flags)
        .add(attributes.bytes(NFTA_CHAIN_USERDATA));
    if (base) {
        for (const std::string& device : chain.base->devices) {
            line.add(device);
        }
    }
    lines_.push_back(line.take());
    loaded.chains.push_back(std::move(chain));
}

void NftContents::add_set(const TableName& table, const nlmsghdr* message)
{
    const Attributes attributes(message);
    const Attributes description = attributes.nest(NFTA_SET_DESC);
    const std::string name(attributes.text(NFTA_SET_NAME));
    const std::uint32_t flags = attributes.u32(NFTA_SET_FLAGS);

    Line line("set", table);
    line.add(name)
        .add_number(flags)
        .add_number(attributes.u32(NFTA_SET_KEY_TYPE))
        .add_number(attributes.u32(NFTA_SET_KEY_LEN))
        .add_number(attributes.u32(NFTA_SET_DATA_TYPE))
        .add_number(attributes.u32(NFTA_SET_OBJ_TYPE))
        .add_number(attributes.u32(NFTA_SET_POLICY))
        .add_number(description.u32(NFTA_SET_DESC_SIZE))
        .add(attributes.bytes(NFTA_SET_TIMEOUT))
        .add(attributes.bytes(NFTA_SET_GC_INTERVAL))
        .add(attributes.bytes(NFTA_SET_USERDATA))
        .add(attributes.bytes(NFTA_SET_EXPR))
        .add(attributes.bytes(NFTA_SET_EXPRESSIONS));
    for_each_attribute(description.bytes(NFTA_SET_DESC_CONCAT), [&](std::uint16_t, Bytes field) {
        line.add_number(Attributes(field).u32(NFTA_SET_FIELD_LEN));
    });
    lines_.push_back(line.take());

    LoadedTable& loaded = loaded_table(table);
    ++loaded.set_count;
    if ((flags & NFT_SET_ANONYMOUS) == 0) { // anonymous sets are removed with their rules
        loaded.sets.push_back(name);
    }
    if ((flags & NFT_SET_TIMEOUT) == 0) {
        sets_.push_back({table, name});
    }
}

void NftContents::add_elements(const TableName& table, const nlmsghdr* message)
{
    const Attributes attributes(message);
    const SetName name{table, std::string(attributes.text(NFTA_SET_ELEM_LIST_SET))};
    const auto set = std::ranges::find(sets_, name);
    if (set == sets_.end()) { // a set with timeouts
        return;
    }
    const auto place = static_cast<std::size_t>(set - sets_.begin());
    for_each_attribute(attributes.bytes(NFTA_SET_ELEM_LIST_ELEMENTS),
                       [&](std::uint16_t, Bytes element) {
                           const Attributes parts(element);
                           const Attributes data = parts.nest(NFTA_SET_ELEM_DATA);
                           const Attributes verdict = data.nest(NFTA_DATA_VERDICT);
                           const std::uint32_t flags = parts.u32(NFTA_SET_ELEM_FLAGS);
                           Line line("element", table);
                           line.add(name.set)
                               .add(parts.nest(NFTA_SET_ELEM_KEY).bytes(NFTA_DATA_VALUE))
                               // Of equal keys the end of an interval sorts before a start.
                               .add_number(~flags)
                               .add(parts.nest(NFTA_SET_ELEM_KEY_END).bytes(NFTA_DATA_VALUE))
                               .add(data.bytes(NFTA_DATA_VALUE))
                               .add(verdict.bytes(NFTA_VERDICT_CODE))
                               .add(verdict.text(NFTA_VERDICT_CHAIN))
                               .add(parts.bytes(NFTA_SET_ELEM_TIMEOUT))
                               .add(parts.bytes(NFTA_SET_ELEM_USERDATA))
                               .add(parts.bytes(NFTA_SET_ELEM_EXPR))
                               .add(parts.bytes(NFTA_SET_ELEM_EXPRESSIONS))
                               .add(parts.bytes(NFTA_SET_ELEM_OBJREF));
                           elements_.push_back({line.take(), whole_attribute(element), place,
                                                (flags & NFT_SET_ELEM_INTERVAL_END) != 0, false});
                       });
}

void NftContents::add_rule(const TableName& table, const nlmsghdr* message)
{
    const Attributes attributes(message);
    const std::string_view chain = attributes.text(NFTA_RULE_CHAIN);
    const std::string_view note = attributes.bytes(NFTA_RULE_USERDATA);
    const std::ptrdiff_t place = &table - tables_.data();
    if (rule_table_ != place || chain != rule_chain_) {
        rule_table_ = place;
        rule_chain_ = chain;
        rule_place_ = 0;
    }
    Line line("rule", table);
    line.add(chain).add_number(rule_place_++).add(note).add(attributes.bytes(NFTA_RULE_COMPAT));

    RuleReader reader{line.text()};
    for_each_attribute(attributes.bytes(NFTA_RULE_EXPRESSIONS),
                       [&](std::uint16_t, Bytes element) { reader.read(element); });
    if (reader.counted) {
        Counter& sum = counters_[{table, std::string(chain), comment_of(note)}];
        sum.packets += reader.counter.packets;
        sum.bytes += reader.counter.bytes;
    }
    lines_.push_back(line.take());
}

bool same_rules(std::span<const std::uint8_t> one, std::span<const std::uint8_t> other)
{
    while (const auto rule = take_rule(one)) {
        if (rule != take_rule(other)) {
            return false;
        }
    }
    return !take_rule(other);
}

} // namespace failclosed
