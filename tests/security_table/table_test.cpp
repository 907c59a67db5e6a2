// SPDX-License-Identifier: GPL-3.0-or-later
// docs/security.md, row by row: decided by the interpreter, by the kernel, and by the kernel with
// what nft(8) makes of our text.
#include <algorithm>
#include <fstream>
#include <map>
#include <memory>
#include <regex>
#include <tuple>

#include <gtest/gtest.h>

#include "tests/kernel/network.hpp"
#include "tests/security_table/rows.hpp"
#include "tests/security_table/scene.hpp"
#include "tests/support/lab/paths.hpp"

namespace failclosed::test {

void PrintTo(const Row& row, std::ostream* out)
{
    *out << row.id << " (" << row.state << ")";
}

void PrintTo(const Fate& outcome, std::ostream* out)
{
    *out << std::array{"accept", "drop", "reject",
                       "return"}[static_cast<std::size_t>(outcome.verdict)];
    for (const auto& rule : outcome.rules) {
        *out << " | " << rule;
    }
}

namespace {

// ---- The document ----

/// Id, state, verdict and rule of a row.
using Line = std::tuple<std::string, std::string, std::string, std::string>;

std::vector<std::string> cells(const std::string& line)
{
    std::vector<std::string> parts;
    std::istringstream stream(line);
    for (std::string part; std::getline(stream, part, '|');) {
        parts.push_back(std::regex_replace(part, std::regex("^ +| +$"), ""));
    }
    return parts;
}

std::vector<Line> document_lines()
{
    std::ifstream file(source_root() / "docs/security.md");
    std::vector<Line> lines;
    for (std::string text; std::getline(file, text);) {
        if (!std::regex_search(text, std::regex("^\\| (out|in|fwd|arp|wire)-"))) {
            continue;
        }
        const auto parts = cells(text);
        if (parts.size() == 6) {
            lines.emplace_back(parts[1], parts[2], parts[4], parts[5]);
        } else {
            ADD_FAILURE() << "not five cells: " << text;
        }
    }
    return lines;
}

TEST(SecurityDocument, HasTheRowsOfThisTest)
{
    std::vector<Line> lines;
    for (const Row& row : security_rows()) {
        lines.emplace_back(row.id, row.state, row.verdict, row.rule);
    }
    const auto documented = document_lines();
    for (const Line& line : documented) {
        EXPECT_EQ(std::ranges::count(lines, line), 1)
            << "not once in the test: " << testing::PrintToString(line);
    }
    for (const Line& line : lines) {
        EXPECT_EQ(std::ranges::count(documented, line), 1)
            << "not once in the document: " << testing::PrintToString(line);
    }
}

// ---- The interpreter ----

Ruleset planned(const Row& row)
{
    const Scenario scene = scenario(row.state);
    return numbered(plan_firewall(scene.state, scene.config, scene.snapshot));
}

/// What is in force while the packets of `row` are sent.
Ruleset ruleset_of(const Row& row)
{
    Ruleset ruleset = planned(row);
    for (Table& table : ruleset.tables) {
        const bool judges_leaving =
            std::ranges::find(kLeavingTables, table.family) != kLeavingTables.end();
        for (const Set& timed : timed_elements(row.bootstrap, row.portal)) {
            if (judges_leaving) {
                std::ranges::find(table.sets, timed.handle, &Set::handle)->elements =
                    timed.elements;
            }
        }
    }
    return ruleset;
}

Trace interpret(const Ruleset& ruleset, Path path, const Sample& sample)
{
    Trace whole{Verdict::Accept, {}, sample.packet};
    if (const auto& opener = sample.opener) {
        const Trace first = interpret(ruleset, opener->path, {opener->packet, {}, {}, {}});
        TrackedFlow flow = first.packet.flow.value();
        flow.state = opener->state;
        whole.packet.flow = flow;
    }
    whole.packet.for_others = path == Path::Forwarded;
    for (const Hook hook : hooks_of(path)) {
        if (hook != Hook::Prerouting && sample.restored_destination) {
            whole.packet.destination = *sample.restored_destination;
        }
        if (hook == Hook::Postrouting && sample.translated_source) {
            whole.packet.source = *sample.translated_source;
        }
        const Trace part = evaluate(ruleset, hook, whole.packet);
        whole.verdict = part.verdict;
        whole.packet = part.packet;
        whole.steps.insert(whole.steps.end(), part.steps.begin(), part.steps.end());
        if (whole.verdict != Verdict::Accept) {
            break;
        }
    }
    return whole;
}

/// The rule that a trace names as the one that decided: the last that is not a policy.
std::string deciding_rule(const Trace& trace)
{
    std::string rule = "policy";
    for (const Step& step : trace.steps) {
        const std::string comment = without_number(step.comment);
        if (comment != "policy") {
            rule = comment;
        }
    }
    return rule;
}

Verdict verdict_of(const std::string& text)
{
    return text == "accept" ? Verdict::Accept : text == "reject" ? Verdict::Reject : Verdict::Drop;
}

/// What the kernel shows of a trace.
Fate expected_fate(const Trace& trace, const Sample& sample)
{
    const bool silent =
        trace.verdict == Verdict::Reject && !is_answerable(sample.packet.destination);
    Fate fate{silent ? Verdict::Drop : trace.verdict, {}};
    for (const Step& step : trace.steps) {
        fate.rules.insert(step.comment);
    }
    return fate;
}

// ---- The test ----

class SecurityTable : public testing::TestWithParam<Row> {
  protected:
    static void TearDownTestSuite() { machines.clear(); }

    /// The kernel does what the interpreter says.
    static void expect_agreement(Loader loader)
    {
        const Row& row = GetParam();
        Machine& machine = machine_for(row, loader);
        machine.enter();
        const Ruleset ruleset = ruleset_of(row);
        for (const Sample& sample : row.samples) {
            const Fate expected = expected_fate(interpret(ruleset, row.path, sample), sample);
            EXPECT_EQ(machine.decide(row.path, sample, expected), expected);
        }
    }

  private:
    using Key = std::tuple<std::string, bool, bool, Loader>;

    static Machine& machine_for(const Row& row, Loader loader)
    {
        auto& machine = machines[{row.state, row.bootstrap, row.portal, loader}];
        if (!machine) {
            machine = std::make_unique<Machine>(planned(row), loader);
            machine->admit(timed_elements(row.bootstrap, row.portal), loader);
        }
        return *machine;
    }

    ReturnToNetwork return_;
    static inline std::map<Key, std::unique_ptr<Machine>> machines;
};

TEST_P(SecurityTable, EqualsTheInterpretersVerdict)
{
    const Row& row = GetParam();
    const Ruleset ruleset = ruleset_of(row);
    for (const Sample& sample : row.samples) {
        const Trace trace = interpret(ruleset, row.path, sample);
        EXPECT_EQ(trace.verdict, verdict_of(row.verdict));
        EXPECT_EQ(deciding_rule(trace), row.rule);
    }
}

TEST_P(SecurityTable, EqualsTheKernelsVerdict)
{
    expect_agreement(Loader::Netlink);
}

TEST_P(SecurityTable, EqualsTheKernelsVerdictForOurText)
{
    expect_agreement(Loader::Nft);
}

// Without this, a test that looks in the wrong place would find every packet dropped.
TEST(SecurityMachine, SeesALeak)
{
    const ReturnToNetwork back;
    const Row& row = *std::ranges::find(security_rows(), "out-dns-lan", &Row::id);
    Ruleset ruleset = planned(row);
    for (Table& table : ruleset.tables) {
        for (Chain& chain : table.chains) {
            for (Rule& rule : chain.rules) {
                if (without_number(rule.comment) == row.rule && rule.actions.empty()) {
                    rule.end = Verdict::Accept;
                }
            }
        }
    }
    Machine machine(ruleset, Loader::Netlink);
    const Sample& sample = row.samples.front();
    const Fate leak = expected_fate(interpret(ruleset, row.path, sample), sample);
    EXPECT_EQ(leak.verdict, Verdict::Accept);
    EXPECT_EQ(machine.decide(row.path, sample, leak), leak);
}

/// What the kernel answers before any rule but those of raw has seen it.
struct EarlyAnswer {
    Packet packet;
    Bytes bytes;
};

std::vector<EarlyAnswer> early_answers()
{
    const Packet v4 = into("eth0", udp(kPublic4, kTunnel4, 9999));
    const Packet v6 = into("eth0", udp(kPublic6, kTunnel6, 9999));
    return {{v4, first_fragment(v4)}, {v6, first_fragment(v6)}, {v6, unknown_option(v6)}};
}

TEST(SecurityMachine, DoesNotAnswerNeighboursThroughATunnel)
{
    const ReturnToNetwork back;
    const Row& row = *std::ranges::find(security_rows(), "in-tunnel-address-public", &Row::id);
    const Ruleset ruleset = planned(row);
    Ruleset open = ruleset;
    for (Chain& chain : open.tables.front().chains) {
        for (Rule& rule : chain.rules) {
            const std::string why = without_number(rule.comment);
            if (why == row.rule || why == "ICMPv6 error sent before filtering") {
                rule.end = std::monostate();
            }
        }
    }
    for (const EarlyAnswer& one : early_answers()) {
        const auto is_answered = [&](const Ruleset& rules, std::chrono::milliseconds time) {
            return Machine(rules, Loader::Netlink)
                .answers_through_tunnel(one.packet, one.bytes, time);
        };
        EXPECT_TRUE(is_answered(open, std::chrono::seconds(10))) << "a leak is not seen";
        EXPECT_FALSE(is_answered(ruleset, std::chrono::milliseconds(2'500)));
    }
}

INSTANTIATE_TEST_SUITE_P(Rows, SecurityTable, testing::ValuesIn(security_rows()),
                         [](const auto& test) {
                             return std::regex_replace(test.param.id, std::regex("-"), "_");
                         });

} // namespace
} // namespace failclosed::test
