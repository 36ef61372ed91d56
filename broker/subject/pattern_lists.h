// broker/subject/pattern_lists.h - do patterns of long lists have subjects in common?
//
// Answers are those of overlaps() and subset() asked for every pair, for lists too long for that.
// Method:  patterns whose wildcards stand at the same places are of one shape. Two shapes say at which
//          places two of their patterns must have the same text; a table of these texts finds the pairs.
// Room:    pure.
// Cost:    bytes of the patterns times different shapes, of which lists that people write have a few.
//          For lists of strangers ask takes_long() first.
// Errors:  none: what is not a valid pattern has nothing in common with anything.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

namespace weir::subject {

/// The first pair (i, j), i < j, in order of i, then j, that overlaps(), by index.
std::optional<std::pair<std::size_t, std::size_t>> first_overlap(std::span<const std::string> patterns);
/// The lowest i whose pattern is a subset() of the one at some other index.
std::optional<std::size_t> first_subset(std::span<const std::string> patterns);
/// A pattern of `a` overlaps() one of `b`.
bool any_overlap(std::span<const std::string> a, std::span<const std::string> b);

/// So many patterns of so many shapes that the questions above would take about a second or longer. Never
/// true for less than 1000 patterns of at most 64 bytes, nor for 1 MiB of patterns of up to 64 shapes.
bool takes_long(std::span<const std::string> patterns);

}  // namespace weir::subject
