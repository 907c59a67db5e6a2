// SPDX-License-Identifier: GPL-3.0-or-later
// Loading and saving the journal.
#include "core/apply/storage/journal.hpp"

#include <algorithm>
#include <cerrno>
#include <cstddef>

#include "core/base/file.hpp"

namespace failclosed {
namespace {

constexpr std::size_t kSizeLimit = 4 << 20;

} // namespace

Result<Journal> JournalFile::load() const
{
    const Result<std::string> text = read_file(path_, kSizeLimit);
    if (!text) {
        return text.error().number() == ENOENT ? Result<Journal>(Journal()) : Failure(text.error());
    }
    Result<Journal> journal = parse_journal(*text);
    if (!journal) {
        return fail(path_ + ": " + journal.error().message() +
                        "; the previous settings cannot be restored: correct DNS by hand, then "
                        "remove this file",
                    journal.error().number());
    }
    return journal;
}

Status JournalFile::save(const Journal& journal) const
{
    return journal == Journal() ? remove_file(path_)
                                : replace_file(path_, render_journal(journal), {.mode = 0600});
}

Status JournalFile::remember_sysctls(const std::vector<SysctlRecord>& changes) const
{
    Result<Journal> journal = load();
    if (!journal) {
        return Failure(journal.error());
    }
    for (const SysctlRecord& change : changes) {
        const auto known =
            std::find_if(journal->sysctls.begin(), journal->sysctls.end(),
                         [&](const SysctlRecord& old) { return old.name == change.name; });
        if (known == journal->sysctls.end()) {
            journal->sysctls.push_back(change);
        } else {
            known->ours = change.ours;
        }
    }
    return save(*journal);
}

Status JournalFile::forget_sysctls() const
{
    Result<Journal> journal = load();
    if (!journal) {
        return Failure(journal.error());
    }
    journal->sysctls.clear();
    return save(*journal);
}

} // namespace failclosed
