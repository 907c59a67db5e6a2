// SPDX-License-Identifier: GPL-3.0-or-later
// A web server in a machine of the lab, for NetworkManager's connectivity check.
#include "tests/support/daemons/http.hpp"

#include <array>
#include <cstdio>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace failclosed::lab {

namespace {

int serve(const std::string& body)
{
    const int listener = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in6 any{};
    any.sin6_family = AF_INET6;
    any.sin6_port = htons(80);
    if (bind(listener, reinterpret_cast<sockaddr*>(&any), sizeof(any)) != 0 ||
        listen(listener, 16) != 0) {
        std::perror("port 80");
        return 1;
    }
    std::puts("ready");
    std::fflush(stdout);
    const std::string answer = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: " +
                               std::to_string(body.size()) + "\r\nConnection: close\r\n\r\n" + body;
    // A client that says nothing holds up the others for a second.
    const timeval second{1, 0};
    for (int fd = -1; (fd = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC)) >= 0; close(fd)) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof(second));
        std::array<char, 4096> request;
        if (recv(fd, request.data(), request.size(), 0) > 0) {
            std::puts("request");
            std::fflush(stdout);
            send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
        }
    }
    return 1;
}

} // namespace

HttpServer::HttpServer(const Box& box, std::string body)
    : process_(Process::fork(box, [body = std::move(body)] { return serve(body); }))
{
    if (!process_.wait_for("ready\n")) {
        throw LabError(box.name() + ": the web server does not start: " + process_.output());
    }
}

} // namespace failclosed::lab
