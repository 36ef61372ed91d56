// broker/subject/transform.h - rewrites subjects: mappings, stream transforms, republish, imports.
//
// A transform has a source pattern and a destination whose tokens may refer to the wildcards of the
// source, counted from 1:
//   $n  {{wildcard(n)}}        the token                {{partition(b,n..)}}  FNV-1a of tokens mod b
//   {{split(n,sep)}}           pieces between sep       {{partition(b)}}      the same of the subject
//   {{splitFromLeft(n,at)}}    two pieces               {{left(n,len)}}       first bytes
//   {{splitFromRight(n,at)}}   counted from the right   {{right(n,len)}}      last bytes
//   {{sliceFromLeft(n,size)}}  pieces of size           {{random(b)}}         a number below b
//   {{sliceFromRight(n,size)}} the short one first      >                     the tail of the source
//
// Rules:   those of nats-server 2.15, compared with it (transform_test.cc); function names in any case.
//          Where it would make an invalid subject (a token of separators only) the token stays whole.
// Room:    pure; chance comes from the caller's Prng.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/base/prng.h"
#include "broker/base/result.h"

namespace weir::subject {

class Transform {
 public:
  /// `source` "" means ">". `strict` (imports): only $n and wildcard(n), and every wildcard of the
  /// source must be used. kInvalid with the reason otherwise.
  static Result<Transform> parse(std::string_view source, std::string_view destination, bool strict = false);

  const std::string& source() const { return source_; }
  const std::string& destination() const { return destination_; }
  /// True when nothing is referred to: the result is destination() for every subject.
  bool is_constant() const { return constant_; }

  bool matches(std::string_view literal) const;
  /// Puts the new subject in `out`; false, with `out` untouched, when the source does not match.
  bool apply(std::string_view literal, Prng& prng, std::string& out) const;

 private:
  enum class Function : std::uint8_t {
    kText,
    kTail,
    kWildcard,
    kPartition,
    kSplit,
    kSplitFromLeft,
    kSplitFromRight,
    kSliceFromLeft,
    kSliceFromRight,
    kLeft,
    kRight,
    kRandom,
  };
  /// One token of the destination.
  struct Part {
    Function function = Function::kText;
    std::vector<std::size_t> tokens;  // of the subject, 0-based
    std::uint32_t number = 0;         // buckets, position, size or length
    std::string text;                 // literal token or separator
  };
  struct Rule;

  static Result<Part> parse_part(std::string_view token, const std::vector<std::size_t>& wildcards);
  static Result<Part> parse_call(std::string_view token, const std::vector<std::size_t>& wildcards);
  static Result<Part> parse_arguments(const Rule& rule, const std::vector<std::string_view>& args,
                                      const std::vector<std::size_t>& wildcards);
  static const Rule* find_rule(std::string_view name);
  Status check_strict(std::size_t wildcards) const;
  static void append(const Part& part, const std::vector<std::string_view>& tokens, std::string_view hashed,
                     std::string& out);
  static void append_pieces(const Part& part, std::string_view token, std::string& out);

  std::string source_, destination_;
  std::vector<Part> parts_;
  std::size_t tail_from_ = 0;  // token of the subject where ">" of the source stands
  bool constant_ = true;
};

}  // namespace weir::subject
