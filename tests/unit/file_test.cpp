// SPDX-License-Identifier: GPL-3.0-or-later
// Reading and replacing files in a directory of the test's own.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "core/base/file.hpp"

namespace failclosed {
namespace {

class File : public testing::Test {
  protected:
    void SetUp() override
    {
        std::string name = testing::TempDir() + "failclosed-file-XXXXXX";
        ASSERT_NE(mkdtemp(name.data()), nullptr);
        directory_ = name;
        path_ = name + "/target";
    }

    void TearDown() override { std::filesystem::remove_all(directory_); }

    static void write(const std::string& path, const std::string& contents)
    {
        std::ofstream(path, std::ios::binary) << contents;
    }

    static std::string read(const std::string& path)
    {
        return read_file(path, 1 << 20).value_or("(unreadable)");
    }

    [[nodiscard]] std::size_t files() const
    {
        const std::filesystem::directory_iterator all(directory_);
        return static_cast<std::size_t>(std::distance(begin(all), end(all)));
    }

    std::string directory_;
    std::string path_;
};

TEST_F(File, ReadsUpToTheLimit)
{
    write(path_, "12345");
    EXPECT_EQ(read_file(path_, 5), "12345");
    EXPECT_EQ(read_file(path_, 4).error().number(), EFBIG);
}

TEST_F(File, ReadsLongFilesWhole)
{
    const std::string contents(100'000, 'x');
    write(path_, contents);
    EXPECT_EQ(read_file(path_, contents.size()), contents);
}

TEST_F(File, MissingFileIsEnoent)
{
    EXPECT_EQ(read_file(path_, 5).error().number(), ENOENT);
    EXPECT_EQ(read_file(path_ + "/x", 5).error().number(), ENOENT);
    EXPECT_EQ(replace_file(directory_ + "/none/x", "").error().number(), ENOENT);
    EXPECT_TRUE(remove_file(path_));
    EXPECT_TRUE(remove_file(directory_ + "/none/x"));
}

TEST_F(File, RefusesSpecialFilesWithoutWaiting)
{
    ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
    EXPECT_EQ(read_file(path_, 5).error().number(), EINVAL);
    EXPECT_EQ(replace_file(path_, "x").error().number(), EINVAL);
    EXPECT_EQ(replace_by_link(path_, "x").error().number(), EINVAL);
    EXPECT_EQ(read_file("/dev/zero", 5).error().number(), EINVAL);
    EXPECT_FALSE(read_file(directory_, 5));
    EXPECT_EQ(replace_file(directory_, "x").error().number(), EINVAL);
    EXPECT_EQ(files(), 1U);
}

TEST_F(File, NewFileHasTheGivenModeWithAnyUmask)
{
    const mode_t before = umask(0077);
    EXPECT_TRUE(replace_file(path_, "new", {.mode = 0664}));
    umask(before);
    struct stat info{};
    ASSERT_EQ(stat(path_.c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0664U);
    EXPECT_EQ(read(path_), "new");
}

TEST_F(File, ReplacementIsANewFileWithTheOldModeAndAttributes)
{
    write(path_, "old and longer");
    ASSERT_EQ(chmod(path_.c_str(), 0640), 0);
    const bool attributes = setxattr(path_.c_str(), "user.note", "kept", 4, 0) == 0;
    struct stat before{};
    ASSERT_EQ(stat(path_.c_str(), &before), 0);
    ASSERT_TRUE(replace_file(path_, "new"));
    struct stat after{};
    ASSERT_EQ(stat(path_.c_str(), &after), 0);
    EXPECT_NE(after.st_ino, before.st_ino);
    EXPECT_EQ(after.st_mode, before.st_mode);
    EXPECT_EQ(after.st_uid, before.st_uid);
    EXPECT_EQ(getxattr(path_.c_str(), "user.note", nullptr, 0), attributes ? 4 : -1);
    EXPECT_EQ(read(path_), "new");
    EXPECT_EQ(files(), 1U);
}

TEST_F(File, SameContentsAreNotWritten)
{
    write(path_, "same");
    struct stat before{};
    ASSERT_EQ(stat(path_.c_str(), &before), 0);
    ASSERT_TRUE(replace_file(path_, "same"));
    struct stat after{};
    ASSERT_EQ(stat(path_.c_str(), &after), 0);
    EXPECT_EQ(after.st_ino, before.st_ino);
}

TEST_F(File, LinksAreRefusedUnlessReplacementIsRequested)
{
    write(directory_ + "/victim", "untouched");
    ASSERT_EQ(symlink("victim", path_.c_str()), 0);
    EXPECT_EQ(replace_file(path_, "x").error().number(), ELOOP);
    EXPECT_EQ(read_link(path_), "victim");
    ASSERT_TRUE(replace_file(path_, "x", {.replace_link = true}));
    EXPECT_EQ(read_link(path_).error().number(), EINVAL);
    EXPECT_EQ(read(path_), "x");
    EXPECT_EQ(read(directory_ + "/victim"), "untouched");
}

TEST_F(File, AFileIsReplacedByALink)
{
    write(path_, "x");
    ASSERT_TRUE(replace_by_link(path_, "../somewhere/else"));
    EXPECT_EQ(read_link(path_), "../somewhere/else");
    EXPECT_EQ(files(), 1U);
}

TEST_F(File, PlantedTemporaryFilesAreNotFollowed)
{
    write(directory_ + "/victim", "untouched");
    ASSERT_EQ(symlink("victim", (directory_ + "/.target.failclosed").c_str()), 0);
    ASSERT_TRUE(replace_file(path_, "x"));
    EXPECT_EQ(read(directory_ + "/victim"), "untouched");
    EXPECT_EQ(read(path_), "x");
    EXPECT_EQ(files(), 2U);
}

TEST_F(File, RemovesFilesAndLinksButNoDirectories)
{
    write(path_, "x");
    EXPECT_TRUE(remove_file(path_));
    EXPECT_FALSE(remove_file(directory_));
    EXPECT_EQ(files(), 0U);
}

} // namespace
} // namespace failclosed
