// SPDX-License-Identifier: GPL-3.0-or-later
// <sys/pidfd.h> for C++: glibc 2.36 forgot to declare it extern "C".
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/types.h>

extern "C" {
#include <sys/pidfd.h>
}
