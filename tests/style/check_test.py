#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Each check finds a problem that is made for it, and none in the same file without the problem."""
import pathlib
import tempfile
import unittest

import check

LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"
# Check, file, contents without and with the problem; {} stands for where the two differ.
CASES = [
    ("format", "cli/a.cpp", "int a{};\n", "", "  = 0"),
    ("layers", "core/model/a.hpp", '#include "core/{}/b.hpp"\n', "base", "plan"),
    ("layers", "core/apply/a.hpp", '#include "{}/b.hpp"\n', "core/plan", "cli"),
    ("layers", "cli/a.hpp", '#include "{}/b.hpp"\n', "core/engine", "tests"),
    ("layers", "openvpn-hook/a.cpp", '#include "{}/b.hpp"\n', "core/plan", "cli"),
    ("layers", "cli/a.cpp", '#include "{}b.hpp"\n', "core/base/", ""),
    ("layers", "core/plan/names/a.cpp", '#include "core/plan/{}/b.hpp"\n', "routing", "firewall"),
    ("layers", "core/plan/names/a.cpp", '#include "core/plan/{}.hpp"\n', "b", "joins"),
    ("layers", "core/plan/{}/a.cpp", '#include "core/plan/b.hpp"\n', "names", "nothing"),
    ("layers", "core/plan/a.cpp", "#include <{}>\n", "string", "unistd.h"),
    ("layers", "core/codec/a.cpp", "#include <sys/{}.h>\n", "types", "socket"),
    ("scripts", "setup", "#!/bin/sh\necho {}\n", '"$1"', "$1"),
    ("scripts", ".ci/run", "#!/usr/bin/env bash\necho {}\n", '"$1"', "$1"),
    ("scripts", "dhcpcd-hook/90-failclosed", "echo {}\n", '"$1"', "$1"),
    ("scripts", "extras/bash-completion/a", "echo {}\n", '"$1"', "$1"),
    ("manuals", "extras/man/a.8", ".Dd $Mdocdate$\n.Dt A 8\n.Os\n.Sh NAME\n.Nm a\n.Nd a{}\n",
     "", "\n.Xx"),
    ("licences", "core/a.cpp", "// {}\n", LICENCE, "a"),
    ("licences", "meson.build", "# {}\n", LICENCE, "a"),
    ("spaces", "docs/a.md", "a{}\n", "", " "),
    ("spaces", "core/a.cpp", "{}int a;\n", "    ", "\t"),
    ("spaces", "core/a.cpp", "int a;{}", "\n", ""),
    ("links", "docs/a.md", "[a]({})\n", "../core/plan/b.hpp", "b.md"),
    ("links", "docs/a.md", "# An a, a b\n[a](#{})\n", "an-a-a-b", "an-a"),
    ("links", "docs/a.md", "`core/plan/{}`\n", "b", "c"),
]


class Checks(unittest.TestCase):
    def problems(self, name, path, text):
        """What the check says of a tree with this file and a header in each folder."""
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            rooms = [f"{layer}/{room}" for layer, rooms in check.ROOMS.items() for room in rooms]
            for part in [*check.LAYERS, *rooms, "cli", "tests"]:
                (root / part).mkdir(parents=True, exist_ok=True)
                (root / part / "b.hpp").write_text(f"// {LICENCE}\n")
            (root / "core/plan/joins.hpp").write_text(
                f'// {LICENCE}\n#include "core/plan/firewall/b.hpp"\n')
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
            return check.CHECKS[name](root, check.sources(root))

    def test_finds_what_it_is_for(self):
        for name, path, text, good, bad in CASES:
            with self.subTest(check=name, path=path, bad=bad):
                for part, wanted in (good, False), (bad, True):
                    found = self.problems(name, path.replace("{}", part), text.replace("{}", part))
                    self.assertEqual(bool(found), wanted, found)

    def test_tells_that_a_tool_is_missing(self):
        self.assertEqual(len(check.output_of(pathlib.Path("/"), "no-such-tool")), 1)

    def test_leaves_build_folders_alone(self):
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            for name in ("build", "build-clang", "core"):
                (root / name).mkdir()
                (root / name / "a.cpp").touch()
            self.assertEqual(check.sources(root), [pathlib.Path("core/a.cpp")])


if __name__ == "__main__":
    unittest.main()
