// SPDX-License-Identifier: GPL-3.0-or-later
// Paths of which every step belongs to one user, below a root of the test's.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/apply/storage/trusted_directory.hpp"

namespace failclosed {
namespace {

namespace fs = std::filesystem;

class TrustedTreeTest : public testing::Test {
  protected:
    TrustedTreeTest()
    {
        std::string path = fs::temp_directory_path() / "failclosed-tree-XXXXXX";
        root_ = mkdtemp(path.data());
        umask_ = umask(022);
        fs::create_directories(root_ / "etc/vpn");
        write("etc/vpn/a.conf", "text");
    }

    ~TrustedTreeTest() override
    {
        fs::remove_all(root_);
        umask(umask_);
    }

    void write(const std::string& path, const std::string& text) const
    {
        std::ofstream(root_ / path) << text;
    }

    void link(const std::string& target, const std::string& path) const
    {
        fs::create_symlink(target, root_ / path);
    }

    /// The contents, or the number of the error.
    [[nodiscard]] std::string read(const std::string& path) const
    {
        const auto tree = TrustedTree::open(root_, geteuid());
        const auto text = tree ? tree->read(path, 1000) : Failure(tree.error());
        return text ? *text : std::to_string(text.error().number());
    }

    static std::string error(int number) { return std::to_string(number); }

    fs::path root_;
    mode_t umask_ = 0;
};

TEST_F(TrustedTreeTest, ReadsAFileThatOnlyItsOwnerCanChange)
{
    EXPECT_EQ(read("/etc/vpn/a.conf"), "text");
    EXPECT_EQ(read("//etc/./vpn/../vpn//a.conf"), "text");
    EXPECT_EQ(read("/etc/vpn/b.conf"), error(ENOENT));
    EXPECT_EQ(read("/etc/vpn/a.conf/b"), error(ENOTDIR));
    EXPECT_EQ(read("/etc/vpn"), error(EINVAL));
    EXPECT_EQ(read("/"), error(EINVAL));
    write("etc/vpn/big", std::string(1001, 'x'));
    EXPECT_EQ(read("/etc/vpn/big"), error(EFBIG));
}

TEST_F(TrustedTreeTest, LinksAndParentsStayBelowTheRoot)
{
    link("/etc/vpn/a.conf", "absolute");
    link("vpn/a.conf", "etc/relative");
    link("../../../../../../etc/vpn", "etc/out");
    link("loop", "loop");
    EXPECT_EQ(read("/absolute"), "text");
    EXPECT_EQ(read("/etc/relative"), "text");
    EXPECT_EQ(read("/../../../../etc/out/a.conf"), "text");
    EXPECT_EQ(read("/etc/out/../vpn/a.conf"), "text");
    EXPECT_EQ(read("/loop"), error(ELOOP));
    EXPECT_EQ(read("/etc/passwd"), error(ENOENT));
    EXPECT_EQ(read("/" + std::string(5000, 'x')), error(ENAMETOOLONG));
    std::string deep;
    for (int i = 0; i < 5000; ++i) {
        deep += "/.x";
    }
    EXPECT_EQ(read(deep), error(ENAMETOOLONG));
}

TEST_F(TrustedTreeTest, RefusesFoldersThatOthersCanChange)
{
    for (const char* step : {"", "etc", "etc/vpn", "etc/vpn/a.conf"}) {
        const fs::path path = root_ / step;
        for (const auto bit : {fs::perms::group_write, fs::perms::others_write}) {
            fs::permissions(path, bit, fs::perm_options::add);
            EXPECT_EQ(read("/etc/vpn/a.conf"), error(EPERM)) << step;
            fs::permissions(path, bit, fs::perm_options::remove);
        }
    }
    EXPECT_EQ(read("/etc/vpn/a.conf"), "text");
    // A link leads through folders that are not its own.
    fs::create_directories(root_ / "all/deep");
    write("all/deep/b.conf", "text");
    link("../all/deep/b.conf", "etc/link");
    EXPECT_EQ(read("/etc/link"), "text");
    fs::permissions(root_ / "all", fs::perms::all);
    EXPECT_EQ(read("/etc/link"), error(EPERM));
    EXPECT_EQ(TrustedTree::open(root_, geteuid() + 1).error().number(), EPERM);
}

TEST_F(TrustedTreeTest, AFifoIsNotOpened)
{
    const fs::path pipe = root_ / "etc/pipe";
    ASSERT_EQ(mkfifo(pipe.c_str(), 0600), 0);
    EXPECT_EQ(read("/etc/pipe"), error(EINVAL));
    // A writer finds a reader only while one has it open; the kernel counts openings, too.
    EXPECT_EQ(open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC), -1);
    EXPECT_EQ(errno, ENXIO);
}

TEST_F(TrustedTreeTest, ListsAndIdentifies)
{
    link("a.conf", "etc/vpn/b.conf");
    const auto tree = TrustedTree::open(root_, geteuid());
    ASSERT_TRUE(tree);
    const auto names = tree->names("/etc/vpn");
    ASSERT_TRUE(names);
    EXPECT_EQ(*names, (std::vector<std::string>{"a.conf", "b.conf"}));
    EXPECT_EQ(tree->identify("/etc/vpn/a.conf").value(), tree->identify("/etc/vpn/b.conf").value());
    EXPECT_EQ(tree->names("/").value(), std::vector<std::string>{"etc"});
    EXPECT_EQ(tree->names("/etc/vpn/a.conf").error().number(), ENOTDIR);
    EXPECT_TRUE(tree->holds("/etc/vpn"));
    EXPECT_TRUE(tree->holds("/etc/vpn/b.conf"));
    EXPECT_FALSE(tree->holds("/etc/vpn/c.conf"));
    fs::permissions(root_ / "etc/vpn/a.conf", fs::perms::all);
    EXPECT_TRUE(tree->holds("/etc/vpn/a.conf"));
    fs::permissions(root_ / "etc/vpn", fs::perms::all);
    EXPECT_FALSE(tree->holds("/etc/vpn/a.conf"));
    EXPECT_EQ(tree->names("/etc/vpn").error().number(), EPERM);
}

} // namespace
} // namespace failclosed
