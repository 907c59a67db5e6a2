// SPDX-License-Identifier: GPL-3.0-or-later
// What every fallible function returns: a value, or an error that reads as one line.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <utility>

namespace failclosed {

/// Why something failed, as one line for people, and the errno behind it (0 where there is none).
class Error {
  public:
    explicit Error(std::string message, int number = 0)
        : message_(std::move(message)), number_(number)
    {
    }

    /// "`what`: text of errno", keeping the number.
    static Error from_errno(const std::string& what, int number = errno);

    /// The same error with what was being tried in front: "`what`: message".
    [[nodiscard]] Error during(const std::string& what) const
    {
        return Error(what + ": " + message_, number_);
    }

    [[nodiscard]] const std::string& message() const { return message_; }

    [[nodiscard]] int number() const { return number_; }

    friend bool operator==(const Error&, const Error&) = default;

  private:
    std::string message_;
    int number_;
};

using Failure = std::unexpected<Error>;

/// A value or an Error. A struct of its own because std::expected may be dropped silently.
template <typename T> struct [[nodiscard]] Result : std::expected<T, Error> {
    using std::expected<T, Error>::expected;
};

using Status = Result<void>;

inline Failure fail(std::string message, int number = 0)
{
    return Failure(Error(std::move(message), number));
}

inline Failure fail_errno(const std::string& what, int number = errno)
{
    return Failure(Error::from_errno(what, number));
}

/// Passes on somebody else's error with what was being tried in front.
inline Failure fail_during(const std::string& what, const Error& error)
{
    return Failure(error.during(what));
}

} // namespace failclosed
