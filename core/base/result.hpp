// SPDX-License-Identifier: GPL-3.0-or-later
// The result of a function that can fail: a value, or an error with a message of one line.
#pragma once

#include <cerrno>
#include <expected>
#include <string>
#include <utility>

namespace failclosed {

/// Why a call failed: a message of one line, and the errno (0 if there is none).
class Error {
  public:
    explicit Error(std::string message, int number = 0)
        : message_(std::move(message)), number_(number)
    {
    }

    /// "WHAT: text of errno", with `number` as its errno.
    static Error from_errno(const std::string& what, int number = errno);

    /// The same error with the failed action in front: "WHAT: message".
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

/// A value or an Error. A separate type because std::expected is not [[nodiscard]].
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

/// Returns `error` with the failed action in front: "WHAT: message".
inline Failure fail_during(const std::string& what, const Error& error)
{
    return Failure(error.during(what));
}

/// The value of a result that is not an error. For TRY.
template <typename T> T take_value(Result<T>&& result)
{
    return *std::move(result);
}

} // namespace failclosed

/// The value of a Result; where it is an error, returns that from the calling function. A GNU
/// statement expression, which GCC and clang have: a function cannot return from its caller.
#define TRY(...)                                                                                   \
    __extension__({                                                                                \
        auto try_result = (__VA_ARGS__);                                                           \
        if (!try_result) {                                                                         \
            return ::failclosed::Failure(std::move(try_result).error());                           \
        }                                                                                          \
        ::failclosed::take_value(std::move(try_result));                                           \
    })

/// TRY, with the failed action in front of the error: "WHAT: message".
#define TRY_DURING(what, ...)                                                                      \
    __extension__({                                                                                \
        auto try_result = (__VA_ARGS__);                                                           \
        if (!try_result) {                                                                         \
            return ::failclosed::fail_during(what, try_result.error());                            \
        }                                                                                          \
        ::failclosed::take_value(std::move(try_result));                                           \
    })
