// SPDX-License-Identifier: GPL-3.0-or-later
// The table of attacks in docs/security.md: each row names a test that exists, or a limit that is
// documented.
#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/support/lab/paths.hpp"

namespace failclosed::test {
namespace {

namespace fs = std::filesystem;

constexpr int kAttacks = 110;

std::string text_of(const fs::path& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

/// "Suite.Name" of every test in the sources, parameterised ones included.
std::set<std::string> tests()
{
    static const std::regex macro(R"(TEST(?:_F|_P)?\(\s*(\w+),\s*(\w+)\))");
    std::set<std::string> found;
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / "tests")) {
        if (entry.path().extension() != ".cpp") {
            continue;
        }
        const std::string text = text_of(entry.path());
        for (std::sregex_iterator test(text.begin(), text.end(), macro), end; test != end; ++test) {
            found.insert((*test)[1].str() + "." + (*test)[2].str());
        }
    }
    return found;
}

std::vector<std::string> split(const std::string& text, char separator)
{
    std::vector<std::string> parts;
    std::istringstream stream(text);
    for (std::string part; std::getline(stream, part, separator);) {
        parts.push_back(std::regex_replace(part, std::regex("^ +| +$"), ""));
    }
    return parts;
}

/// The cells of the rows of docs/security.md that begin with an id of this form.
std::vector<std::vector<std::string>> rows_with(const std::string& id)
{
    std::istringstream document(text_of(source_root() / "docs/security.md"));
    std::vector<std::vector<std::string>> found;
    for (std::string line; std::getline(document, line);) {
        if (std::regex_search(line, std::regex("^\\| " + id + " \\|"))) {
            auto cells = split(line, '|');
            cells.erase(cells.begin());
            found.push_back(std::move(cells));
        }
    }
    return found;
}

/// id, attack, the three locks, tests or limits, and the verdicts on two other projects
std::vector<std::vector<std::string>> rows()
{
    return rows_with("[0-9]+");
}

void expect_existing(const std::string& id, const std::string& tests_and_limits)
{
    static const auto existing = tests();
    static const std::string limits = text_of(source_root() / "docs/known-limits.md");
    ASSERT_GT(existing.size(), 500U);
    for (const auto& name : split(tests_and_limits, ',')) {
        if (name.starts_with("limit: ")) {
            EXPECT_NE(limits.find(name.substr(7)), std::string::npos) << id << ": " << name;
        } else {
            EXPECT_TRUE(existing.contains(name)) << id << ": " << name;
        }
    }
}

TEST(AttackTable, HasEveryAttack)
{
    std::set<int> ids;
    for (const auto& row : rows()) {
        ASSERT_EQ(row.size(), 8U) << row.at(0);
        ids.insert(std::stoi(row[0]));
    }
    for (int id = 1; id <= kAttacks; ++id) {
        EXPECT_TRUE(ids.contains(id)) << id;
    }
}

TEST(AttackTable, NamesTestsAndLimitsThatExist)
{
    for (const auto& row : rows()) {
        ASSERT_EQ(row.size(), 8U) << row.at(0);
        expect_existing(row[0], row[5]);
    }
}

TEST(SecondReviewTable, NamesTestsAndLimitsThatExist)
{
    const auto findings = rows_with("R[0-9]+[a-z]?");
    for (const auto& row : findings) {
        ASSERT_EQ(row.size(), 4U) << row.at(0);
        expect_existing(row[0], row[3]);
    }
}

TEST(AttackTable, UsesOnlyTheDefinedVerdicts)
{
    const std::set<std::string> words = {"holds", "leaks", "denied", "-"};
    for (const auto& row : rows()) {
        ASSERT_EQ(row.size(), 8U) << row.at(0);
        for (std::size_t lock = 2; lock <= 4; ++lock) {
            EXPECT_TRUE(words.contains(row[lock])) << row[0] << ": " << row[lock];
        }
        EXPECT_FALSE(row[6].empty()) << row[0];
        EXPECT_FALSE(row[7].empty()) << row[0];
    }
}

} // namespace
} // namespace failclosed::test
