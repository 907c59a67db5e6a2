// SPDX-License-Identifier: GPL-3.0-or-later
// Writes JSON (RFC 8259).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace failclosed::cli {

/// Inserts commas. The caller writes one value per key.
class JsonWriter {
  public:
    JsonWriter& key(std::string_view name)
    {
        separate();
        append_string(name);
        text_ += ':';
        fresh_ = true;
        return *this;
    }

    void string(std::string_view value)
    {
        separate();
        append_string(value);
    }

    void number(std::uint64_t value)
    {
        separate();
        text_ += std::to_string(value);
    }

    void boolean(bool value)
    {
        separate();
        text_ += value ? "true" : "false";
    }

    template <typename Body> void object(Body body) { nested('{', '}', body); }

    template <typename Body> void array(Body body) { nested('[', ']', body); }

    template <typename Range, typename Text>
    void strings(std::string_view name, const Range& range, Text text)
    {
        key(name).array([&] {
            for (const auto& item : range) {
                string(text(item));
            }
        });
    }

    [[nodiscard]] std::string take() && { return std::move(text_); }

  private:
    template <typename Body> void nested(char open, char close, Body body)
    {
        separate();
        text_ += open;
        fresh_ = true;
        body();
        text_ += close;
        fresh_ = false;
    }

    void separate()
    {
        if (!fresh_) {
            text_ += ',';
        }
        fresh_ = false;
    }

    void append_string(std::string_view value);

    std::string text_;
    bool fresh_ = true;
};

} // namespace failclosed::cli
