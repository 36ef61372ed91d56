// broker/server/tls_check.h - are the files of the tls {} blocks there, and do they fit each other?
//
// Room:    shell. Run before anything starts, and by `-t`: a broker whose certificates cannot be used must
// not
//          find that out after it recovered its store.
// Errors:  kInvalid; "FILE:LINE:COL: " and what is wrong with which file.
#pragma once

#include "broker/base/result.h"
#include "broker/config/options.h"
#include "broker/env/transport.h"

namespace weir::server {

Status check_tls(const config::Options& options, env::Transport& transport);

}  // namespace weir::server
