// broker/proto/connect.h - contents of CONNECT (client to server) and INFO (server to client).
//
// Room:    pure, plain data. JSON coding is in api/ (the only library allowed to know JSON).
// Rules:   absent booleans echo, verbose, pedantic of CONNECT mean true; unknown fields are ignored;
//          a repeated CONNECT updates the options (NATS client protocol).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace weir::proto {

struct ConnectOptions {
  bool verbose = true;   // answer +OK to every accepted line
  bool pedantic = true;  // check publish subjects
  bool echo = true;      // deliver own messages back
  bool headers = false;  // client understands HMSG and sends HPUB
  bool no_responders = false;
  bool tls_required = false;
  int protocol = 0;  // 1 = takes INFO at any time
  std::string user, pass, auth_token;
  std::string nkey, jwt, sig;
  std::string name, lang, version;
  std::string account;  // legacy field of service imports; kept for connz
  bool new_account = false;
  std::string proxy_sig;
};

struct ServerInfo {
  std::string server_id, server_name;
  std::string version;  // nats-server version whose features are there
  std::string weir;     // our own version
  std::string go, git_commit;
  std::string host;
  std::uint16_t port = 0;
  int proto = 1;
  bool headers = true;
  bool auth_required = false;
  bool tls_required = false, tls_verify = false, tls_available = false;
  std::size_t max_payload = 1 << 20;
  bool jetstream = false;
  std::uint64_t client_id = 0;
  std::string client_ip;
  std::string nonce;  // "" = not sent
  std::string cluster;
  bool cluster_dynamic = false;
  std::string domain;
  std::vector<std::string> connect_urls, ws_connect_urls;
  bool lame_duck = false;  // field "ldm"
  std::string xkey;
  int api_lvl = 0;              // 0 = not sent
  bool connect_info = false;    // second INFO, after CONNECT and the first PING
  std::string remote_account;   // second INFO only
  bool account_system = false;  // field "acc_is_sys", second INFO only
};

}  // namespace weir::proto
