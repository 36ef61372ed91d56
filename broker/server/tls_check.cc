#include "broker/server/tls_check.h"

#include "broker/cluster/tls_settings.h"

namespace weir::server {

Status check_tls(const config::Options& options, env::Transport& transport) {
  for (const config::TlsConfig* tls : {&options.tls, &options.cluster.tls}) {
    if (!tls->present) continue;
    auto context = transport.tls(cluster::tls_settings(*tls));
    if (!context) return context.error();
  }
  return ok();
}

}  // namespace weir::server
