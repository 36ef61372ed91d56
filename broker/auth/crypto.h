// broker/auth/crypto.h - hashes and comparisons of secrets; the wall around libcrypto and libcrypt.
//
// Room:    pure (no randomness, no I/O). OpenSSL and crypt.h are included by crypto.cc only.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir::auth {

using Sha256 = std::array<std::uint8_t, 32>;

Sha256 sha256(std::string_view bytes);
/// Lower-case hexadecimal.
std::string to_hex(std::string_view bytes);
/// "sha256:<hex>" of the canonical text of a configuration (config::Options::digest_text); what -t
/// and /varz show.
std::string config_digest(std::string_view canonical_text);

/// Takes the same time wherever the texts differ, and whatever their lengths.
bool secrets_equal(std::string_view a, std::string_view b);

/// True for "$2a$", "$2b$", "$2x$" and "$2y$" hashes of full length.
bool is_bcrypt(std::string_view stored);
/// `stored` is a bcrypt hash or plain text; compares `given` with it.
/// Cost: a bcrypt check is slow by design (cost 11: about 0.1 s of CPU); see
/// AuthTable::is_slow().
bool password_matches(std::string_view stored, std::string_view given);

}  // namespace weir::auth
