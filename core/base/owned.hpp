// SPDX-License-Identifier: GPL-3.0-or-later
// Owners of descriptors and of handles from C libraries.
#pragma once

#include <memory>
#include <utility>

#include <unistd.h>

namespace failclosed {

template <auto release> struct Releaser {
    template <typename T> void operator()(T* handle) const { release(handle); }
};

/// A handle of a C library that `release` frees.
template <typename T, auto release> using Owned = std::unique_ptr<T, Releaser<release>>;

/// A file descriptor that is closed with its owner; -1 if there is none.
class UniqueFd {
  public:
    UniqueFd() = default;

    explicit UniqueFd(int descriptor) : descriptor_(descriptor) {}

    UniqueFd(UniqueFd&& other) noexcept : descriptor_(std::exchange(other.descriptor_, -1)) {}

    UniqueFd& operator=(UniqueFd&& other) noexcept
    {
        reset(std::exchange(other.descriptor_, -1));
        return *this;
    }

    UniqueFd(const UniqueFd&) = delete;
    UniqueFd& operator=(const UniqueFd&) = delete;

    ~UniqueFd() { reset(); }

    [[nodiscard]] int get() const { return descriptor_; }

    [[nodiscard]] bool valid() const { return descriptor_ >= 0; }

    void reset(int descriptor = -1)
    {
        if (descriptor_ >= 0) {
            close(descriptor_);
        }
        descriptor_ = descriptor;
    }

  private:
    int descriptor_ = -1;
};

} // namespace failclosed
