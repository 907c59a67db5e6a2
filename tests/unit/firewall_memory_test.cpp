// SPDX-License-Identifier: GPL-3.0-or-later
// The note about the kernel's rules: whole, or none.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include <gtest/gtest.h>

#include "core/apply/kernel/firewall_memory.hpp"

namespace failclosed {
namespace {

class FirewallMemoryTest : public testing::Test {
  protected:
    FirewallMemoryTest()
    {
        EXPECT_NE(mkdtemp(folder_.data()), nullptr);
        start_machine("first");
    }

    ~FirewallMemoryTest() override { std::filesystem::remove_all(folder_); }

    static void write(const std::string& path, const std::string& text)
    {
        std::ofstream(path, std::ios::binary) << text;
    }

    void start_machine(const std::string& boot) const { write(folder_ + "/boot_id", boot); }

    [[nodiscard]] std::string text() const
    {
        std::ifstream file(path(), std::ios::binary);
        return {std::istreambuf_iterator<char>(file), {}};
    }

    [[nodiscard]] std::string path() const { return folder_ + "/rules"; }

    [[nodiscard]] FirewallMemory memory() const
    {
        return FirewallMemory(folder_, folder_ + "/boot_id");
    }

    std::string folder_ = testing::TempDir() + "firewall_memory_test.XXXXXX";
};

const SeenRules kSeen = {0xffff'ffff'ffff'fffe, 0xffff'fffe, {0, '\n', ' ', 0xff, 'x'}};

TEST_F(FirewallMemoryTest, IsReadAsWritten)
{
    EXPECT_EQ(memory().load(), std::nullopt);
    ASSERT_TRUE(memory().save(kSeen));
    EXPECT_EQ(memory().load(), kSeen);
    const SeenRules nothing;
    ASSERT_TRUE(memory().save(nothing));
    EXPECT_EQ(memory().load(), nothing);
    EXPECT_EQ(std::filesystem::status(path()).permissions(),
              std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

TEST_F(FirewallMemoryTest, IsIgnoredIfIncomplete)
{
    ASSERT_TRUE(memory().save(kSeen));
    const std::string whole = text();
    for (std::size_t size = 0; size < whole.size(); ++size) {
        write(path(), whole.substr(0, size));
        EXPECT_EQ(memory().load(), std::nullopt) << size;
    }
    write(path(), whole + "x");
    EXPECT_EQ(memory().load(), std::nullopt);
    write(path(), whole);
    EXPECT_EQ(memory().load(), kSeen);
}

TEST_F(FirewallMemoryTest, IsIgnoredIfDamaged)
{
    for (const char* text :
         {"", "\n", "rubbish\n", "failclosed-rules first 1 1\n", "failclosed-rules first 1 1 0 0\n",
          "failclosed-rules  1 1 0\n", "failclosed-rules first -1 1 0\n",
          "failclosed-rules first 1 4294967296 0\n", "failclosed-rules first 1 x 0\n",
          "failclosed-rules first 18446744073709551616 1 0\n", "other first 1 1 0\n"}) {
        write(path(), text);
        EXPECT_EQ(memory().load(), std::nullopt) << text;
    }
    write(path(), "failclosed-rules first 1 1 0\n");
    EXPECT_NE(memory().load(), std::nullopt) << "else this shows nothing";
}

TEST_F(FirewallMemoryTest, IsIgnoredAfterAReboot)
{
    ASSERT_TRUE(memory().save(kSeen));
    start_machine("second");
    EXPECT_EQ(memory().load(), std::nullopt);
    start_machine("first");
    EXPECT_EQ(memory().load(), kSeen);
}

TEST_F(FirewallMemoryTest, IsIgnoredWithoutABootId)
{
    std::filesystem::remove(folder_ + "/boot_id");
    ASSERT_TRUE(memory().save(kSeen));
    EXPECT_EQ(memory().load(), std::nullopt);
}

TEST_F(FirewallMemoryTest, CanBeRemoved)
{
    EXPECT_TRUE(memory().forget());
    ASSERT_TRUE(memory().save(kSeen));
    EXPECT_TRUE(memory().forget());
    EXPECT_EQ(memory().load(), std::nullopt);
}

TEST_F(FirewallMemoryTest, IsIgnoredIfWritableByOthers)
{
    using std::filesystem::perms;
    ASSERT_TRUE(memory().save(kSeen));
    for (const std::string& open : {path(), folder_}) {
        std::filesystem::permissions(open, perms::others_write, std::filesystem::perm_options::add);
        EXPECT_EQ(memory().load(), std::nullopt) << open;
        std::filesystem::permissions(open, perms::others_write,
                                     std::filesystem::perm_options::remove);
        EXPECT_EQ(memory().load(), kSeen);
    }
    std::filesystem::rename(path(), folder_ + "/elsewhere");
    std::filesystem::create_symlink("elsewhere", path());
    EXPECT_EQ(memory().load(), std::nullopt);
    ASSERT_TRUE(memory().save(kSeen));
    EXPECT_EQ(memory().load(), kSeen) << "the next one is a new file";
    std::filesystem::permissions(path(), perms::others_write, std::filesystem::perm_options::add);
    ASSERT_TRUE(memory().save(kSeen));
    EXPECT_EQ(memory().load(), kSeen);
}

TEST_F(FirewallMemoryTest, ReportsAnErrorIfItCannotBeWritten)
{
    std::filesystem::create_directory(path());
    EXPECT_FALSE(memory().save(kSeen));
    EXPECT_EQ(memory().load(), std::nullopt);
}

} // namespace
} // namespace failclosed
