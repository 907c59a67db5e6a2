// SPDX-License-Identifier: GPL-3.0-or-later
// Variables by name and by number.
#include "core/codec/environment.hpp"

#include "core/model/names.hpp"

namespace failclosed {

namespace {

constexpr std::uint64_t kMaxNumber = 999'999'999;

} // namespace

Environment::Environment(std::span<const char* const> entries)
{
    for (const std::string_view entry : entries) {
        const auto equals = entry.find('=');
        if (equals != std::string_view::npos) {
            variables_.emplace(entry.substr(0, equals), entry.substr(equals + 1));
        }
    }
}

Environment Environment::of_process(const char* const* entries)
{
    std::size_t count = 0;
    while (entries != nullptr && entries[count] != nullptr) {
        ++count;
    }
    return Environment({entries, count});
}

std::string_view Environment::get(std::string_view name) const
{
    const auto found = variables_.find(name);
    return found == variables_.end() ? std::string_view{} : found->second;
}

std::vector<Environment::Variable> Environment::with_prefix(std::string_view prefix) const
{
    std::vector<Variable> found;
    auto next = variables_.lower_bound(prefix);
    for (; next != variables_.end() && next->first.starts_with(prefix); ++next) {
        found.emplace_back(next->first.substr(prefix.size()), next->second);
    }
    return found;
}

std::map<std::uint64_t, std::string_view> Environment::numbered(std::string_view prefix,
                                                                std::uint64_t first) const
{
    std::map<std::uint64_t, std::string_view> found;
    for (const auto& [rest, value] : with_prefix(prefix)) {
        if (const auto number = parse_number(rest, first, kMaxNumber)) {
            found.emplace(*number, value);
        }
    }
    return found;
}

std::vector<std::string_view> split_words(std::string_view text)
{
    std::vector<std::string_view> words;
    while (true) {
        const auto end = text.find(' ');
        words.push_back(text.substr(0, end));
        if (end == std::string_view::npos) {
            return words;
        }
        text.remove_prefix(end + 1);
    }
}

} // namespace failclosed
