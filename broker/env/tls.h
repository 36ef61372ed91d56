// broker/env/tls.h - TLS of byte streams: what to show, whom to trust, and what came of it.
//
// Room:    interfaces and values. platform/ implements them with OpenSSL; a transport without TLS
//          (tests, simulation) answers Transport::tls() with kUnsupported and needs nothing else.
// Use:     once per tls {} block: context = transport.tls(settings), which reads the files. Then per
//          connection, at any time: connection.start_tls({context, ...}).
// Thread:  the shard's loop. A context is immutable and shared by its connections.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "broker/base/bytes.h"
#include "broker/base/time.h"

namespace weir::env {

/// A PEM file that the configuration names.
struct TlsFile {
  std::string path;  // empty = none
  std::string at;    // where it is named ("n1.conf:12:5"), put before an error's text; may be empty
};

enum class TlsVerify : unsigned char {
  kNone,    // whoever it is
  kWanted,  // servers only: a client may show a certificate; one that it shows must be good
  kNeeded,
};

struct TlsSettings {
  std::string at;  // of the block, for errors that are of no file
  /// Certificate chains and their keys, in order of preference. Needed by servers.
  std::vector<std::pair<TlsFile, TlsFile>> certs;
  TlsFile ca;                              // empty = the certificate authorities of the machine
  TlsVerify clients = TlsVerify::kNeeded;  // of connections that were accepted
  TlsVerify servers = TlsVerify::kNeeded;  // of connections that were dialled; kWanted means kNone
  bool v13_only = false;                   // else 1.2 too; older ones never
  std::vector<std::string> cipher_suites;  // IANA names; empty = OpenSSL's choice
  std::vector<std::string> groups;         // "X25519", "P-256", ... in order; empty = OpenSSL's choice
  std::vector<std::string> pinned;         // SHA-256 of public keys (SPKI), lower-case hex; empty = any
};

class TlsContext {
 public:
  virtual ~TlsContext() = default;
  /// When the first of the own certificates expires; nullopt without one.
  virtual std::optional<Wall> not_after() const = 0;
};

/// How one connection turns to TLS.
struct TlsStart {
  std::shared_ptr<const TlsContext> context;  // of the transport that made the connection
  bool dialled = false;                       // this side speaks first, as a client
  /// Dialled: the other side's certificate must be for one of these names or addresses; none = any.
  std::vector<std::string> hosts;
  Nanos timeout = 2 * kSecond;  // for the handshake
  Bytes first;                  // input that data() gave already and that is part of the handshake
};

/// Of a finished handshake.
struct TlsState {
  std::string version;  // "1.3", as /connz shows it
  std::string cipher;   // IANA name
  bool has_peer_certificate = false;
  std::string peer_subject;                                     // RFC 2253: "CN=n2,O=Weir"
  std::vector<std::string> peer_emails, peer_names, peer_uris;  // alternative names: mail, DNS, URI
};

}  // namespace weir::env
