// SPDX-License-Identifier: GPL-3.0-or-later
// A file with one line of words, "failclosed-rules BOOT NETWORK GENERATION SIZE", and then the
// batch.
#include "core/apply/kernel/firewall_memory.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include <unistd.h>

#include "core/apply/storage/trusted_directory.hpp"
#include "core/base/file.hpp"

namespace failclosed {
namespace {

constexpr const char* kName = "rules";
constexpr std::string_view kFormat = "failclosed-rules";
constexpr std::size_t kSizeLimit = 64 << 20;

/// The words before the first end of line, which is taken off as well.
std::optional<std::array<std::string_view, 5>> take_words(std::string_view& text)
{
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
        return std::nullopt;
    }
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    std::array<std::string_view, 5> words;
    for (std::string_view& word : words) {
        word = line.substr(0, line.find(' '));
        line.remove_prefix(std::min(line.size(), word.size() + 1));
    }
    return line.empty() ? std::optional(words) : std::nullopt;
}

template <typename Number> bool read_number(std::string_view word, Number& number)
{
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    return error == std::errc() && end == word.data() + word.size();
}

} // namespace

std::optional<SeenRules> FirewallMemory::load() const
{
    const auto directory = TrustedDirectory::open(directory_, geteuid());
    const auto file = directory ? directory->read(kName, kSizeLimit)
                                : Result<std::string>(Failure(directory.error()));
    if (!file) {
        return std::nullopt;
    }
    std::string_view text = *file;
    const auto words = take_words(text);
    SeenRules seen;
    std::size_t size = 0;
    if (!words || (*words)[0] != kFormat || (*words)[1].empty() ||
        !read_number((*words)[2], seen.network) || !read_number((*words)[3], seen.generation) ||
        !read_number((*words)[4], size) || size != text.size() ||
        (*words)[1] != read_boot_id(boot_id_)) {
        return std::nullopt;
    }
    const auto* bytes = reinterpret_cast<const std::uint8_t*>(text.data());
    seen.batch.assign(bytes, bytes + text.size());
    return seen;
}

Status FirewallMemory::save(const SeenRules& seen) const
{
    std::string text(kFormat);
    for (const std::string& word :
         {read_boot_id(boot_id_), std::to_string(seen.network), std::to_string(seen.generation),
          std::to_string(seen.batch.size())}) {
        text.append(" ").append(word);
    }
    text.append("\n").append(reinterpret_cast<const char*>(seen.batch.data()), seen.batch.size());
    // One that could not be trusted would keep its owner and its mode.
    if (Status forgotten = forget(); !forgotten) {
        return forgotten;
    }
    return replace_file(directory_ + "/" + kName, text,
                        {.mode = 0600, .durability = Durability::Volatile});
}

Status FirewallMemory::forget() const
{
    return remove_file(directory_ + "/" + kName, Durability::Volatile);
}

} // namespace failclosed
