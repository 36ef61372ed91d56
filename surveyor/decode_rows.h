// surveyor/decode_rows.h - the rows inside a JSZ reply. Used by statz_decode.cc only.
#pragma once

#include <optional>

#include "surveyor/json_walk.h"
#include "surveyor/model.h"

namespace weir::surveyor::rows {

walk::Err read_meta(simdjson::ondemand::value v, std::optional<MetaRow>& out);
walk::Err read_account(simdjson::ondemand::value v, AccountRow& out);

}  // namespace weir::surveyor::rows
