// SPDX-License-Identifier: GPL-3.0-or-later
// Users in passwd files.
#include <fstream>

#include <gtest/gtest.h>
#include <unistd.h>

#include "core/apply/programs/users.hpp"

namespace failclosed {
namespace {

class UsersTest : public testing::Test {
  protected:
    UsersTest()
    {
        close(mkstemp(path_.data()));
        std::ofstream(path_) << "root:x:0:0::/:/bin/sh\n\n# comment\nbroken\nlong:"
                             << std::string(2000, 'x')
                             << ":5:5::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n";
    }

    ~UsersTest() override { unlink(path_.c_str()); }

    std::string path_ = testing::TempDir() + "users_test.XXXXXX";
};

TEST_F(UsersTest, ByName)
{
    EXPECT_EQ(uid_of("root", path_).value(), 0U);
    EXPECT_EQ(uid_of("nobody", path_).value(), 65534U);
    EXPECT_EQ(uid_of("long", path_).value(), 5U);
    for (const char* name : {"", "broken", "NOBODY", "nobody\n", "0", "+"}) {
        EXPECT_EQ(uid_of(name, path_).value(), std::nullopt) << name;
    }
}

TEST_F(UsersTest, MissingFileIsAnError)
{
    EXPECT_FALSE(uid_of("root", path_ + ".missing"));
}

} // namespace
} // namespace failclosed
