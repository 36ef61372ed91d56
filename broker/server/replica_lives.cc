#include "broker/server/replica_lives.h"

#include "broker/base/text.h"

namespace weir::server {

namespace {
const std::string kLife = "l/";

std::string key_of(GroupId group) {
  return kLife + std::to_string(group.v);
}

NodeId last_life(const store::Catalog& catalog, GroupId group) {
  auto value = catalog.get(key_of(group));
  return NodeId(value ? parse_u64(*value).value_or(0) : 0);
}
}  // namespace

bool life_may_go_on(const store::Catalog& catalog, GroupId group, NodeId replica) {
  NodeId last = last_life(catalog, group);
  return node_of(last) != node_of(replica) || incarnation_of(last) <= incarnation_of(replica);
}

bool life_is_new(const store::Catalog& catalog, GroupId group, NodeId replica) {
  return incarnation_of(replica) > 0 && last_life(catalog, group) != replica;
}

void begin_life(store::Catalog& catalog, GroupId group, NodeId replica, env::DiskDone done) {
  catalog.commit({{key_of(group), std::to_string(replica.v)}}, std::move(done));
}

void forget_lives(store::Catalog& catalog, const std::function<bool(GroupId)>& gone) {
  std::vector<store::CatalogEdit> edits;
  catalog.scan(kLife, [&](const std::string& key, const std::string&) {
    auto group = parse_u64(std::string_view(key).substr(kLife.size()));
    if (!group || gone(GroupId(static_cast<std::uint32_t>(*group)))) edits.push_back({key, std::nullopt});
    return true;
  });
  if (!edits.empty()) catalog.commit(std::move(edits), [](Status) {});
}

}  // namespace weir::server
