// SPDX-License-Identifier: GPL-3.0-or-later
// Options of a verb: read by GLib, checked here.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "cli/commands.hpp"
#include "core/base/result.hpp"

namespace failclosed::cli {

/// An option that takes a value, any number of times, or a flag.
struct OptionSpec {
    std::string name;
    std::string help;
    /// What the value stands for in the help, such as "HOST:PORT/PROTO"; empty for a flag.
    std::string value;
};

/// What was given, by name.
class Options {
  public:
    /// Fails on anything unknown or left over; prints the help and ends the program for --help.
    static Result<Options> parse(const std::string& verb, const std::vector<OptionSpec>& specs,
                                 const Arguments& arguments);

    [[nodiscard]] bool has(const std::string& name) const { return !all(name).empty(); }

    [[nodiscard]] const std::vector<std::string>& all(const std::string& name) const;

    /// The last one given, if any.
    [[nodiscard]] std::optional<std::string> last(const std::string& name) const;

  private:
    struct Given {
        std::string name;
        std::vector<std::string> values;
    };

    std::vector<Given> given_;
};

/// Reads one value by `T::parse` (or a function like it) for every use of the option.
template <typename T, typename Parse>
Result<std::vector<T>> parse_values(const Options& options, const std::string& name,
                                    const char* expected, Parse parse)
{
    std::vector<T> values;
    for (const auto& text : options.all(name)) {
        auto value = parse(text);
        if (!value) {
            return fail("--" + name + ": not " + expected + ": " + text);
        }
        values.push_back(*std::move(value));
    }
    return values;
}

/// The same for an option of which only the last use counts.
template <typename T, typename Parse>
Result<std::optional<T>> parse_value(const Options& options, const std::string& name,
                                     const char* expected, Parse parse)
{
    auto values = parse_values<T>(options, name, expected, parse);
    if (!values) {
        return Failure(values.error());
    }
    return values->empty() ? std::optional<T>() : std::optional<T>(std::move(values->back()));
}

/// A firewall mark, decimal or with 0x in front.
std::optional<std::uint32_t> parse_mark(const std::string& text);

/// A user's number; the highest one is no user (chown(2)).
std::optional<uid_t> parse_uid(const std::string& text);

/// What is in force cannot be told without privileges: it counts as not closed.
inline constexpr int kNotPermitted = 2;

/// Whether root is asking; tells anybody else that only root can do `verb`.
bool is_permitted(const std::string& verb);

/// Prints the error and returns kUsageError.
int usage_error(const std::string& verb, const Error& error);

} // namespace failclosed::cli
