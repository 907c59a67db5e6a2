// SPDX-License-Identifier: GPL-3.0-or-later
// Parses the parts of OpenVPN's configuration language that concern servers and identity.
#include "core/codec/openvpn/config.hpp"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

namespace failclosed {

namespace {

/// OPTION_LINE_SIZE, MAX_PARMS and max_recursive_levels of OpenVPN.
constexpr std::size_t kMaxLine = 256;
constexpr std::size_t kMaxWords = 16;
constexpr unsigned kMaxDepth = 10;
/// Limits work on files that include each other several times.
constexpr unsigned kMaxIncludes = 64;
constexpr std::size_t kMaxFiles = 64;

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF";

using Words = std::vector<std::string>;

/// isspace(3) in the C locale.
bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/// The words of a line; `nullopt` if its quotes or backslashes are invalid.
std::optional<Words> split_line(std::string_view line)
{
    Words words;
    std::string word;
    bool in_word = false;
    bool escaped = false;
    char quote = 0;
    for (const char c : line) {
        if (escaped) {
            if (c != '\\' && c != '"' && !is_space(c)) {
                return std::nullopt;
            }
            word += c;
            escaped = false;
            in_word = true;
        } else if (c == '\\' && quote != '\'') {
            escaped = true;
        } else if (quote != 0 ? c == quote : in_word && is_space(c)) {
            words.push_back(std::exchange(word, {}));
            in_word = false;
            quote = 0;
        } else if (in_word || quote != 0) {
            word += c;
        } else if (c == ';' || c == '#') {
            return words;
        } else if (c == '"' || c == '\'') {
            quote = c;
        } else if (!is_space(c)) {
            word += c;
            in_word = true;
        }
        if (words.size() == kMaxWords) {
            return words;
        }
    }
    if (quote != 0 || escaped) {
        return std::nullopt;
    }
    if (in_word) {
        words.push_back(std::move(word));
    }
    return words;
}

std::string_view trim_left(std::string_view text)
{
    while (!text.empty() && is_space(text.front())) {
        text.remove_prefix(1);
    }
    return text;
}

/// Removes the first line from `text`, and returns it.
std::string_view take_line(std::string_view& text)
{
    const auto end = text.find('\n');
    const auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    return line;
}

/// Collects options and interprets them at the end: OpenVPN applies `port`, `proto` and proxies
/// also to remotes before them.
class Parser {
  public:
    explicit Parser(const IncludeReader& read) : read_(read) {}

    void read_text(std::string_view text, bool in_connection);
    void read_option(std::span<const std::string> words, bool in_connection);
    OpenvpnConfig finish() &&;

  private:
    struct Proxy {
        std::string host;
        std::string port;
    };

    /// OpenVPN's `struct connection_entry`.
    struct Entry {
        std::string host;
        std::string port = "1194";
        OpenvpnProtocol protocol;
        std::optional<Proxy> http_proxy;
        std::optional<Proxy> socks_proxy;
    };

    /// A `remote` line. Values that it does not give come from the options around it.
    struct RemoteLine {
        std::string host;
        std::optional<std::string> port;
        std::optional<OpenvpnProtocol> protocol;
    };

    void read_inline(const std::string& tag, std::string_view& text);
    void read_connection(std::string_view text);
    void read_remote(std::span<const std::string> words, bool in_connection);
    bool read_connection_option(std::span<const std::string> words);
    void read_general_option(std::span<const std::string> words);
    void include(const std::string& path);
    void note_restart(std::span<const std::string> words);
    std::optional<OpenvpnProtocol> read_protocol(const std::string& text);
    void add(const Entry& entry);

    static void load(Entry& entry, const RemoteLine& line);

    const IncludeReader& read_;
    unsigned depth_ = 0;
    unsigned includes_ = 0;
    Entry defaults_;
    std::vector<RemoteLine> remotes_;
    std::vector<Entry> connections_;
    std::set<Remote> seen_;
    OpenvpnConfig config_;
};

void Parser::read_text(std::string_view text, bool in_connection)
{
    if (text.starts_with(kUtf8Mark)) {
        text.remove_prefix(kUtf8Mark.size());
    }
    while (!text.empty()) {
        const auto line = take_line(text);
        auto words = line.size() < kMaxLine ? split_line(line) : std::nullopt;
        if (!words) {
            warn(config_.warnings,
                 "OpenVPN config: line is ignored (too long, or invalid quotes or backslashes): " +
                     in_quotes(line));
            continue;
        }
        if (words->empty()) {
            continue;
        }
        std::string& name = words->front();
        if (words->size() == 1 && name.size() > 2 && name.starts_with('<') && name.ends_with('>')) {
            read_inline(name.substr(1, name.size() - 2), text);
            continue;
        }
        if (name.size() > 2 && name.starts_with("--")) {
            name.erase(0, 2);
        }
        read_option(*words, in_connection);
    }
}

/// Removes the text up to the closing tag, and the tag.
void Parser::read_inline(const std::string& tag, std::string_view& text)
{
    const std::string end = "</" + tag + ">";
    const char* const begin = text.data();
    while (!text.empty()) {
        const char* const line_begin = text.data();
        if (trim_left(take_line(text)).starts_with(end)) {
            if (tag == "connection") {
                read_connection({begin, static_cast<std::size_t>(line_begin - begin)});
            }
            return;
        }
    }
    warn(config_.warnings, "OpenVPN config: closing tag is missing: " + in_quotes(end));
}

void Parser::read_connection(std::string_view text)
{
    // A block inherits the options before it; its own options do not apply after it.
    const Entry outer = defaults_;
    read_text(text, true);
    Entry entry = std::exchange(defaults_, outer);
    if (!entry.host.empty()) {
        connections_.push_back(std::move(entry));
    }
}

void Parser::load(Entry& entry, const RemoteLine& line)
{
    entry.host = line.host;
    if (line.port) {
        entry.port = *line.port;
    }
    if (line.protocol) {
        // "remote HOST PORT udp" keeps the family of "proto udp6".
        const auto family = line.protocol->family ? line.protocol->family : entry.protocol.family;
        entry.protocol = *line.protocol;
        entry.protocol.family = family;
    }
}

std::optional<OpenvpnProtocol> Parser::read_protocol(const std::string& text)
{
    const auto protocol = OpenvpnProtocol::parse(text);
    if (!protocol) {
        warn(config_.warnings, "OpenVPN config: unknown protocol: " + in_quotes(text));
    }
    return protocol;
}

void Parser::read_remote(std::span<const std::string> words, bool in_connection)
{
    RemoteLine line{words[1], std::nullopt, std::nullopt};
    if (words.size() > 2) {
        line.port = words[2];
    }
    if (words.size() > 3 && !(line.protocol = read_protocol(words[3]))) {
        return;
    }
    if (in_connection) {
        load(defaults_, line);
    } else if (remotes_.size() <= kMaxRemotes) {
        remotes_.push_back(std::move(line));
    }
}

bool Parser::read_connection_option(std::span<const std::string> words)
{
    const auto& name = words[0];
    if (name == "port" || name == "rport") {
        defaults_.port = words[1];
    } else if (name == "proto") {
        defaults_.protocol = read_protocol(words[1]).value_or(defaults_.protocol);
    } else if (name == "http-proxy" && words.size() > 2) {
        defaults_.http_proxy = Proxy{words[1], words[2]};
    } else if (name == "socks-proxy") {
        defaults_.socks_proxy = Proxy{words[1], words.size() > 2 ? words[2] : "1080"};
    } else {
        return false;
    }
    return true;
}

void Parser::read_general_option(std::span<const std::string> words)
{
    const auto& name = words[0];
    if (name == "user") {
        config_.user = words[1];
    } else if (name == "mark") {
        const auto mark = parse_number(words[1], 1, 0x7fffffff);
        if (mark) {
            config_.mark = static_cast<std::uint32_t>(*mark);
        } else {
            warn(config_.warnings, "OpenVPN config: invalid mark: " + in_quotes(words[1]));
        }
    } else if (name == "server" || name == "server-ipv6" ||
               (name == "mode" && words[1] == "server")) {
        config_.server = true;
    } else if (name == "up" || name == "down") {
        (name == "up" ? config_.up : config_.down) = words[1];
    } else if (name == "script-security") {
        // With level 1, the default, it runs only programs like ip(8).
        config_.runs_scripts = parse_number(words[1], 2, 9).has_value();
    } else if (name == "config") {
        include(words[1]);
    }
}

/// Notes the files and privileges that a restart needs.
void Parser::note_restart(std::span<const std::string> words)
{
    constexpr std::array<std::string_view, 4> kDropping = {"user", "group", "chroot", "setcon"};
    constexpr std::array<std::string_view, 14> kFiles = {
        "ca",          "capath",         "cert",     "key",       "pkcs12",
        "extra-certs", "secret",         "tls-auth", "tls-crypt", "tls-crypt-v2",
        "askpass",     "auth-user-pass", "dh",       "crl-verify"};
    if (std::ranges::find(kDropping, words[0]) != kDropping.end()) {
        config_.drops_privileges = true;
    } else if (std::ranges::find(kFiles, words[0]) != kFiles.end() &&
               config_.files.size() < kMaxFiles) {
        config_.files.push_back(words[1]);
    }
}

void Parser::read_option(std::span<const std::string> words, bool in_connection)
{
    if (words[0] == "remote-random-hostname") {
        warn(config_.warnings, "OpenVPN config: remote-random-hostname is not supported: the "
                               "server's addresses cannot be learnt, because each connection uses "
                               "another name");
    }
    if (words[0] == "server-bridge") {
        config_.server = true; // with or without arguments
    }
    constexpr std::array<std::string_view, 4> kOfClients = {"client", "tls-client", "pull",
                                                            "secret"};
    if (std::ranges::find(kOfClients, words[0]) != kOfClients.end() ||
        (words[0] == "remote" && words.size() > 1)) {
        config_.client = true;
    }
    if (words[0] == "management-query-passwords" ||
        (words.size() < 2 && (words[0] == "auth-user-pass" || words[0] == "askpass"))) {
        config_.asks_for_secrets = true;
    }
    if (words.size() < 2) {
        return;
    }
    note_restart(words);
    if (words[0] == "remote") {
        read_remote(words, in_connection);
    } else if (!read_connection_option(words) && !in_connection) {
        read_general_option(words);
    }
}

void Parser::include(const std::string& path)
{
    if (depth_ >= kMaxDepth || includes_ >= kMaxIncludes) {
        warn(config_.warnings, "OpenVPN config: too many includes: " + in_quotes(path));
        return;
    }
    ++includes_;
    const Result<std::string> text = read_ ? read_(path) : fail("includes are not read here");
    if (!text) {
        config_.client = true;
        warn(config_.warnings,
             "OpenVPN config: include of " + in_quotes(path) + ": " + text.error().message());
        return;
    }
    ++depth_;
    read_text(*text, false);
    --depth_;
}

void Parser::add(const Entry& entry)
{
    const auto view = [](const std::optional<Proxy>& proxy) {
        return proxy ? std::optional(OpenvpnConnection::Proxy{proxy->host, proxy->port})
                     : std::nullopt;
    };
    const OpenvpnConnection connection{entry.host, entry.port, entry.protocol,
                                       view(entry.http_proxy), view(entry.socks_proxy)};
    auto remote = connection.remote();
    if (!remote) {
        warn(config_.warnings, "OpenVPN config: " + remote.error().message());
        return;
    }
    if (seen_.insert(*remote).second) {
        config_.remotes.push_back(*std::move(remote));
    }
}

OpenvpnConfig Parser::finish() &&
{
    if (config_.server) {
        return std::move(config_);
    }
    if (connections_.empty()) {
        for (const auto& line : remotes_) {
            load(connections_.emplace_back(defaults_), line);
        }
    }
    if (connections_.size() > kMaxRemotes) {
        warn(config_.warnings,
             "OpenVPN config: only the first " + std::to_string(kMaxRemotes) + " remotes are used");
        connections_.resize(kMaxRemotes);
    }
    for (const auto& entry : connections_) {
        add(entry);
    }
    return std::move(config_);
}

} // namespace

std::optional<OpenvpnProtocol> OpenvpnProtocol::parse(std::string_view text)
{
    OpenvpnProtocol protocol;
    if (text.starts_with("tcp")) {
        protocol.transport = Transport::Tcp;
    } else if (!text.starts_with("udp")) {
        return std::nullopt;
    }
    text.remove_prefix(3);
    if (text.starts_with('4') || text.starts_with('6')) {
        protocol.family = text.front() == '4' ? Family::V4 : Family::V6;
        text.remove_prefix(1);
    }
    protocol.listens = text == "-server";
    const bool role =
        protocol.transport == Transport::Tcp && (text == "-client" || protocol.listens);
    return text.empty() || role ? std::optional(protocol) : std::nullopt;
}

Result<Remote> OpenvpnConnection::remote() const
{
    const auto& proxy = http_proxy ? http_proxy : socks_proxy;
    const auto host_text = proxy ? proxy->host : host;
    const auto port_text = proxy ? proxy->port : port;
    if (protocol.listens) {
        return fail("remote " + in_quotes(host_text) +
                    ": tcp-server waits for a client and has no server");
    }
    const auto port_number = Port::parse(port_text);
    if (!port_number) {
        return fail("remote " + in_quotes(host_text) + ": port must be 1 to 65535, not " +
                    in_quotes(port_text));
    }
    // The connection to a proxy is always TCP; datagrams through SOCKS are IPv4 only.
    const bool over_ipv4 = proxy && !http_proxy && protocol.transport == Transport::Udp;
    const auto transport = proxy ? Transport::Tcp : protocol.transport;
    const auto family = over_ipv4 ? std::optional(Family::V4) : protocol.family;
    if (const auto address = IpAddress::parse(host_text)) {
        if (!address->is_unicast_host()) {
            return fail("remote " + in_quotes(host_text) + ": not an address of another host");
        }
        return Remote{*address, transport, port_number, family};
    }
    if (auto name = HostName::parse(host_text)) {
        return Remote{*std::move(name), transport, port_number, family};
    }
    return fail("remote " + in_quotes(host_text) + ": neither an address nor a host name");
}

OpenvpnConfig parse_openvpn_config(std::string_view text, const IncludeReader& read)
{
    Parser parser(read);
    parser.read_text(text, false);
    return std::move(parser).finish();
}

OpenvpnConfig parse_openvpn_arguments(std::span<const std::string> arguments,
                                      const IncludeReader& read)
{
    Parser parser(read);
    if (arguments.size() == 2 && !arguments[1].starts_with("--")) {
        parser.read_option(std::array<std::string, 2>{"config", arguments[1]}, false);
        return std::move(parser).finish();
    }
    const auto is_option = [](const std::string& word) { return word.starts_with("--"); };
    auto next = std::find_if(arguments.begin(), arguments.end(), is_option);
    while (next != arguments.end()) {
        const auto end = std::find_if(next + 1, arguments.end(), is_option);
        Words words(next, end);
        words.front().erase(0, 2);
        words.resize(std::min(words.size(), kMaxWords));
        parser.read_option(words, false);
        next = end;
    }
    return std::move(parser).finish();
}

} // namespace failclosed
