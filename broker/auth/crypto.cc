#include "broker/auth/crypto.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <memory>

#include "broker/base/check.h"

namespace weir::auth {
namespace {

constexpr std::size_t kBcryptBytes = 60;
constexpr std::size_t kPasswordBytesMax = 512;  // CRYPT_MAX_PASSPHRASE_SIZE of libxcrypt

bool bcrypt_matches(const std::string& stored, std::string_view given) {
  // crypt works on C strings: a zero byte would silently cut the password.
  if (given.size() >= kPasswordBytesMax || given.find('\0') != std::string_view::npos) return false;
  auto data = std::make_unique<crypt_data>();
  std::string password(given);
  const char* made = crypt_r(password.c_str(), stored.c_str(), data.get());
  bool same = made && made[0] != '*' && secrets_equal(made, stored);
  OPENSSL_cleanse(password.data(), password.size());
  OPENSSL_cleanse(data.get(), sizeof(crypt_data));
  return same;
}

}  // namespace

Sha256 sha256(std::string_view bytes) {
  Sha256 out{};
  unsigned int size = 0;
  int done = EVP_Digest(bytes.data(), bytes.size(), out.data(), &size, EVP_sha256(), nullptr);
  CHECK(done == 1 && size == out.size(), "libcrypto has no SHA-256");
  return out;
}

std::string to_hex(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char c : bytes) {
    auto u = static_cast<unsigned char>(c);
    out += kHex[u >> 4];
    out += kHex[u & 15];
  }
  return out;
}

std::string config_digest(std::string_view canonical_text) {
  Sha256 hash = sha256(canonical_text);
  return "sha256:" + to_hex({reinterpret_cast<const char*>(hash.data()), hash.size()});
}

bool secrets_equal(std::string_view a, std::string_view b) {
  Sha256 hash_a = sha256(a);
  Sha256 hash_b = sha256(b);
  return CRYPTO_memcmp(hash_a.data(), hash_b.data(), hash_a.size()) == 0;
}

bool is_bcrypt(std::string_view stored) {
  if (stored.size() != kBcryptBytes || stored.substr(0, 2) != "$2" || stored[3] != '$') return false;
  return stored[2] == 'a' || stored[2] == 'b' || stored[2] == 'x' || stored[2] == 'y';
}

bool password_matches(std::string_view stored, std::string_view given) {
  if (is_bcrypt(stored)) return bcrypt_matches(std::string(stored), given);
  return secrets_equal(stored, given);
}

}  // namespace weir::auth
